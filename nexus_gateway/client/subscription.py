"""A subscription to one channel: an async iterator that remembers its position.

After a reconnection it asks for the messages that it missed. If some are lost, the iterator yields
a `Gap` before the next message.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

import msgspec

from nexus_gateway.realtime.frames import Ack, Dropped, Join, Leave, Message, Position, Subscribe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from nexus_gateway.client.errors import RealtimeError


class Gap(msgspec.Struct, frozen=True):
    """Missing messages; `count` is their number, None if unknown.

    reason: `lost` if the hub no longer stores them, `dropped` if the subscriber was too slow,
        `missing` if the offsets have a gap that the hub did not report.
    """

    channel: str
    reason: Literal["lost", "dropped", "missing"]
    count: int | None = None


Event: TypeAlias = Message | Gap | Join | Leave


class Subscription:
    """A channel and the position in it; iterate over it, or use it as an async context manager.

    Events that the program has not consumed wait in a queue of `buffer` events. If it is full, the
    oldest are dropped, and a `Gap` reports how many.
    """

    def __init__(
        self,
        channel: str,
        *,
        presence: bool,
        position: Position | None,
        consumer: str | None = None,
        buffer: int,
        end: Callable[[Subscription], Awaitable[None]],
    ) -> None:
        self.channel = channel
        self._presence = presence
        self._consumer = consumer
        self._last = position
        self._buffer = buffer
        self._end = end
        self._events: deque[Event] = deque()
        self._overrun: int | None = 0
        self._gap_reported = False
        self._pending: int | None = None
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._ack = Ack()
        self._ended = False
        self._error: RealtimeError | None = None

    @property
    def position(self) -> Position | None:
        """The position of the last message received, consumed or not."""
        return self._last

    async def ready(self) -> Ack:
        """Wait until the hub has accepted the subscription; return its answer.

        Raises:
            RealtimeError: the hub refuses it, or the client is closed.
        """
        await self._settled.wait()
        if self._error is not None:
            raise self._error
        return self._ack

    async def unsubscribe(self) -> None:
        """Stop listening; the iterator ends."""
        self.finish(None)
        await self._end(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.unsubscribe()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Wait for the next event.

        Raises:
            RealtimeError: the hub refuses the subscription, or the client is closed.
        """
        while not self._events:
            if self._ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        if self._overrun != 0:
            gap = Gap(self.channel, "dropped", self._overrun)
            self._overrun = 0
            return gap
        return self._events.popleft()

    # --- called by the client ---

    @property
    def pending(self) -> int | None:
        """The id of the subscribe request that the hub has not answered yet.

        Until it has, messages of the channel belong to an earlier subscription.
        """
        return self._pending

    def request(self, number: int) -> Subscribe:
        """Make the frame that subscribes to the channel, from the last position."""
        self._pending = number
        last = self._last
        return Subscribe(
            self.channel,
            id=number,
            epoch=None if last is None else last.epoch,
            offset=None if last is None else last.offset,
            presence=self._presence,
            consumer=self._consumer,
        )

    def acknowledged(self, ack: Ack) -> None:
        """Handle the position from which messages follow."""
        self._pending = None
        last = self._last
        acked = None if ack.epoch is None or ack.offset is None else Position(ack.epoch, ack.offset)
        if last is not None and ack.recovered is not True:
            known = acked is not None and acked.epoch == last.epoch and acked.offset > last.offset
            lost = acked.offset - last.offset if known and acked is not None else None
            self._put(Gap(self.channel, "lost", lost))
        if acked is not None and not (last is not None and ack.recovered is True):
            self._last = acked
        self._gap_reported = False
        self._ack = ack
        self._settled.set()

    def received(self, message: Message) -> None:
        """Handle a message: each once, and never after a gap that was not reported."""
        if self._pending is not None:
            return
        last = self._last
        if last is not None and last.epoch == message.epoch and message.offset <= last.offset:
            return
        if last is not None and not self._gap_reported:
            self._check_gap(last, message)
        self._gap_reported = False
        self._last = message.position
        self._put(message)

    def dropped(self, dropped: Dropped) -> None:
        """Handle the report that messages before the next one were dropped."""
        if self._pending is None:
            self._gap_reported = True
            self._put(Gap(self.channel, "dropped", dropped.count or None))

    def moved(self, event: Join | Leave) -> None:
        """Handle a join or leave."""
        if self._pending is None:
            self._put(event)

    def finish(self, error: RealtimeError | None) -> None:
        """End the iterator after the events that are queued."""
        if not self._ended:
            self._ended = True
            self._error = error
            self._wake.set()
            self._settled.set()

    def _check_gap(self, last: Position, message: Message) -> None:
        if last.epoch != message.epoch:
            self._put(Gap(self.channel, "missing"))
        elif message.offset > last.offset + 1:
            self._put(Gap(self.channel, "missing", message.offset - last.offset - 1))

    def _put(self, event: Event) -> None:
        if len(self._events) >= self._buffer:
            self._forget(self._events.popleft())
        self._events.append(event)
        self._wake.set()

    def _forget(self, event: Event) -> None:
        count = event.count if isinstance(event, Gap) else 1
        known = self._overrun is not None and count is not None
        self._overrun = (self._overrun or 0) + (count or 0) if known else None
