"""Delivery at least once: what a consumer has not acknowledged comes again, and says so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import msgspec
import pytest

from nexus_gateway.client import Message, Realtime, RealtimeError
from tests.harness.gateway_process import PATIENCE
from tests.harness.hub_socket import opened, token_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.harness.gateway_process import Gateway
    from tests.harness.hub_socket import Frame, Socket

BOB = token_of(subject="bob")


def marked(messages: Sequence[Frame]) -> list[tuple[object, bool]]:
    """Tell of each message what it is, and whether it says that it came before."""
    return [(one["data"], one.get("redelivered", False) is True) for one in messages]


async def fill(gateway: Gateway, channel: str, *data: object) -> None:
    async with opened(gateway, token=BOB) as publisher:
        for one in data:
            await publisher.publish(channel, one)


async def acknowledge(socket: Socket, message: Frame, **more: object) -> Frame:
    place = {"channel": message["channel"], "offset": message["offset"], "epoch": message["epoch"]}
    return await socket.ask(**{"type": "ack", **place, **more})


async def test_what_was_not_acknowledged_is_delivered_once_more_and_flagged(hub: Gateway) -> None:
    channel = "work:killed"
    async with opened(hub) as socket:
        first = await socket.subscribe(channel)
        await fill(hub, channel, 1, 2, 3)
        taken = await socket.messages(3)
        await acknowledge(socket, taken[0])
        socket.connection.transport.abort()
    await fill(hub, channel, 4)
    async with opened(hub) as again:
        back = await again.subscribe(channel)
        came = await again.messages(3)
        await acknowledge(again, came[-1])
    async with opened(hub) as third:
        last = await third.subscribe(channel)
        await fill(hub, channel, 5)
        after = await third.messages(1)

    assert first["recovered"] is False, "nothing is known of a new consumer"
    assert marked(taken) == [(1, False), (2, False), (3, False)]
    assert (back["recovered"], back["missed"]) == (True, 3)
    assert marked(came) == [(2, True), (3, True), (4, False)]
    assert (last["recovered"], last["missed"]) == (True, 0)
    assert marked(after) == [(5, False)]


async def test_consumers_of_a_subject_and_of_others_are_apart(hub: Gateway) -> None:
    channel = "work:apart"
    async with opened(hub) as mine, opened(hub) as other, opened(hub, token=BOB) as bob:
        await mine.subscribe(channel, consumer="x")
        await other.subscribe(channel, consumer="y")
        await bob.subscribe(channel, consumer="x")
        await fill(hub, channel, 1)
        await acknowledge(mine, (await mine.messages(1))[0])
        await other.messages(1)
        await bob.messages(1)

    for consumer, token, unread in (("x", None, 0), ("y", None, 1), ("x", BOB, 1)):
        async with opened(hub, token=token) as again:
            back = await again.subscribe(channel, consumer=consumer)
            assert (back["recovered"], back["missed"]) == (True, unread)


async def test_a_position_that_is_given_acknowledges_nothing(hub: Gateway) -> None:
    channel = "work:position"
    async with opened(hub) as socket:
        await socket.subscribe(channel)
        await fill(hub, channel, 1, 2)
        last = (await socket.messages(2))[-1]
    async with opened(hub) as again:
        back = await again.subscribe(channel, epoch=last["epoch"], offset=last["offset"])
        assert back["missed"] == 0
    async with opened(hub) as third:
        await third.subscribe(channel)
        assert marked(await third.messages(2)) == [(1, True), (2, True)]


async def test_what_is_no_longer_kept_is_told(hub: Gateway) -> None:
    channel = "work:lost"
    async with opened(hub) as socket:
        await socket.subscribe(channel)
    await fill(hub, channel, *range(60))
    async with opened(hub) as again:
        back = await again.subscribe(channel)

    assert back["recovered"] is False


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"channel": "work:wrong", "offset": 9}, "validation_error"),
        ({"channel": "work:wrong", "offset": 1, "epoch": "x"}, "validation_error"),
        ({"channel": "work:wrong"}, "validation_error"),
        ({"channel": "work:none", "offset": 1}, "not_found"),
        ({"channel": "room:wrong", "offset": 1}, "validation_error"),
    ],
)
async def test_wrong_acknowledgements_are_refused_and_the_socket_lives(
    hub: Gateway, frame: Frame, code: str
) -> None:
    async with opened(hub) as socket:
        await socket.subscribe("work:wrong")
        await socket.subscribe("room:wrong")
        refused = await socket.ask("error", **{"type": "ack", **frame})
        assert refused["code"] == code
        await socket.ask("pong", type="ping")


@pytest.mark.parametrize(
    ("channel", "consumer"), [("room:x", "a"), ("work:x", "a" * 65), ("work:x", "a\n")]
)
async def test_wrong_consumers_are_refused(hub: Gateway, channel: str, consumer: str) -> None:
    async with opened(hub) as socket:
        refused = await socket.ask("error", type="subscribe", channel=channel, consumer=consumer)

    assert refused["code"] == "validation_error"


async def test_the_first_generation_s_spelling_and_messagepack_say_it_too(hub: Gateway) -> None:
    for protocols in ((), ("nexus.msgpack",)):
        channel = f"work:spelled{len(protocols)}"
        async with opened(hub, protocols=protocols) as socket:
            await socket.subscribe(channel)
            await fill(hub, channel, 1, 2)
            taken = await socket.messages(2)
            await acknowledge(socket, taken[0])
        async with opened(hub, protocols=protocols) as again:
            await again.subscribe(channel)
            assert marked(await again.messages(1)) == [(2, True)]
    async with opened(hub) as seed:
        await seed.write({"Subscribe": {"channel": channel, "id": 1}})
        assert "Ack" in await seed.next()
        message = (await seed.next())["Message"]
        await seed.write({"Ack": {"channel": channel, "offset": 2, "id": 2}})
        answer = (await seed.next())["Ack"]

    assert isinstance(message, dict)
    assert message["redelivered"] is True
    assert isinstance(answer, dict)
    assert answer["offset"] == 2


async def test_the_client_acknowledges_and_a_new_one_goes_on_after_it(hub: Gateway) -> None:
    channel, url = "work:client", f"{hub.url}/ws/realtime"
    async with Realtime(url, token=token_of()) as client:
        subscription = client.subscribe(channel, consumer="c")
        await subscription.ready()
        await fill(hub, channel, 1, 2, 3)
        for number in (1, 2, 3):
            message = await asyncio.wait_for(anext(subscription), PATIENCE)
            assert isinstance(message, Message)
            assert (message.data, message.redelivered) == (number, False)
            if number == 1:
                await client.acknowledge(message)
    async with Realtime(url, token=token_of()) as client:
        subscription = client.subscribe(channel, consumer="c")
        for number in (2, 3):
            message = await asyncio.wait_for(anext(subscription), PATIENCE)
            assert isinstance(message, Message)
            assert (message.data, message.redelivered) == (number, True)
            beyond = msgspec.structs.replace(message, offset=99)
        with pytest.raises(RealtimeError, match="nothing beyond"):
            await client.acknowledge(beyond)


def test_the_document_says_which_channels_are_acknowledged(hub: Gateway) -> None:
    document = httpx.get(f"{hub.url}/asyncapi.json").json()
    spaces = document["channels"]["ws_realtime"]["x-namespaces"]

    assert {one["name"]: one["delivery"] for one in spaces}["work:*"] == "at_least_once"
    assert "Acknowledge" in document["components"]["schemas"]


async def test_a_consumer_whose_replica_is_killed_goes_on_at_another(
    replicas: tuple[Gateway, Gateway],
) -> None:
    doomed, survivor = replicas
    channel = "work:replica"
    async with opened(doomed) as socket:
        await socket.subscribe(channel)
        await fill(survivor, channel, 1, 2, 3)
        taken = await socket.messages(3)
        await acknowledge(socket, taken[0])
        async with opened(survivor) as watcher:
            # What was written to Redis before this is answered is there.
            await watcher.subscribe("work:other")
        doomed.process.kill()
        await asyncio.to_thread(doomed.process.wait)
    async with opened(survivor) as again:
        back = await again.subscribe(channel)
        came = await again.messages(2)
        await acknowledge(again, came[-1])
    await fill(survivor, channel, 4)
    async with opened(survivor) as third:
        last = await third.subscribe(channel)
        after = await third.messages(1)

    assert (back["recovered"], back["missed"]) == (True, 2)
    assert marked(came) == [(2, True), (3, True)]
    assert (last["recovered"], marked(after)) == (True, [(4, False)])
