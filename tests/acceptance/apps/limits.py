"""Limits: by subject, by the whole route, and one that several routes share."""

from __future__ import annotations

from nexus_gateway import cors, get, log, path, plan, public, rate_limit, require
from nexus_gateway.server import Application
from tests.acceptance.support import ORIGIN, SECRET

LIMIT = "100/min burst 20"
mine = get() & require()
routes = (
    (path("subject") & mine & rate_limit(LIMIT)).answer("yours")
    | (path("again") & mine & rate_limit(LIMIT)).answer("yours")
    | (path("api") & get() & public() & rate_limit("100/min burst 5", by="api")).answer("ours")
    | (path("address") & get() & public() & rate_limit("60/min burst 3", by="address")).answer("at")
    | (path("one") & mine & rate_limit("60/min burst 4", name="shared")).answer("shared")
    | (path("two") & mine & rate_limit("60/min burst 4", name="shared")).answer("shared")
    | (path("legacy") & get() & public() & rate_limit(LIMIT, by="api", legacy_headers=True)).answer(
        "old"
    )
)
gateway = Application(
    routes=routes,
    layers=plan.Layers(log=log("error"), cors=cors([ORIGIN])),
    tokens=plan.Tokens(keys=(plan.Key(secret="jwt", algorithms=("HS256",)),), cache=100),
    secrets={"jwt": SECRET.encode()},
)
