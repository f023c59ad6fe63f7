"""Many subscribers in one process, each as cheap as can be, that trust nobody's numbers.

A listener follows one channel whose messages are the numbers 1, 2, 3, ... It comes back where it
was when its server dies, and keeps account: what came twice, what is missing, and whether it was
told so. It is no client for use: `nexus_gateway.client` is.
"""

from __future__ import annotations

import asyncio
import base64
import os
import random
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec

from tests.acceptance.realtime.socket import Frame

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

Address = tuple[str, int]
_MESSAGE = re.compile(
    rb'\{"type":"message","channel":"[^"]*","data":(\d+),"epoch":"([^"]+)","offset":(\d+),'
)
_TEXT, _CLOSE, _PING = 1, 8, 9


class Listener(asyncio.Protocol):
    """One subscriber, over all its connections."""

    def __init__(self, channel: str, token: str, places: Sequence[Address]) -> None:
        self._channel = channel
        self._token = token
        self._places = list(places)
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._open = False
        self._ended = False
        self._coming: asyncio.Task[None] | None = None
        self._position: tuple[str, int] | None = None
        self.subscribed = asyncio.Event()
        self.place: Address | None = None
        self.last: int | None = None
        self.twice: list[int] = []
        self.missing: dict[int, bool] = {}
        """Numbers that did not come, and whether it was told that something did not."""
        self.recoveries: list[bool] = []
        self._told = False

    # --- coming and going ---

    async def come(self) -> None:
        """Connect to the first server that answers."""
        while not self._ended:
            for place in self._places:
                try:
                    await asyncio.get_running_loop().create_connection(lambda: self, *place)
                except OSError:
                    continue
                self.place = place
                return
            await asyncio.sleep(random.random() / 2)  # jitter

    def leave(self) -> None:
        """End it for good."""
        self._ended = True
        if self._coming is not None:
            self._coming.cancel()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._buffer, self._open = transport, b"", False
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "GET /ws/realtime HTTP/1.1", "host: localhost", "connection: upgrade",
            "upgrade: websocket", "sec-websocket-version: 13", f"sec-websocket-key: {key}",
            f"authorization: Bearer {self._token}", "", "",
        ]  # fmt: skip
        transport.write("\r\n".join(lines).encode())

    def connection_lost(self, exc: Exception | None) -> None:
        self.subscribed.clear()
        if not self._ended:
            # Whoever lost the same server comes back at another moment.
            self._coming = asyncio.ensure_future(self._come_back())

    async def _come_back(self) -> None:
        await asyncio.sleep(random.random())  # jitter
        random.shuffle(self._places)
        await self.come()

    # --- what comes ---

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if not self._open and not self._opened():
            return
        content, place = self._buffer, 0
        while len(content) - place >= 2:
            length, start = content[place + 1], place + 2
            if length >= 126:
                size = 2 if length == 126 else 8
                length = int.from_bytes(content[start : start + size])
                start += size
            if len(content) < start + length:
                break
            self._frame(content[place] & 15, content[start : start + length])
            place = start + length
        self._buffer = content[place:]

    def _opened(self) -> bool:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return False
        if not head.startswith(b"HTTP/1.1 101 "):
            assert self._transport is not None
            self._transport.abort()
            return False
        self._open, self._buffer = True, rest
        frame: Frame = {"type": "subscribe", "channel": self._channel, "id": 1}
        if self._position is not None:
            frame |= {"epoch": self._position[0], "offset": self._position[1]}
        self._write(_TEXT, msgspec.json.encode(frame))
        return True

    def _write(self, opcode: int, payload: bytes) -> None:
        """Send a short frame; a mask of zeroes is a mask."""
        assert self._transport is not None
        size = len(payload)
        assert size < 1 << 16
        length = bytes([0x80 | size]) if size < 126 else bytes([0xFE]) + size.to_bytes(2)
        self._transport.write(bytes([0x80 | opcode]) + length + bytes(4) + payload)

    def _frame(self, opcode: int, payload: bytes) -> None:
        if opcode == _TEXT:
            found = _MESSAGE.match(payload)
            if found is None:
                self._other(msgspec.json.decode(payload, type=Frame))
            else:
                self._message(int(found[1]), found[2].decode(), int(found[3]))
        elif opcode == _PING:
            self._write(10, payload)
        elif opcode == _CLOSE:
            assert self._transport is not None
            self._transport.close()

    def _other(self, frame: Frame) -> None:
        match frame["type"]:
            case "ack":
                if "recovered" in frame:
                    self.recoveries.append(frame["recovered"] is True)
                if frame.get("recovered") is not True:
                    self._told = self._told or self._position is not None
                    self._position = (str(frame["epoch"]), int(str(frame["offset"])))
                self.subscribed.set()
            case "dropped":
                self._told = True
            case _:
                pass

    def _message(self, number: int, epoch: str, offset: int) -> None:
        if self._position is not None and self._position[0] != epoch:
            self._told = True  # a new epoch says that the old numbering is worth nothing
        self._position = (epoch, offset)
        last = self.last
        if last is not None and number <= last:
            self.twice.append(number)
            return
        for missed in range(number if last is None else last + 1, number):
            self.missing[missed] = self._told
        self._told = False
        self.last = number


@asynccontextmanager
async def gathered(
    count: int, channel: str, token: Callable[[int], str], places: Sequence[Address]
) -> AsyncGenerator[list[Listener]]:
    """Bring so many listeners to a channel, in turns to each of the places first."""
    crowd: list[Listener] = []
    for number in range(count):
        first = number % len(places)
        order = [*places[first:], *places[:first]]
        crowd.append(Listener(channel, token(number), order))
    try:
        for start in range(0, count, 50):
            some = crowd[start : start + 50]
            await asyncio.gather(*(listener.come() for listener in some))
            async with asyncio.timeout(30):
                await asyncio.gather(*(listener.subscribed.wait() for listener in some))
        yield crowd
    finally:
        for listener in crowd:
            listener.leave()
        await asyncio.sleep(0)  # transports close at the loop's next turn
