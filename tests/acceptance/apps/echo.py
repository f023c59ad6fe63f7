"""A gateway with WebSockets that send back what they get."""

from __future__ import annotations

from nexus_gateway import get, log, path, plan, public, rate_limit, require
from nexus_gateway.server import Application
from tests.harness.gateway_process import SECRET

ROUTES = (
    (path("ws/echo") & get() & public()).echo(max_bytes=32 << 20)
    | (path("ws/short") & get() & public()).echo(max_bytes=1000)
    | (path("ws/secret") & get() & require(scope="echo:write")).echo()
    | (path("ws/once") & get() & public() & rate_limit("1/min", by="api")).echo()
    | (path("metrics") & get() & public()).metrics("prometheus")
)


def application(bounds: plan.Bounds) -> Application:
    """Serve the routes within bounds."""
    return Application(
        routes=ROUTES,
        layers=plan.Layers(log=log("info")),
        tokens=plan.Tokens(keys=(plan.Key(secret="jwt", algorithms=("HS256",)),), cache=100),
        secrets={"jwt": SECRET.encode()},
        bounds=bounds,
    )


gateway = application(plan.Bounds())
impatient = application(plan.Bounds(head_timeout_ms=500, idle_timeout_ms=1000))
