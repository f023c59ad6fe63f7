"""The process that serves: `serve` and `Server`, and what an operator sets."""

from nexus_gateway.server.listen import (
    Application,
    ListenError,
    OutputError,
    Servable,
    Server,
    Tls,
    as_application,
    complete,
    serve,
)

__all__ = [
    "Application",
    "ListenError",
    "OutputError",
    "Servable",
    "Server",
    "Tls",
    "as_application",
    "complete",
    "serve",
]
