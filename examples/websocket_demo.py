"""A chat with a ticker, server and client in one file: `python examples/websocket_demo.py`.

The hub is the core's: what is published reaches every socket without Python. Python describes the
channels, publishes the ticks, and is one of the clients. In other terminals, with any client:

    websocat ws://localhost:8000/ws/realtime
    {"type": "subscribe", "channel": "chat:lobby", "id": 1}
    {"type": "publish", "channel": "chat:lobby", "data": {"from": "me", "text": "hello"}}

    curl -N localhost:8000/events/ticks
    curl localhost:8000/say/lobby --json '{"from": "curl", "text": "hello"}'
"""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from nexus_gateway import Routes, body, get, param, path, post, public
from nexus_gateway.client import Gap, Message, Realtime
from nexus_gateway.realtime.hub import Hub, allow, namespace
from nexus_gateway.server import Application, Server

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class Line(msgspec.Struct):
    """What somebody says."""

    text: str
    who: str = msgspec.field(default="somebody", name="from")


EVERYBODY = allow(anonymous=True)
hub = Hub(
    namespace("chat:*", subscribe=EVERYBODY, publish=EVERYBODY, history=100, presence=True),
    # Who is late wants the newest tick, not all that came before it.
    namespace("ticks", subscribe=EVERYBODY, history=1, overflow="conflate", queue=1),
)


async def say(room: str, line: Line) -> Line:
    await hub.publish(f"chat:{room}", line)
    return line


async def tick() -> None:
    number = 0
    while True:
        number += 1
        await hub.publish("ticks", {"number": number, "at": time.time()})
        await asyncio.sleep(1)


@asynccontextmanager
async def ticking() -> AsyncGenerator[None]:
    ticker = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticker.cancel()
        with suppress(asyncio.CancelledError):
            await ticker


routes: Routes = (
    (path("ws/realtime") & get() & public()).hub("socket")
    | (path("events") / param("channel", str) & get() & public()).hub("events")
    | (path("history") / param("channel", str) & get() & public()).hub("history")
    | (path("say") / param("room", str) & post() & public() & body(Line)).then(say, status=201)
)
application = Application(routes, hub=hub, lifespan=ticking)


async def chat(url: str, name: str, lines: list[str]) -> None:
    """Join the lobby, say some lines, and print what is heard until all of them came back."""
    async with Realtime(f"{url}/ws/realtime") as client, client.subscribe("chat:lobby") as lobby:
        await lobby.ready()
        for text in lines:
            await client.publish("chat:lobby", Line(text, name))
        async for event in lobby:
            match event:
                case Message():
                    line = event.read(Line)
                    print(f"{name} hears {line.who}: {line.text}", flush=True)
                    if line == Line(lines[-1], name):
                        return
                case Gap(count=count):
                    print(f"{name} has lost {count} lines", flush=True)
                case _:
                    pass


async def main(port: int) -> None:
    async with Server(application, listen=[("127.0.0.1", port)]) as server:
        address = "http://{}:{}".format(*server.addresses[0])
        print(f"listening on {address}", flush=True)
        await chat(address, "ada", ["hello", "is anybody there?"])
        await asyncio.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8000))
