"""Layers: what is done around every route; the core executes them.

Errors, metrics and trace wrap every gateway and have no options; the rest is asked for with
`Routes.wrap(...)`.
"""

from nexus_gateway.layers.compress import compress
from nexus_gateway.layers.cors import cors
from nexus_gateway.layers.limit import limit
from nexus_gateway.layers.log import log
from nexus_gateway.layers.timeout import timeout

__all__ = ["compress", "cors", "limit", "log", "timeout"]
