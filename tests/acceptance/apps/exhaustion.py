"""A gateway whose clients must read within a second, and answers of each kind to leave unread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_gateway import body_bytes, compress, get, log, param, path, plan, post, public
from nexus_gateway.realtime.hub import Hub, allow, namespace
from nexus_gateway.server import Application

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from nexus_gateway.realtime.terminal import Position

LARGE_BYTES = 16 << 20
"""More than the system buffers of one connection."""
ANYONE = allow(anonymous=True)
ended: list[str] = []


async def large() -> str:
    return "x" * LARGE_BYTES


async def endless(name: str) -> AsyncGenerator[bytes]:
    try:
        while True:
            yield b"x" * 65_536
    finally:
        ended.append(name)


async def list_ended() -> list[str]:
    return ended


async def count(data: bytes) -> str:
    return str(len(data))


class Publisher:
    """Publishes what a channel's subscribers do not read."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def publish(self, size: int) -> Position:
        return await self._hub.publish("room", "x" * size)


hub = Hub(namespace("room", subscribe=ANYONE, publish=ANYONE, max_bytes=1 << 20))
name = param("name", str)
routes = (
    (path("health") & get() & public()).answer({"status": "ok"})
    | (path("constant") & get() & public()).answer("a line of the constant\n" * 40_000)
    | (path("large") & get() & public()).then(large)
    | (path("endless") / name & get() & public()).stream(
        endless, content_type="application/octet-stream"
    )
    | (path("ended") & get() & public()).then(list_ended)
    | (path("count") & post() & public() & body_bytes()).then(count)
    | (path("publish") / param("size", int) & post() & public()).then(Publisher(hub).publish)
    | (path("channels") / param("channel", str) & get() & public()).hub("events")
    | (path("socket") / param("channel", str) & get() & public()).hub("socket")
    | (path("echo") & get() & public()).echo()
    | (path("metrics") & get() & public()).metrics("prometheus")
)
gateway = Application(
    routes=routes,
    layers=plan.Layers(log=log("info"), compress=compress()),
    hub=hub,
    bounds=plan.Bounds(write_timeout_ms=1000),
)
