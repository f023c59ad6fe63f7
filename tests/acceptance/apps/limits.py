"""Limits: by subject, by the whole route, and one that several routes share."""

from __future__ import annotations

import asyncio

from nexus_gateway import cors, get, log, path, plan, public, rate_limit, require
from nexus_gateway.server import Application
from tests.harness.gateway_process import ORIGIN, SECRET

LIMIT = "100/min burst 20"
mine = get() & require()


async def slow() -> str:
    """Answer after a tenth of a second."""
    await asyncio.sleep(0.1)
    return "at last"


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
    | (path("slow") & mine & rate_limit("60/min burst 2")).then(slow)
    | (path("figures") & get() & public()).metrics("routes")
    | (path("metrics") & get() & public()).metrics("prometheus")
)
gateway = Application(
    routes=routes,
    layers=plan.Layers(log=log("error"), cors=cors([ORIGIN])),
    tokens=plan.Tokens(keys=(plan.Key(secret="jwt", algorithms=("HS256",)),), cache=100),
    secrets={"jwt": SECRET.encode()},
)
