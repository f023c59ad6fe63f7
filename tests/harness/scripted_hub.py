"""A server that says what a test tells it to, over real sockets, and keeps what clients said.

What only a server can do wrong, or at the wrong moment, is tried with it; `tests/acceptance` speaks
with the real hub.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from nexus_gateway.client import Backoff, Options, Realtime, Status

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from websockets.http11 import Request, Response

    from nexus_gateway.client import Codec
    from nexus_gateway.client.options import AuthMethod, TokenSource

PATIENCE = 5.0
Frame = dict[str, object]


class Peer:
    """One socket, seen from the server."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.offered = socket.request.headers.get("sec-websocket-protocol", "")  # type: ignore[union-attr]
        self.authorization = socket.request.headers.get("authorization")  # type: ignore[union-attr]
        self._frames: asyncio.Queue[Frame] = asyncio.Queue()
        self._binary = socket.subprotocol == "nexus.msgpack"

    async def listen(self) -> None:
        """Keep what the client says."""
        decode = msgspec.msgpack.decode if self._binary else msgspec.json.decode
        try:
            while True:
                content = await self.socket.recv(decode=False)
                self._frames.put_nowait(decode(content, type=Frame))
        except ConnectionClosed:
            return

    async def send(self, *frames: Frame) -> None:
        """Send one frame, or several as a batch."""
        content = frames[0] if len(frames) == 1 else frames
        encode = msgspec.msgpack.encode if self._binary else msgspec.json.encode
        await self.socket.send(encode(content), text=not self._binary)

    async def welcome(self) -> None:
        await self.send(
            {"type": "welcome", "connection": "c1", "ping_seconds": 25, "max_bytes": 65536}
        )

    async def next(self, kind: str) -> Frame:
        """Wait for the next frame, which must be of this kind."""
        async with asyncio.timeout(PATIENCE):
            frame = await self._frames.get()
        assert frame["type"] == kind, frame
        return frame

    async def hold(self, channel: str, epoch: str = "e", offset: int = 0, **more: object) -> Frame:
        """Wait for a subscription and acknowledge it."""
        asked = await self.next("subscribe")
        assert asked["channel"] == channel
        ack = {"type": "ack", "id": asked["id"], "channel": channel}
        await self.send({**ack, "epoch": epoch, "offset": offset, **more})
        return asked


class Hub:
    """The server; `refuse` answers handshakes."""

    def __init__(self) -> None:
        self.url = ""
        self.refuse: Callable[[ServerConnection, Request], Response | None] | None = None
        self._peers: asyncio.Queue[Peer] = asyncio.Queue()

    async def peer(self, *, welcome: bool = True) -> Peer:
        """Wait for the next socket."""
        async with asyncio.timeout(PATIENCE):
            peer = await self._peers.get()
        if welcome:
            await peer.welcome()
        return peer

    def client(
        self,
        *,
        token: TokenSource = None,
        auth: AuthMethod = "header",
        codec: Codec | None = None,
        statuses: list[Status] | None = None,
        options: Options | None = None,
    ) -> Realtime:
        """Make a client with short times."""
        from nexus_gateway.client import JSON

        return Realtime(
            self.url,
            token=token,
            auth=auth,
            codec=codec or JSON,
            backoff=Backoff(0.005, 0.02),
            on_status=None if statuses is None else statuses.append,
            options=options,
        )

    async def handle(self, socket: ServerConnection) -> None:
        """Keep a socket and what it says."""
        peer = Peer(socket)
        self._peers.put_nowait(peer)
        await peer.listen()

    def answer(self, socket: ServerConnection, request: Request) -> Response | None:
        """Refuse a handshake where the test wants it."""
        return None if self.refuse is None else self.refuse(socket, request)


@asynccontextmanager
async def running() -> AsyncGenerator[Hub]:
    """Start the server."""
    hub = Hub()

    def choose(_: ServerConnection, offered: object) -> object:
        names = msgspec.convert(offered, list[str])
        return next((name for name in names if name in {"nexus.json", "nexus.msgpack"}), None)

    server: Server = await serve(
        hub.handle,
        "127.0.0.1",
        0,
        process_request=hub.answer,
        select_subprotocol=choose,  # type: ignore[arg-type]
    )
    async with server:
        port: int = next(iter(server.sockets)).getsockname()[1]
        hub.url = f"http://127.0.0.1:{port}"
        yield hub


def message(offset: int, channel: str = "c", epoch: str = "e", **more: object) -> Frame:
    """Write a message of a channel."""
    place = {"channel": channel, "epoch": epoch, "offset": offset}
    said = {"type": "message", "data": offset, "timestamp": "2026-01-02T03:04:05Z"}
    return {**said, **place, **more}
