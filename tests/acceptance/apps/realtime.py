"""Hubs with short times and small bounds, and a handler that publishes from Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_gateway import body, get, log, param, path, plan, post, public, require
from nexus_gateway.document.docs_routes import contract_routes
from nexus_gateway.realtime.hub import Hub, Limits, allow, namespace
from nexus_gateway.server import Application
from tests.harness.gateway_process import SECRET

if TYPE_CHECKING:
    from nexus_gateway import Routes
    from nexus_gateway.realtime.terminal import Position

EVERYONE = allow()
NAMESPACES = (
    namespace("room:*", subscribe=EVERYONE, publish=EVERYONE, history=200, presence=True),
    namespace("short:*", subscribe=EVERYONE, publish=EVERYONE, history=5),
    namespace("brief:*", subscribe=EVERYONE, publish=EVERYONE, history=5, history_seconds=0.3),
    namespace("scoped:*", subscribe=allow("room:read"), publish=allow("room:write")),
    namespace("news", subscribe=EVERYONE, history=10),
    namespace("tenant:{tenant}:*", subscribe=EVERYONE, publish=EVERYONE),
    namespace("user:{sub}", subscribe=EVERYONE, publish=EVERYONE),
    namespace("hidden:*", publish=EVERYONE),
    namespace("oldest:*", subscribe=EVERYONE, publish=EVERYONE, queue=50),
    namespace("newest:*", subscribe=EVERYONE, publish=EVERYONE, overflow="conflate", queue=50),
    namespace("closes:*", subscribe=EVERYONE, publish=EVERYONE, overflow="disconnect", queue=50),
    namespace("small:*", subscribe=EVERYONE, publish=EVERYONE, max_bytes=100, rate="5/min burst 5"),
    namespace("work:*", subscribe=EVERYONE, publish=EVERYONE, history=50, delivery="at_least_once"),
    namespace("metrics", subscribe=allow("metrics:read"), overflow="conflate", queue=4),
)


class Speaker:
    """A room that tells something when it is asked to."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def say(self, channel: str, value: object) -> Position:
        return await self._hub.publish(channel, value)


def routes(hub: Hub) -> Routes:
    socket, room = path("ws") / "realtime", path("api") / "realtime"
    channel = room / "channels" / param("channel", str)
    operator = require(scope="realtime:admin")
    return (
        (socket & get() & require()).hub("socket")
        | (socket / param("channel", str) & get() & require()).hub("socket")
        | (path("open") & get() & public()).hub("socket")
        | (path("guarded") & get() & require(scope="room:enter")).hub("socket")
        | (channel / "events" & get() & require()).hub("events")
        | (channel / "publish" & post() & require()).hub("publish")
        | (channel / "history" & get() & require()).hub("history")
        | (channel / "presence" & get() & require()).hub("presence")
        | (room / "channels" & get() & operator).hub("channels")
        | (room / "connections:disconnect" & post() & operator).hub("disconnect")
        | (path("revocations") & get() & operator).hub("revocations")
        | (path("revocations") & post() & operator).hub("revoke")
        | (path("say") / param("channel", str) & post() & public() & body(object)).then(
            Speaker(hub).say
        )
        | (path("me") & get() & require()).answer("you")
        | (path("metrics") & get() & public()).metrics("prometheus")
    )


def application(hub: Hub) -> Application:
    served = routes(hub)
    pages = contract_routes(served, title="Hub", version="1", hub=hub.plan)
    return Application(
        routes=served | pages,
        layers=plan.Layers(log=log("info")),
        tokens=plan.Tokens(keys=(plan.Key(secret="jwt", algorithms=("HS256",)),), cache=100),
        secrets={"jwt": SECRET.encode()},
        hub=hub,
    )


gateway = application(Hub(*NAMESPACES, limits=Limits(sockets=2000), metrics=0.1))
strict = application(
    Hub(
        *NAMESPACES,
        limits=Limits(
            sockets=3,
            subscriptions=4,
            max_bytes=1000,
            messages="600/min burst 20",
            kibibytes="60/min burst 8",
        ),
    )
)
quick = application(Hub(*NAMESPACES, heartbeat=0.3))
