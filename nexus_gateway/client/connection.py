"""One connection to the hub, from its opening to its end: the socket, the token, the advice.

What frames mean is decided by who owns it (`Owner`); what ended it is an `Ending`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
import time
from typing import TYPE_CHECKING, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException
from websockets.typing import Subprotocol

from nexus_gateway import frames
from nexus_gateway.client import endings
from nexus_gateway.credentials import check_token

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from nexus_gateway.client.backoff import Backoff
    from nexus_gateway.client.codec import Codec
    from nexus_gateway.client.endings import Ending
    from nexus_gateway.client.options import Bringing, Options, TokenSource
    from nexus_gateway.client.redaction import Redaction
    from nexus_gateway.frames import SentByServer

_FARTHEST = 600.0
"""Seconds that a server may ask a client to stay away at most."""
_logger = logging.getLogger(__name__)
# `websockets` logs every header and frame at the level DEBUG, and so every token.
_SOCKET_LOG = logging.getLogger("nexus_gateway.client.websockets")
_SOCKET_LOG.addFilter(lambda record: record.levelno > logging.DEBUG)
_SOCKET_LOG.setLevel(logging.INFO)


_URL_EXPECTED = (
    "the URL cannot be used: expected ws://host or wss://host, or http or https; a TLS context"
    " needs wss or https"
)


class _MalformedTokenError(Exception):
    """The source of tokens has given what cannot be one; the message says why."""


class _Opening(connect):
    """Opens a connection to the given address only: tokens are not for where it redirects to."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class Owner(Protocol):
    """Who a connection is made for."""

    async def welcomed(self, connection: Connection, name: str) -> None:
        """The hub calls the connection by this name; from now on it may be asked."""

    def take(self, frame: SentByServer) -> None:
        """A frame has come that is not about the connection."""


class Manner(Protocol):
    """How connections are made."""

    url: str
    token: TokenSource
    auth: Bringing
    codec: Codec
    backoff: Backoff
    options: Options
    redaction: Redaction


class Connection:
    """One attempt, and what comes of it."""

    def __init__(self, manner: Manner, owner: Owner) -> None:
        self._manner = manner
        self._owner = owner
        self._socket: ClientConnection | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._welcomed = False
        self.lasted = 0.0
        """Seconds since the welcome, once it has ended."""
        self.come_back_at: float | None = None
        """When the hub wants the client again, by `time.monotonic`."""
        self.frame_bytes_max: float = math.inf
        """What the hub takes; a longer frame would end the connection."""

    async def run(self) -> Ending:
        """Connect, read until the end, and say how it ended."""
        try:
            async with asyncio.timeout(self._manner.options.connect_timeout):
                token = await self._token()
        except _MalformedTokenError as error:
            return endings.malformed_token(str(error))
        except Exception as error:  # noqa: BLE001  # the program's own: whatever it raises, try again
            # Its text may quote the program's credentials.
            return endings.tokenless(error)
        try:
            async with asyncio.timeout(self._manner.options.connect_timeout):
                socket = await self._open(token)
        except InvalidStatus as error:
            return endings.refused(error)
        except (InvalidURI, ValueError):
            # Their texts quote the URL, which may bring credentials.
            return endings.Ending(endings.ABNORMAL, _URL_EXPECTED, "stop")
        except (OSError, TimeoutError, WebSocketException) as error:
            return endings.failed(error)
        self._socket = socket
        try:
            return await self._converse(socket, token)
        finally:
            for task in self._tasks:
                task.cancel()
            await socket.close()

    async def send(self, frame: frames.ClientFrame) -> None:
        """Send a frame; on a connection that has ended nothing happens, its end is told anyway."""
        try:
            await self.deliver(self._manner.codec.encode(frame))
        except ConnectionClosed:
            return

    async def deliver(self, content: bytes) -> None:
        """Send what the codec has written.

        Raises:
            ConnectionClosed: the connection has ended.
        """
        assert self._socket is not None  # noqa: S101  # nobody has it before it is open
        await self._socket.send(content, text=self._manner.codec.text)

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Do something beside reading, at most until the end of the connection."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, token: str | None) -> ClientConnection:
        manner = self._manner
        offered, headers = [manner.codec.protocol], dict[str, str]()
        if token is not None:
            match manner.auth:
                case "header":
                    headers["authorization"] = f"Bearer {token}"
                case "subprotocol":
                    offered.append(f"nexus.bearer.{token}")
                case "message":
                    offered.append("nexus.auth")
        return await _Opening(
            manner.url,
            subprotocols=[Subprotocol(name) for name in offered],
            additional_headers=headers,
            open_timeout=None,
            close_timeout=1,
            ping_interval=manner.options.heartbeat,
            ping_timeout=manner.options.heartbeat,
            max_size=manner.options.max_bytes,
            ssl=manner.options.tls,
            logger=_SOCKET_LOG,
        )

    async def _token(self) -> str | None:
        """Ask for the token; it is remembered as one that no text may contain."""
        source = self._manner.token
        if source is None:
            return None
        given: object = source
        if callable(source):
            given = source()
            given = await given if inspect.isawaitable(given) else given
        if isinstance(given, str):
            self._manner.redaction.remember(given)
        try:
            return check_token(given, subprotocol=self._manner.auth == "subprotocol")
        except ValueError as error:
            raise _MalformedTokenError(str(error)) from None

    async def _converse(self, socket: ClientConnection, token: str | None) -> Ending:
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._manner.options.connect_timeout):
                if token is not None and self._manner.auth == "message":
                    await self.send(frames.Auth(token))
                while not self._welcomed:
                    await self._read(socket)
            began = time.monotonic()
            while True:
                await self._read(socket)
        except ConnectionClosed:
            advised = self.come_back_at is not None and socket.close_code == 1000
            return endings.closed(1001 if advised else socket.close_code, socket.close_reason)
        except TimeoutError:
            return endings.failed(TimeoutError("no welcome came in time"))
        except ValueError as error:
            await socket.close(1007, "a frame cannot be read")
            return endings.closed(1007, str(error))
        finally:
            self.lasted = time.monotonic() - began if self._welcomed else 0.0

    async def _read(self, socket: ClientConnection) -> None:
        for frame in self._manner.codec.decode(await socket.recv(decode=False)):
            match frame:
                case frames.Welcome(connection=name, max_bytes=max_bytes):
                    self._welcomed = True
                    self.frame_bytes_max = max_bytes
                    await self._owner.welcomed(self, name)
                case frames.Expiring():
                    self.spawn(self._refresh())
                case frames.Reconnect(delay_ms=delay_ms):
                    seconds = 0.0 if math.isnan(delay_ms) else min(delay_ms / 1000, _FARTHEST)
                    part = self._manner.backoff.part(seconds)
                    self.come_back_at = time.monotonic() + part
                    self.spawn(self._go(socket, part))
                case _:
                    self._owner.take(frame)

    async def _refresh(self) -> None:
        if not callable(self._manner.token):
            return
        try:
            token = await self._token()
        except Exception as error:  # noqa: BLE001  # the hub closes with 4001, and it is asked again
            malformed = isinstance(error, _MalformedTokenError)
            why = str(error) if malformed else f"its source has raised {type(error).__name__}"
            _logger.warning("no fresh token: %s", why)
        else:
            if token is not None:
                await self.send(frames.Auth(token))

    async def _go(self, socket: ClientConnection, after: float) -> None:
        await asyncio.sleep(after)
        await socket.close(1000, "asked to reconnect")
