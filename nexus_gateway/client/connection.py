"""One connection to the hub: the socket, the token, and the hub's request to reconnect.

Its `Owner` handles all other frames; an `Ending` says why it ended.
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

from nexus_gateway.client import endings
from nexus_gateway.realtime import frames
from nexus_gateway.values.credentials import check_token

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from nexus_gateway.client.backoff import Backoff
    from nexus_gateway.client.codec import Codec
    from nexus_gateway.client.endings import Ending
    from nexus_gateway.client.options import AuthMethod, Options, TokenSource
    from nexus_gateway.client.redaction import Redaction
    from nexus_gateway.realtime.frames import SentByServer

_RECONNECT_DELAY_MAX_S = 600.0
"""A longer delay that a server asks for is reduced to this."""
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
    """The token source returned a malformed token; the message says why."""


class _Connect(connect):
    """Opens a connection without following redirects, which would send the token elsewhere."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class Owner(Protocol):
    """Handles what a connection receives."""

    async def welcomed(self, connection: Connection, name: str) -> None:
        """Handle the welcome: the hub uses this name, and requests may be sent from now on."""

    def on_frame(self, frame: SentByServer) -> None:
        """Handle a frame that does not concern the connection itself."""


class ConnectionSettings(Protocol):
    """How to open connections."""

    url: str
    token: TokenSource
    auth: AuthMethod
    codec: Codec
    backoff: Backoff
    options: Options
    redaction: Redaction


class Connection:
    """One attempt to connect, and the connection that results."""

    def __init__(self, settings: ConnectionSettings, owner: Owner) -> None:
        self._settings = settings
        self._owner = owner
        self._socket: ClientConnection | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._welcomed = False
        self.lasted = 0.0
        """Seconds from the welcome to the end."""
        self.reconnect_at: float | None = None
        """When the hub asked the client to reconnect, by `time.monotonic`."""
        self.frame_bytes_max: float = math.inf
        """The longest frame that the hub accepts; it closes the connection after a longer one."""

    async def run(self) -> Ending:
        """Connect, read until the end, and return why it ended."""
        try:
            async with asyncio.timeout(self._settings.options.connect_timeout):
                token = await self._token()
        except _MalformedTokenError as error:
            return endings.malformed_token(str(error))
        except Exception as error:  # noqa: BLE001  # code of the program: try again after any error
            # The text may quote credentials.
            return endings.tokenless(error)
        try:
            async with asyncio.timeout(self._settings.options.connect_timeout):
                socket = await self._open(token)
        except InvalidStatus as error:
            return endings.refused(error)
        except (InvalidURI, ValueError):
            # Their texts quote the URL, which may contain credentials.
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
        """Send a frame; do nothing on a closed connection, whose end is reported anyway."""
        try:
            await self.deliver(self._settings.codec.encode(frame))
        except ConnectionClosed:
            return

    async def deliver(self, content: bytes) -> None:
        """Send an encoded frame.

        Raises:
            ConnectionClosed: the connection has ended.
        """
        assert self._socket is not None  # noqa: S101  # not reachable before it is open
        await self._socket.send(content, text=self._settings.codec.text)

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run a coroutine while the connection is open; it is cancelled at the end."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, token: str | None) -> ClientConnection:
        settings = self._settings
        offered, headers = [settings.codec.protocol], dict[str, str]()
        if token is not None:
            match settings.auth:
                case "header":
                    headers["authorization"] = f"Bearer {token}"
                case "subprotocol":
                    offered.append(f"nexus.bearer.{token}")
                case "message":
                    offered.append("nexus.auth")
        return await _Connect(
            settings.url,
            subprotocols=[Subprotocol(name) for name in offered],
            additional_headers=headers,
            open_timeout=None,
            close_timeout=1,
            ping_interval=settings.options.heartbeat,
            ping_timeout=settings.options.heartbeat,
            max_size=settings.options.max_bytes,
            ssl=settings.options.tls,
            logger=_SOCKET_LOG,
        )

    async def _token(self) -> str | None:
        """Get the token, and remember it so that it is removed from all texts."""
        source = self._settings.token
        if source is None:
            return None
        token: object = source
        if callable(source):
            token = source()
            token = await token if inspect.isawaitable(token) else token
        if isinstance(token, str):
            self._settings.redaction.remember(token)
        try:
            return check_token(token, subprotocol=self._settings.auth == "subprotocol")
        except ValueError as error:
            raise _MalformedTokenError(str(error)) from None

    async def _converse(self, socket: ClientConnection, token: str | None) -> Ending:
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._settings.options.connect_timeout):
                if token is not None and self._settings.auth == "message":
                    await self.send(frames.Auth(token))
                while not self._welcomed:
                    await self._read(socket)
            began = time.monotonic()
            while True:
                await self._read(socket)
        except ConnectionClosed:
            advised = self.reconnect_at is not None and socket.close_code == 1000
            return endings.closed(1001 if advised else socket.close_code, socket.close_reason)
        except TimeoutError:
            return endings.failed(TimeoutError("no welcome came in time"))
        except ValueError as error:
            await socket.close(1007, "a frame cannot be read")
            return endings.closed(1007, str(error))
        finally:
            self.lasted = time.monotonic() - began if self._welcomed else 0.0

    async def _read(self, socket: ClientConnection) -> None:
        for frame in self._settings.codec.decode(await socket.recv(decode=False)):
            match frame:
                case frames.Welcome(connection=name, max_bytes=max_bytes):
                    self._welcomed = True
                    self.frame_bytes_max = max_bytes
                    await self._owner.welcomed(self, name)
                case frames.Expiring():
                    self.spawn(self._refresh())
                case frames.Reconnect(delay_ms=delay_ms):
                    seconds = (
                        0.0
                        if math.isnan(delay_ms)
                        else min(delay_ms / 1000, _RECONNECT_DELAY_MAX_S)
                    )
                    part = self._settings.backoff.part(seconds)
                    self.reconnect_at = time.monotonic() + part
                    self.spawn(self._close_after(socket, part))
                case _:
                    self._owner.on_frame(frame)

    async def _refresh(self) -> None:
        if not callable(self._settings.token):
            return
        try:
            token = await self._token()
        except Exception as error:  # noqa: BLE001  # the hub closes with 4001, and the client tries again
            malformed = isinstance(error, _MalformedTokenError)
            why = str(error) if malformed else f"its source has raised {type(error).__name__}"
            _logger.warning("no fresh token: %s", why)
        else:
            if token is not None:
                await self.send(frames.Auth(token))

    async def _close_after(self, socket: ClientConnection, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await socket.close(1000, "asked to reconnect")
