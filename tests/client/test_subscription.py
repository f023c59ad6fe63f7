"""A subscriber's view of a channel: every message once, every hole told in its place."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from nexus_gateway.client import Gap, Message, Position, RealtimeError, Subscription
from nexus_gateway.realtime.frames import Ack, Dropped


async def _end(_: Subscription) -> None:
    return


def listening(*, position: Position | None = None, buffer: int = 100) -> Subscription:
    return Subscription("c", presence=False, position=position, buffer=buffer, end=_end)


def message(offset: int, epoch: str = "e") -> Message:
    return Message("c", offset, epoch, offset, datetime(2026, 1, 2, tzinfo=UTC))


async def told(subscription: Subscription) -> list[int | Gap]:
    """Take what has come: offsets and gaps."""
    subscription.finish(None)
    return [
        event.offset if isinstance(event, Message) else event
        async for event in subscription
        if isinstance(event, Message | Gap)
    ]


async def test_what_comes_is_taken_in_order_and_each_message_once() -> None:
    subscription = listening()
    subscription.acknowledged(Ack(1, "c", "e", 4))

    for offset in (5, 6, 6, 5, 7):
        subscription.received(message(offset))

    assert await told(subscription) == [5, 6, 7]
    assert subscription.position == Position("e", 7)


async def test_a_hole_that_nobody_told_is_told() -> None:
    subscription = listening()
    subscription.acknowledged(Ack(1, "c", "e", 0))

    for offset in (1, 4):
        subscription.received(message(offset))
    subscription.received(message(1, "f"))

    assert await told(subscription) == [1, Gap("c", "missing", 2), 4, Gap("c", "missing"), 1]


async def test_what_back_pressure_dropped_is_told_once() -> None:
    subscription = listening()
    subscription.acknowledged(Ack(1, "c", "e", 0))
    subscription.received(message(1))

    subscription.dropped(Dropped("c", 3, "e", 4))
    subscription.received(message(5))

    subscription.dropped(Dropped("c", 0, "f", 1))
    subscription.received(message(2, "f"))

    assert await told(subscription) == [1, Gap("c", "dropped", 3), 5, Gap("c", "dropped"), 2]


async def test_a_recovery_goes_on_where_it_was_left() -> None:
    subscription = listening(position=Position("e", 4))

    subscription.acknowledged(Ack(1, "c", "e", 6, recovered=True, missed=2))
    for offset in (5, 6, 7):
        subscription.received(message(offset))

    assert await told(subscription) == [5, 6, 7]


@pytest.mark.parametrize(("epoch", "offset", "count"), [("e", 9, 5), ("f", 9, None)])
async def test_what_could_not_be_recovered_is_told(
    epoch: str, offset: int, count: int | None
) -> None:
    subscription = listening(position=Position("e", 4))

    subscription.acknowledged(Ack(1, "c", epoch, offset, recovered=False))
    subscription.received(message(10, epoch))

    assert await told(subscription) == [Gap("c", "lost", count), 10]


async def test_a_program_that_is_too_slow_is_told_how_many_made_room() -> None:
    subscription = listening(buffer=3)
    subscription.acknowledged(Ack(1, "c", "e", 0))

    for offset in range(1, 11):
        subscription.received(message(offset))

    assert await told(subscription) == [Gap("c", "dropped", 7), 8, 9, 10]


async def test_what_waits_is_taken_before_an_error_ends_the_iterator() -> None:
    subscription = listening()
    subscription.received(message(1))

    subscription.finish(RealtimeError("closed", "for good"))

    assert isinstance(await anext(subscription), Message)
    with pytest.raises(RealtimeError, match="for good"):
        await anext(subscription)
    with pytest.raises(RealtimeError, match="for good"):
        await subscription.ready()


async def test_waiting_for_what_comes_can_be_cancelled() -> None:
    subscription = listening()
    waiting = asyncio.ensure_future(anext(subscription))
    await asyncio.sleep(0)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    subscription.received(message(1))

    assert await told(subscription) == [1]
