"""One channel that is listened to: an async iterator that remembers its place.

After a cut it asks for what it missed. Where something is lost, the iterator gives a `Gap` in the
place of the hole: never a message after a hole that was not told.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

import msgspec

from nexus_gateway.frames import Ack, Dropped, Join, Leave, Message, Position, Subscribe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from nexus_gateway.client.errors import RealtimeError


class Gap(msgspec.Struct, frozen=True):
    """A hole in what a subscriber sees; `count` is how many messages, None where unknown.

    reason: `lost` is what the hub has not kept long enough, `dropped` what a subscriber was too
        slow for, `missing` what was announced by nobody.
    """

    channel: str
    reason: Literal["lost", "dropped", "missing"]
    count: int | None = None


Event: TypeAlias = Message | Gap | Join | Leave


class Subscription:
    """A channel and the place in it; iterate over it, or use it as an async context manager.

    What the program has not taken yet waits in a queue of `buffer` events. Beyond it the oldest
    make room, and a `Gap` tells how many.
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
        self._told = False
        self._pending: int | None = None
        self._wake = asyncio.Event()
        self._held = asyncio.Event()
        self._ack = Ack()
        self._ended = False
        self._error: RealtimeError | None = None

    @property
    def position(self) -> Position | None:
        """The place of the last message that has come, taken or not."""
        return self._last

    async def ready(self) -> Ack:
        """Wait until the hub holds the subscription; its answer.

        Raises:
            RealtimeError: the hub refuses it, or the connection is closed for good.
        """
        await self._held.wait()
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
        """Wait for what comes next.

        Raises:
            RealtimeError: the hub refuses the subscription, or the connection is closed for good.
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

    # --- what the connection says ---

    @property
    def pending(self) -> int | None:
        """The request that the hub has not answered yet.

        Until it has, what comes in the channel belongs to an earlier subscription.
        """
        return self._pending

    def request(self, number: int) -> Subscribe:
        """Write the frame that asks for the channel, from the place where it was left."""
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
        """Take from where messages follow."""
        self._pending = None
        last = self._last
        given = None if ack.epoch is None or ack.offset is None else Position(ack.epoch, ack.offset)
        if last is not None and ack.recovered is not True:
            known = given is not None and given.epoch == last.epoch and given.offset > last.offset
            lost = given.offset - last.offset if known and given is not None else None
            self._put(Gap(self.channel, "lost", lost))
        if given is not None and not (last is not None and ack.recovered is True):
            self._last = given
        self._told = False
        self._ack = ack
        self._held.set()

    def received(self, message: Message) -> None:
        """Take a message: once each, and never after a hole that was not told."""
        if self._pending is not None:
            return
        last = self._last
        if last is not None and last.epoch == message.epoch and message.offset <= last.offset:
            return
        if last is not None and not self._told:
            self._look(last, message)
        self._told = False
        self._last = message.position
        self._put(message)

    def dropped(self, dropped: Dropped) -> None:
        """Take it that back-pressure has dropped messages before the next one."""
        if self._pending is None:
            self._told = True
            self._put(Gap(self.channel, "dropped", dropped.count or None))

    def moved(self, event: Join | Leave) -> None:
        """Take it that somebody came or left."""
        if self._pending is None:
            self._put(event)

    def finish(self, error: RealtimeError | None) -> None:
        """End the iterator once what has come is taken."""
        if not self._ended:
            self._ended = True
            self._error = error
            self._wake.set()
            self._held.set()

    def _look(self, last: Position, message: Message) -> None:
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
