"""Replacing the application a thousand times under load: nobody notices."""

from __future__ import annotations

import asyncio
import gc
import json
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import websockets

from nexus_gateway import Routes, get, param, path, public, rate_limit
from nexus_gateway.realtime.hub import Hub, allow, namespace
from nexus_gateway.server import Application, Server

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

SWAPS = 1_000
WARM_UP_SWAPS = 200
PUBLISHED_EVERY = 20
RESIDENT_GROWTH_BYTES_MAX = 16 << 20
ANYONE = allow(anonymous=True)


def resident_bytes() -> int:
    """Read the resident memory of this process."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


def application(version: int, hub: Hub) -> Application:
    """Describe one version; each has a limit of its own beside one that all share."""

    async def answer() -> dict[str, int]:
        await asyncio.sleep(0)
        return {"version": version}

    shared = rate_limit(per_second=1_000_000, burst=1_000_000, by="address", name="shared")
    own = rate_limit(
        per_second=1_000_000, burst=1_000_000 + version, by="address", name=f"own-{version % 7}"
    )
    return Application(
        Routes(
            (path("constant") & get() & public() & shared).answer({"version": version}),
            (path("handler") & get() & public() & own).then(answer),
            (path("metrics") & get() & public()).metrics("prometheus"),
            (path("ws") & get() & public()).hub("socket"),
            (path("channels") / param("channel", str) / "events" & get() & public()).hub("events"),
        ),
        hub=hub,
    )


class Load:
    """Clients that ask until they are told to stop; what they have got is counted."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.stop = asyncio.Event()
        self.answered = asyncio.Event()
        self.answers = 0
        self.versions: set[int] = set()

    async def over_http_1(self, target: str) -> None:
        """Send requests on one connection, which must stay open."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        while not self.stop.is_set():
            writer.write(b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n" % target.encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            self._count(await reader.readexactly(length))
        writer.close()

    async def over_http_2(self, target: str) -> None:
        """Send requests over HTTP/2, on a connection that is opened once."""
        async with httpx.AsyncClient(http1=False, http2=True) as client:
            while not self.stop.is_set():
                response = await client.get(f"http://127.0.0.1:{self._port}{target}")
                assert response.status_code == 200
                self._count(response.content)

    def _count(self, body: bytes) -> None:
        self.answers += 1
        self.answered.set()
        self.versions.add(json.loads(body)["version"])


async def events(port: int, ready: asyncio.Event) -> AsyncGenerator[str]:
    """Read the data of a channel's server-sent events from one response."""
    client = httpx.AsyncClient(timeout=None)
    async with (
        client,
        client.stream("GET", f"http://127.0.0.1:{port}/channels/news/events") as response,
    ):
        ready.set()
        async for line in response.aiter_lines():
            if line.startswith("data:"):
                yield line


async def replace(server: Server, hub: Hub, load: Load, versions: range) -> None:
    """Replace the application again and again, with some requests to each version."""
    for version in versions:
        await server.replace(application(version, hub))
        if version % PUBLISHED_EVERY == 0:
            await hub.publish("news", {"version": version})
        async with asyncio.timeout(10):
            for _ in range(6):
                load.answered.clear()
                await load.answered.wait()
    gc.collect()


async def subscribed(port: int) -> websockets.ClientConnection:
    """Open a socket that is subscribed."""
    socket = await websockets.connect(f"ws://127.0.0.1:{port}/ws")
    await socket.send('{"type":"subscribe","channel":"news","id":"1"}')
    while json.loads(await socket.recv()).get("id") != "1":
        pass
    return socket


async def published(socket: websockets.ClientConnection) -> list[object]:
    """Read messages until the last."""
    messages: list[object] = []
    while "last" not in messages:
        frame = json.loads(await socket.recv())
        if frame["type"] == "message":
            messages.append(frame["data"])
    return messages


async def test_a_thousand_replacements_fail_no_request_and_close_no_connection() -> None:
    hub = Hub(namespace("news", subscribe=ANYONE))
    async with Server(application(0, hub), listen=[("127.0.0.1", 0)]) as server:
        port = server.addresses[0][1]
        load, ready = Load(port), asyncio.Event()
        received: list[str] = []

        async def read_events() -> None:
            async for line in events(port, ready):
                received.append(line)
                if "last" in line:
                    return

        socket = await subscribed(port)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(read_events())
            for target in ("/constant", "/handler"):
                tasks.create_task(load.over_http_1(target))
                tasks.create_task(load.over_http_2(target))
            await ready.wait()
            await replace(server, hub, load, range(1, WARM_UP_SWAPS + 1))
            before = resident_bytes()
            await replace(server, hub, load, range(WARM_UP_SWAPS + 1, SWAPS + 1))
            after = resident_bytes()
            load.stop.set()
            await hub.publish("news", "last")
        messages = await published(socket)
        await socket.close()
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"http://127.0.0.1:{port}/metrics")).text

    expected = [
        {"version": version} for version in range(PUBLISHED_EVERY, SWAPS + 1, PUBLISHED_EVERY)
    ]
    assert messages == [*expected, "last"]
    assert len(received) == len(messages)
    assert len(load.versions) > SWAPS // 10
    assert max(load.versions) == SWAPS
    counted = sum(
        int(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith("nexus_http_requests_total{")
        and ('route="/constant"' in line or 'route="/handler"' in line)
    )
    assert counted == load.answers
    assert after - before < RESIDENT_GROWTH_BYTES_MAX
