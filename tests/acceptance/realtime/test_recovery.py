"""A client that comes back gets what it missed, or is told that something is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from nexus_gateway.client import Backoff, Gap, Message, Position, Realtime
from tests.harness.gateway_process import PATIENCE
from tests.harness.hub_socket import opened, token_of

if TYPE_CHECKING:
    from tests.harness.gateway_process import Gateway
    from tests.harness.hub_socket import Frame

AT_ONCE = Backoff(draw=lambda: 0.0)
"""Come back without a pause, whatever the server advises."""


def place(frame: Frame) -> dict[str, object]:
    return {"epoch": frame["epoch"], "offset": frame["offset"]}


async def test_a_hundred_that_were_published_meanwhile_all_come_in_order(hub: Gateway) -> None:
    channel = "room:hundred"
    async with opened(hub) as publisher:
        async with opened(hub) as socket:
            await socket.subscribe(channel)
            await publisher.publish(channel, "before")
            last = await socket.next("message")
        for number in range(100):
            await publisher.publish(channel, number)
        async with opened(hub) as again:
            back = await again.subscribe(channel, **place(last))
            await publisher.publish(channel, "after")
            messages = await again.messages(101)

    assert (back["recovered"], back["missed"]) == (True, 100)
    assert [message["data"] for message in messages] == [*range(100), "after"]


async def test_what_is_no_longer_kept_is_told_to_be_lost(hub: Gateway) -> None:
    channel = "short:lost"
    async with opened(hub) as socket:
        first = await socket.publish(channel, "first")
        for number in range(20):
            await socket.publish(channel, number)
        back = await socket.subscribe(channel, **place(first))
        await socket.publish(channel, "after")
        message = await socket.until("message")
        while message["data"] != "after":
            message = await socket.until("message")

    assert back["recovered"] is False


async def test_what_is_too_old_is_no_longer_kept(hub: Gateway) -> None:
    channel = "brief:old"
    async with opened(hub) as socket:
        first = await socket.publish(channel, 1)
        await socket.publish(channel, 2)
        await asyncio.sleep(0.5)
        back = await socket.subscribe(channel, **place(first))

    assert back["recovered"] is False


@pytest.mark.parametrize("behind", [0, 1])
async def test_nothing_missed_is_recovered_too(hub: Gateway, behind: int) -> None:
    channel = f"room:nothing-{behind}"
    async with opened(hub) as socket:
        first = await socket.publish(channel, 1)
        newest = await socket.publish(channel, 2)
        back = await socket.subscribe(channel, **place(first if behind else newest))

    assert (back["recovered"], back["missed"]) == (True, behind)


async def test_the_offsets_of_another_epoch_are_worth_nothing(hub: Gateway) -> None:
    async with opened(hub) as socket:
        await socket.publish("room:epoch", 1)
        back = await socket.subscribe("room:epoch", epoch="another", offset=1)

    assert back["recovered"] is False


async def test_an_offset_that_is_still_to_come_is_not_believed(hub: Gateway) -> None:
    async with opened(hub) as socket:
        now = await socket.publish("room:future", 1)
        back = await socket.subscribe("room:future", epoch=now["epoch"], offset=10_000)

    assert back["recovered"] is False


async def test_the_python_client_recovers_over_a_cut(hub: Gateway) -> None:
    channel = "room:client"
    async with (
        Realtime(f"{hub.url}/ws/realtime", token=token_of(), backoff=AT_ONCE) as client,
        opened(hub, token=token_of("realtime:admin")) as operator,
    ):
        subscription = client.subscribe(channel)
        await subscription.ready()
        await client.publish(channel, 0)
        assert isinstance(await anext(subscription), Message)
        with hub.client(headers={"authorization": f"Bearer {token_of('realtime:admin')}"}) as http:
            gone = http.post(
                "/api/realtime/connections:disconnect",
                json={"connection": client.status.connection, "reason": "reconnect, please"},
            )
        for number in range(1, 101):
            await operator.publish(channel, number)
        async with asyncio.timeout(PATIENCE):
            events = [await anext(subscription) for _ in range(100)]

    assert gone.json()["sockets"] == 1
    assert [event for event in events if isinstance(event, Gap)] == []
    assert [event.data for event in events if isinstance(event, Message)] == [*range(1, 101)]


async def test_the_python_client_tells_what_it_lost(hub: Gateway) -> None:
    channel = "short:client"
    async with (
        Realtime(f"{hub.url}/ws/realtime", token=token_of()) as client,
        opened(hub) as publisher,
    ):
        first = await publisher.publish(channel, 0)
        for number in range(1, 21):
            await publisher.publish(channel, number)
        subscription = client.subscribe(
            channel, position=Position(str(first["epoch"]), int(str(first["offset"])))
        )
        async with asyncio.timeout(PATIENCE):
            gap = await anext(subscription)

    assert isinstance(gap, Gap)
    assert gap.reason == "lost"
