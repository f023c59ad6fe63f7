"""What hubs and programs do at the worst moment, and what a client must not make of it."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest

from nexus_gateway.client import (
    MSGPACK,
    Message,
    Options,
    Position,
    Realtime,
    RealtimeError,
    Status,
    segment,
)
from tests.harness.scripted_hub import PATIENCE, Hub, message

if TYPE_CHECKING:
    from nexus_gateway.client import Event, Subscription


async def events(subscription: Subscription, number: int) -> list[Event]:
    """Take so many events."""
    async with asyncio.timeout(PATIENCE):
        return [await anext(subscription) for _ in range(number)]


async def test_answers_of_an_earlier_subscription_are_not_taken_for_those_of_the_next(
    hub: Hub,
) -> None:
    async with hub.client() as client:
        peer = await hub.peer()
        await client.connected()
        first = client.subscribe("c")
        asked = await peer.next("subscribe")
        await first.unsubscribe()
        second = client.subscribe("c")
        left = await peer.next("unsubscribe")
        asked_again = await peer.next("subscribe")
        await peer.send(
            {"type": "ack", "id": asked["id"], "channel": "c", "epoch": "e", "offset": 3},
            message(4),
            {"type": "ack", "id": left["id"], "channel": "c", "subscribed": False},
            {"type": "ack", "id": asked_again["id"], "channel": "c", "epoch": "e", "offset": 7},
            message(8),
        )

        ack = await second.ready()
        found = await events(second, 1)

    assert ack.offset == 7
    assert [event.position for event in found if isinstance(event, Message)] == [Position("e", 8)]
    assert [event async for event in first] == []


async def test_what_the_hub_ends_by_itself_ends_the_iterator(hub: Hub) -> None:
    async with hub.client() as client:
        subscription = client.subscribe("c")
        peer = await hub.peer()
        await peer.hold("c")
        await peer.send(
            {"type": "error", "channel": "c", "code": "permission_denied", "error": "no longer"}
        )

        with pytest.raises(RealtimeError, match="no longer"):
            await events(subscription, 1)


async def test_closing_while_the_token_is_fetched_is_final(hub: Hub) -> None:
    asked = asyncio.Event()
    statuses: list[Status] = []

    async def fresh() -> str:
        asked.set()
        await asyncio.Event().wait()
        return "never"

    client = hub.client(token=fresh, statuses=statuses)
    async with client:
        await asked.wait()

    assert [status.state for status in statuses] == ["connecting", "closed"]


async def test_closing_within_the_function_that_gives_the_token_ends_the_client(hub: Hub) -> None:
    made: list[Realtime] = []

    async def fresh() -> str:
        await made[0].close()
        return "token"

    client = hub.client(token=fresh)
    made.append(client)
    async with asyncio.timeout(PATIENCE), client:
        closed = await client.wait_closed()

    assert closed.state == "closed"


async def test_a_callback_that_raises_keeps_nothing_from_working(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(status: Status) -> None:
        raise RuntimeError(f"mine at {status.state}")

    async with Realtime(hub.url, on_status=fail) as client:
        subscription = client.subscribe("c")
        peer = await hub.peer()
        await peer.hold("c")
        await peer.send(message(1))
        await events(subscription, 1)
        await peer.socket.close(4002, "revoked")
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(RealtimeError, match="4002 revoked"):
                await anext(subscription)

    for state in ("connecting", "connected", "closed"):
        assert f"mine at {state}" in caplog.text


async def test_a_burst_of_publications_waits_for_the_socket_to_drain(hub: Hub) -> None:
    async with hub.client() as client:
        peer = await hub.peer()
        await client.connected()
        all_of_them = [
            asyncio.create_task(client.publish("c", f"{number} {'x' * 60_000}"))
            for number in range(40)
        ]
        numbers: list[int] = []
        for number in range(40):
            asked = await peer.next("publish")
            numbers.append(int(str(asked["data"]).partition(" ")[0]))
            await peer.send({"type": "ack", "id": asked["id"], "epoch": "e", "offset": number})
        acks = await asyncio.gather(*all_of_them)

    assert (len(acks), numbers) == (40, list(range(40)))


async def test_what_the_hub_would_close_the_connection_for_is_refused_here(hub: Hub) -> None:
    async with hub.client() as client:
        await hub.peer()

        with pytest.raises(RealtimeError) as caught:
            await client.publish("c", "x" * 70_000)

        assert client.status.state == "connected"
    assert caught.value.code == "payload_too_large"


async def test_times_of_any_size_do_not_elapse_at_once(hub: Hub) -> None:
    options = Options(connect_timeout=2.0**40, request_timeout=math.inf, heartbeat=1e300)
    async with hub.client(options=options) as client:
        asking = asyncio.create_task(client.presence("c"))
        peer = await hub.peer()
        asked = await peer.next("presence")
        await peer.send({"type": "presence", "id": asked["id"], "channel": "c", "members": []})

        assert await asking == []


async def test_a_time_to_try_again_that_is_none_is_not_waited_for(hub: Hub) -> None:
    async with hub.client(codec=MSGPACK) as client:
        subscription = client.subscribe("c")
        peer = await hub.peer()
        for after in (math.nan, -5.0):
            asked = await peer.next("subscribe")
            error = {"code": "rate_limit_exceeded", "error": "slowly", "retry_after": after}
            await peer.send({"type": "error", "id": asked["id"], **error})
        await peer.hold("c", offset=2)

        assert (await subscription.ready()).offset == 2


@pytest.mark.parametrize("name", ["connect_timeout", "request_timeout", "heartbeat", "max_bytes"])
@pytest.mark.parametrize("value", [math.nan, -1, 0])
def test_a_time_or_a_bound_that_is_none_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        Options(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("acme", "acme"), ("acme:eu", "acme%3Aeu"), ("50%:a", "50%25%3Aa")],
)
def test_a_text_is_written_as_a_segment_of_a_name(text: str, expected: str) -> None:
    assert segment(text) == expected
