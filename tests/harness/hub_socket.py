"""A socket to the hub, as the package `websockets` opens it, with what tests say and expect."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import jwt
import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from tests.harness.gateway_process import PATIENCE, SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.harness.gateway_process import Gateway

Frame = dict[str, object]


def token_of(
    *scopes: str,
    subject: str = "alice",
    seconds: float = 600,
    tenant: str | None = None,
    jti: str | None = None,
) -> str:
    """Make a token that `SECRET` signed."""
    now = int(time.time())
    claims: dict[str, object] = {"sub": subject, "scopes": list(scopes), "iat": now}
    claims["exp"] = int(time.time() + seconds)
    claims |= {} if tenant is None else {"tenant": tenant}
    claims |= {} if jti is None else {"jti": jti}
    return jwt.encode(claims, SECRET, "HS256")


class Socket:
    """One socket, after its welcome."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.binary = connection.subprotocol == "nexus.msgpack"
        self.welcome: Frame = {}
        self.unread: list[Frame] = []
        """Frames that have come and were not looked at."""

    async def send(self, **frame: object) -> None:
        await self.write(frame)

    async def write(self, value: object) -> None:
        """Send anything that can be written, as one message."""
        if self.binary:
            await self.connection.send(msgspec.msgpack.encode(value))
        else:
            await self.connection.send(msgspec.json.encode(value).decode())

    async def next(self, kind: str | None = None, *, patience: float = PATIENCE) -> Frame:
        """Wait for the next frame, which must be of this kind."""
        while not self.unread:
            async with asyncio.timeout(patience):
                content = await self.connection.recv(decode=False)
            assert isinstance(content, bytes)
            decode = msgspec.msgpack.decode if self.binary else msgspec.json.decode
            found = decode(content, type=list[Frame] | Frame)
            self.unread += found if isinstance(found, list) else [found]
        frame = self.unread.pop(0)
        assert kind is None or frame["type"] == kind, frame
        return frame

    async def until(self, kind: str, *, patience: float = PATIENCE) -> Frame:
        """Wait for the next frame of this kind, whatever comes before."""
        while (frame := await self.next(patience=patience))["type"] != kind:
            pass
        return frame

    async def ask(self, answered: str = "ack", /, **frame: object) -> Frame:
        """Send a frame and wait for its answer, which must be of this kind."""
        await self.send(id="asked", **frame)
        before: list[Frame] = []
        while (answer := await self.next()).get("id") != "asked":
            before.append(answer)
        self.unread = before + self.unread
        assert answer["type"] == answered, answer
        return answer

    async def subscribe(self, channel: str, **more: object) -> Frame:
        return await self.ask(**{"type": "subscribe", "channel": channel, **more})

    async def publish(self, channel: str, data: object, **more: object) -> Frame:
        return await self.ask(**{"type": "publish", "channel": channel, "data": data, **more})

    async def messages(self, number: int) -> list[Frame]:
        """Take so many messages, and nothing between them."""
        return [await self.next("message") for _ in range(number)]

    async def closed(self) -> tuple[int, str]:
        """Wait for the close, whatever comes before; its code and reason."""
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(PATIENCE):
                while True:
                    await self.connection.recv(decode=False)
        return self.connection.close_code or 0, self.connection.close_reason or ""


@contextlib.asynccontextmanager
async def opened(
    gateway: Gateway,
    path: str = "/ws/realtime",
    *,
    token: str | None = None,
    protocols: tuple[str, ...] = (),
    welcomed: bool = True,
    **options: object,
) -> AsyncGenerator[Socket]:
    """Open a socket; without a token, with one that has no scope."""
    headers = {} if token == "" else {"authorization": f"Bearer {token or token_of()}"}
    connecting = connect(
        f"ws://127.0.0.1:{gateway.port}{path}",
        additional_headers=headers,
        subprotocols=[Subprotocol(name) for name in protocols] or None,
        open_timeout=PATIENCE,
        close_timeout=0.5,
        ping_interval=None,
        **options,  # type: ignore[arg-type]
    )
    async with connecting as connection:
        socket = Socket(connection)
        if welcomed:
            socket.welcome = await socket.next("welcome")
        yield socket
