"""The hub as the peers of the WebSocket scenarios are: one channel, for everybody, not kept."""

from __future__ import annotations

import os

from nexus_gateway import get, param, path, public
from nexus_gateway.realtime.hub import Hub, Limits, allow, namespace
from nexus_gateway.server import Application, serve

EVERYBODY = allow(anonymous=True)
SOCKETS = 20_000

realtime = path("ws/realtime")
channels = path("api/realtime/channels")
hub = Hub(
    namespace("bench", subscribe=EVERYBODY, publish=EVERYBODY),
    limits=Limits(sockets=SOCKETS),
)
application = Application(
    routes=(path("health") & get()).answer({"status": "ok"})
    | (realtime & get() & public()).hub("socket")
    | (realtime / param("channel", str) & get() & public()).hub("socket")
    | (channels / param("channel", str) / "events" & get() & public()).hub("events"),
    hub=hub,
)

if __name__ == "__main__":
    serve(application, port=int(os.environ["PORT"]))
