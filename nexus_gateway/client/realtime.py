"""The client of the hub: it reconnects, resumes its subscriptions and sends requests.

One task opens the connections, one after another. It ends when the client is closed, or when the
hub closes a connection in a way that makes another attempt useless.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
import traceback
from typing import TYPE_CHECKING, Self

from websockets.exceptions import ConnectionClosed

from nexus_gateway.client.backoff import Backoff
from nexus_gateway.client.codec import JSON, Codec
from nexus_gateway.client.connection import Connection
from nexus_gateway.client.errors import RealtimeError
from nexus_gateway.client.options import AuthMethod, Options, Status, TokenSource
from nexus_gateway.client.redaction import Redaction
from nexus_gateway.client.requests import Requests
from nexus_gateway.client.subscription import Subscription
from nexus_gateway.realtime import frames
from nexus_gateway.values.credentials import check_token

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from nexus_gateway.client.endings import Ending
    from nexus_gateway.realtime.frames import Ack, History, Member, Message, Position, SentByServer

_REFUSED_TOKENS_MAX = 3
"""Tokens that the hub may refuse in a row before the client gives up."""
_RETRY_AFTER_S_MAX = 600.0
_logger = logging.getLogger(__name__)


class Realtime:
    """A client of the hub, as an async context manager that closes it at the end."""

    def __init__(
        self,
        url: str,
        *,
        token: TokenSource = None,
        auth: AuthMethod = "header",
        codec: Codec = JSON,
        backoff: Backoff | None = None,
        on_status: Callable[[Status], None] | None = None,
        options: Options | None = None,
    ) -> None:
        """Store the settings; the client connects when its context is entered.

        Args:
            url: of the hub; `http` means `ws`.
            token: the token, or a function that returns one. The client calls it for each
                connection, and when a token expires. It never sends a malformed token, and no
                error, status or log line contains one.
            auth: how the token is sent: in a `header`, or as in a browser, in a `subprotocol` or
                in the first `message`.
            codec: `JSON` or `MSGPACK`.
            backoff: delays between attempts.
            on_status: called at each change of the status.
            options: timeouts and bounds.

        Raises:
            ValueError: the token is malformed; the message does not quote it.
        """
        if isinstance(token, str):
            check_token(token, subprotocol=auth == "subprotocol")
        self.url = f"ws{url.removeprefix('http')}" if url.startswith("http") else url
        self.token = token
        self.auth: AuthMethod = auth
        self.codec = codec
        self.backoff = backoff or Backoff()
        self.options = options or Options()
        self.redaction = Redaction(self.url)
        self._on_status = on_status
        self._requests = Requests(self.options.max_requests)
        self._subscriptions: dict[str, Subscription] = {}
        self._subscribing: dict[int, Subscription] = {}
        self._connection: Connection | None = None
        self._changed = asyncio.Event()
        self._status = Status("connecting")
        self._running: asyncio.Task[None] | None = None

    @property
    def status(self) -> Status:
        """The state of the connection."""
        return self._status

    async def __aenter__(self) -> Self:
        """Start to connect; requests wait for the connection."""
        self._running = asyncio.create_task(self._run(), name="nexus-realtime")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the client; pending requests fail with `closed`."""
        await self.close()

    async def close(self) -> None:
        """Close the client; the iterators of its subscriptions end."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            # If the program's token function calls this, the task would wait for itself.
            if running is not asyncio.current_task():
                await asyncio.wait([running])
        self._finish(1000, "closed by this client", failed=False)

    async def connected(self) -> None:
        """Wait until the client is connected.

        Raises:
            RealtimeError: `closed`, with the reason.
        """
        await self._welcomed()

    async def wait_closed(self) -> Status:
        """Wait until the client is closed; return the status, which says why."""
        while self._status.state != "closed":
            self._changed.clear()
            await self._changed.wait()
        return self._status

    def subscribe(
        self,
        channel: str,
        *,
        presence: bool = False,
        position: Position | None = None,
        consumer: str | None = None,
        buffer: int = 1024,
    ) -> Subscription:
        """Subscribe to a channel, now and after each reconnection, until `unsubscribe`.

        Args:
            channel: its name.
            presence: also receive joins and leaves.
            position: messages after it are delivered. By default delivery starts with the next
                message, or on a channel with at-least-once delivery, with the first message that
                `consumer` has not acknowledged.
            consumer: the name under which messages are acknowledged, within the token's subject;
                see `acknowledge`.
            buffer: events that may wait to be consumed.

        Raises:
            RealtimeError: `already_subscribed`, since a client has one subscription of a channel;
                or `closed`.
        """
        if channel in self._subscriptions:
            message = f"the channel {channel!r} has a subscription"
            raise RealtimeError("already_subscribed", message)
        if self._status.state == "closed":
            raise self._closed()
        made = Subscription(
            channel,
            presence=presence,
            position=position,
            consumer=consumer,
            buffer=buffer,
            end=self._forget,
        )
        self._subscriptions[channel] = made
        if self._connection is not None:
            self._connection.spawn(self._ask(made, self._connection))
        return made

    async def publish(
        self, channel: str, data: object, *, key: str | None = None, traceparent: str | None = None
    ) -> Ack:
        """Publish a message, and wait until the hub has accepted it; wait for a connection first.

        Raises:
            RealtimeError: the hub refused it, or the outcome is unknown: `connection_lost`,
                `timeout`.
            TypeError: `data` cannot be encoded.
        """
        number = self._requests.number()
        frame = frames.Publish(channel, data, number, key, traceparent)
        return await self._request(number, frame, frames.Ack)

    async def acknowledge(self, message: Message) -> Ack:
        """Acknowledge a message and all before it, on a channel with at-least-once delivery.

        After a restart the program receives the messages that it has not acknowledged, with
        `redelivered` if they were sent before. A running client receives no message twice.

        Raises:
            RealtimeError: the hub refused it, or the outcome is unknown; the message may then be
                delivered again.
        """
        number = self._requests.number()
        frame = frames.Acknowledge(message.channel, message.offset, number, message.epoch)
        return await self._request(number, frame, frames.Ack)

    async def history(
        self, channel: str, *, position: Position | None = None, limit: int | None = None
    ) -> History:
        """Read the stored messages of a channel after a position, the oldest first.

        Raises:
            RealtimeError: the hub refused it, or did not answer.
        """
        number = self._requests.number()
        epoch, offset = (None, None) if position is None else (position.epoch, position.offset)
        frame = frames.HistoryRequest(channel, number, epoch, offset, limit)
        return await self._request(number, frame, frames.History)

    async def presence(self, channel: str) -> Sequence[Member]:
        """List the subscribers of a channel.

        Raises:
            RealtimeError: the hub refused it, or did not answer.
        """
        number = self._requests.number()
        frame = frames.PresenceRequest(channel, number)
        return (await self._request(number, frame, frames.Presence)).members

    async def _request(
        self, number: int, frame: frames.ClientFrame, kind: type[frames.T]
    ) -> frames.T:
        content = self.codec.encode(frame)
        try:
            with self._requests.slot():
                async with asyncio.timeout(self.options.request_timeout):
                    connection = await self._welcomed()
                    if len(content) > connection.frame_bytes_max:
                        bound = (
                            f"the hub takes frames of {connection.frame_bytes_max} bytes at most"
                        )
                        raise RealtimeError("payload_too_large", bound)
                    with self._requests.sent(number) as answer:
                        await connection.deliver(content)
                        found = await answer
        except TimeoutError:
            seconds = self.options.request_timeout
            why = f"; {self._status.reason}" if self._status.state == "waiting" else ""
            raise RealtimeError("timeout", f"no answer came within {seconds:g} s{why}") from None
        except ConnectionClosed as error:
            # Not as the cause: it quotes the reason of the close without redaction.
            message = f"while it was sent: {error}"
            raise self.redaction.error("connection_lost", message) from None
        if not isinstance(found, kind):
            other = type(found).__name__
            raise RealtimeError("internal_error", f"expected {kind.__name__}, found {other}")
        return found

    async def _welcomed(self) -> Connection:
        while self._connection is None:
            if self._status.state == "closed":
                raise self._closed()
            self._changed.clear()
            await self._changed.wait()
        return self._connection

    # --- the connections ---

    async def _run(self) -> None:
        try:
            ending = await self._reconnect()
        except Exception as error:  # noqa: BLE001  # a fault of the client must not leave callers waiting
            self._log_failure("the client of the hub has failed", error)
            self._finish(1011, repr(error))
        else:
            self._finish(ending.code, ending.reason)

    async def _reconnect(self) -> Ending:
        refused_tokens = 0
        while True:
            self._set_status(Status("connecting"))
            connection = Connection(self, self)
            try:
                ending = await connection.run()
            finally:
                self._disconnected(connection)
            if connection.lasted:
                refused_tokens = 0
            if ending.verdict == "fresh-token":
                refused_tokens += 1
                if not callable(self.token) or refused_tokens > _REFUSED_TOKENS_MAX:
                    return ending
            if ending.verdict == "stop":
                return ending
            await self._pause(connection, ending)

    async def _pause(self, connection: Connection, ending: Ending) -> None:
        if connection.reconnect_at is not None:
            seconds = max(0.0, connection.reconnect_at - time.monotonic())
        else:
            seconds = ending.pause + self.backoff.next()
        reason = self.redaction.text(ending.reason)
        self._set_status(Status("waiting", code=ending.code, reason=reason, retry_in=seconds))
        await asyncio.sleep(seconds)

    def _disconnected(self, connection: Connection) -> None:
        """Forget a connection that has ended, and fail the requests that it was to answer."""
        self.backoff.lasted(connection.lasted)
        self._connection = None
        self._subscribing.clear()
        self._requests.lost()

    def _finish(self, code: int, reason: str, *, failed: bool = True) -> None:
        if self._status.state == "closed":
            return
        self._set_status(Status("closed", code=code, reason=self.redaction.text(reason)))
        error = self._closed() if failed else None
        for subscription in self._subscriptions.values():
            subscription.finish(error)
        self._subscriptions.clear()

    def _closed(self) -> RealtimeError:
        code, reason = self._status.code, self._status.reason
        return RealtimeError("closed", f"the connection is closed: {code} {reason}")

    def _set_status(self, status: Status) -> None:
        self._status = status
        self._changed.set()
        if self._on_status is not None:
            try:
                self._on_status(status)
            except Exception as error:  # noqa: BLE001  # code of the program: the client goes on
                self._log_failure("on_status has failed", error)

    def _log_failure(self, what: str, error: Exception) -> None:
        lines = "".join(traceback.format_exception(error))
        _logger.error("%s\n%s", what, self.redaction.text(lines))

    # --- called by the connection ---

    async def welcomed(self, connection: Connection, name: str) -> None:
        """Subscribe to every channel again, then admit requests."""
        self._connection = connection
        for subscription in list(self._subscriptions.values()):
            await self._ask(subscription, connection)
        self._set_status(Status("connected", connection=name))

    def on_frame(self, frame: SentByServer) -> None:
        """Pass a frame to its subscription or request."""
        match frame:
            case frames.Message(channel=channel):
                if channel in self._subscriptions:
                    self._subscriptions[channel].received(frame)
            case frames.Dropped(channel=channel):
                if channel in self._subscriptions:
                    self._subscriptions[channel].dropped(frame)
            case frames.Join(channel=channel) | frames.Leave(channel=channel):
                if channel in self._subscriptions:
                    self._subscriptions[channel].moved(frame)
            case frames.Ack() | frames.History() | frames.Presence():
                self._answered(frame.id, frame)
            case frames.Error(code=code, error=message, retry_after=after):
                self._refuse(frame, self.redaction.error(code, message, after))
            case _:
                pass

    def _refuse(self, frame: frames.Error, error: RealtimeError) -> None:
        """Pass an error to its request or subscription.

        Without an id it ends a subscription: a new token does not permit it, for example.
        """
        if frame.id is not None:
            self._answered(frame.id, error)
            return
        ended = self._subscriptions.pop(frame.channel or "", None)
        if ended is None:
            _logger.warning("error of the hub: %s", error)
        else:
            ended.finish(error)

    def _answered(self, number: frames.Id | None, outcome: SentByServer | RealtimeError) -> None:
        asked = self._subscribing.pop(number, None) if isinstance(number, int) else None
        if asked is None:
            self._requests.answer(number, outcome)
        elif self._subscriptions.get(asked.channel) is not asked:
            return
        elif isinstance(outcome, RealtimeError):
            self._refused(asked, outcome)
        elif isinstance(outcome, frames.Ack):
            asked.acknowledged(outcome)

    def _refused(self, subscription: Subscription, error: RealtimeError) -> None:
        """Subscribe again after `retry_after`; without it, end the subscription with the error."""
        connection = self._connection
        if error.retry_after is not None and connection is not None:
            known = 0.0 if math.isnan(error.retry_after) else error.retry_after
            seconds = min(max(0.0, known), _RETRY_AFTER_S_MAX)
            connection.spawn(self._ask(subscription, connection, after=seconds))
        else:
            self._subscriptions.pop(subscription.channel, None)
            subscription.finish(error)

    async def _ask(
        self, subscription: Subscription, connection: Connection, *, after: float = 0.0
    ) -> None:
        if after:
            await asyncio.sleep(after)
        if self._subscriptions.get(subscription.channel) is subscription:
            number = self._requests.number()
            self._subscribing[number] = subscription
            await connection.send(subscription.request(number))

    async def _forget(self, subscription: Subscription) -> None:
        if self._subscriptions.get(subscription.channel) is subscription:
            del self._subscriptions[subscription.channel]
            self._subscribing.pop(subscription.pending or 0, None)
            if self._connection is not None:
                # With an id, so that a refusal is not mistaken for one of the next subscription.
                number = self._requests.number()
                await self._connection.send(frames.Unsubscribe(subscription.channel, number))
