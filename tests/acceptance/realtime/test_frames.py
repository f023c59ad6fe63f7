"""Every frame of the protocol, asked for and answered on a real socket."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.harness.hub_socket import opened, token_of

if TYPE_CHECKING:
    from tests.harness.gateway_process import Gateway
    from tests.harness.hub_socket import Frame


def data_of(history: Frame) -> list[object]:
    return [item["data"] for item in msgspec.convert(history["items"], list[dict[str, object]])]


async def test_the_first_frame_is_a_welcome(hub: Gateway) -> None:
    async with opened(hub, token=token_of(seconds=60)) as socket:
        welcome = socket.welcome

    assert welcome["connection"]
    assert (welcome["ping_seconds"], welcome["max_bytes"]) == (25, 65536)
    assert 50 <= float(str(welcome["session_seconds"])) <= 60


async def test_what_is_published_reaches_every_subscriber_with_its_place(hub: Gateway) -> None:
    async with opened(hub) as alice, opened(hub, token=token_of(subject="bob")) as bob:
        first = await alice.subscribe("room:frames")
        await bob.subscribe("room:frames")
        done = await bob.publish("room:frames", {"x": [1, None, "ä"]}, key="k")
        message = await alice.next("message")

    assert (done["channel"], done["epoch"]) == ("room:frames", first["epoch"])
    assert done["offset"] == int(str(first["offset"])) + 1
    assert (message["epoch"], message["offset"]) == (done["epoch"], done["offset"])
    assert (message["data"], message["key"]) == ({"x": [1, None, "ä"]}, "k")
    assert message["publisher"] == "bob"
    assert datetime.fromisoformat(str(message["timestamp"])).tzinfo is not None


async def test_offsets_rise_by_one_and_order_is_that_of_publication(hub: Gateway) -> None:
    async with opened(hub) as alice, opened(hub) as bob:
        await alice.subscribe("room:order")
        for number in range(20):
            await bob.send(type="publish", channel="room:order", data=number)
        messages = await alice.messages(20)

    assert [message["data"] for message in messages] == list(range(20))
    offsets = [int(str(message["offset"])) for message in messages]
    assert offsets == list(range(offsets[0], offsets[0] + 20))


async def test_after_unsubscribing_nothing_comes(hub: Gateway) -> None:
    async with opened(hub) as alice, opened(hub) as bob:
        await alice.subscribe("room:left")
        await alice.ask(type="unsubscribe", channel="room:left")
        await bob.publish("room:left", 1)
        await alice.ask("pong", type="ping")

    assert alice.unread == []


async def test_a_publisher_who_listens_hears_itself(hub: Gateway) -> None:
    async with opened(hub) as alice:
        await alice.subscribe("room:self")
        await alice.send(type="publish", channel="room:self", data="me", id=7)
        frames = [await alice.next(), await alice.next()]

    assert {str(frame["type"]) for frame in frames} == {"ack", "message"}


async def test_a_ping_is_answered_with_and_without_an_id(hub: Gateway) -> None:
    async with opened(hub) as alice:
        await alice.send(type="ping")
        bare = await alice.next("pong")
        await alice.send(type="pong")
        with_id = await alice.ask("pong", type="ping")

    assert "id" not in bare
    assert with_id["id"] == "asked"


async def test_history_is_what_is_kept_after_a_position(hub: Gateway) -> None:
    async with opened(hub) as alice:
        places = [await alice.publish("room:history", number) for number in range(5)]
        after = {"epoch": places[1]["epoch"], "offset": places[1]["offset"]}
        whole = await alice.ask("history", type="history", channel="room:history")
        rest = await alice.ask("history", type="history", channel="room:history", **after)
        some = await alice.ask("history", type="history", channel="room:history", limit=2)
        other = await alice.ask(
            "history", type="history", channel="room:history", epoch="another", offset=1
        )

    assert (data_of(whole), whole["recovered"]) == ([0, 1, 2, 3, 4], True)
    assert (data_of(rest), rest["recovered"]) == ([2, 3, 4], True)
    assert len(data_of(some)) == 2
    assert other["recovered"] is False


async def test_a_batch_is_done_in_order(hub: Gateway) -> None:
    async with opened(hub) as alice:
        await alice.write(
            [
                {"type": "subscribe", "channel": "room:batch", "id": 1},
                {"type": "publish", "channel": "room:batch", "data": "a", "id": 2},
                {"type": "publish", "channel": "room:batch", "data": "b", "id": 3},
                {"type": "ping", "id": 4},
            ]
        )
        frames = [await alice.next() for _ in range(6)]

    answers = [frame["id"] for frame in frames if "id" in frame]
    assert [frame["data"] for frame in frames if frame["type"] == "message"] == ["a", "b"]
    assert sorted(map(str, answers)) == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"type": "invented", "id": 1}, "validation_error"),
        ({"channel": "room:x", "id": 1}, "validation_error"),
        ({"type": "subscribe", "id": 1}, "validation_error"),
        ({"type": "subscribe", "channel": 7, "id": 1}, "validation_error"),
        ({"type": "subscribe", "channel": "", "id": 1}, "validation_error"),
        ({"type": "publish", "channel": "room:x", "id": 1}, "validation_error"),
        ({"type": "history", "channel": "room:x", "limit": -1, "id": 1}, "validation_error"),
        ({"type": "subscribe", "channel": "nowhere", "id": 1}, "not_found"),
        ({"type": "subscribe", "channel": "scoped:x", "id": 1}, "permission_denied"),
        ({"type": "publish", "channel": "scoped:x", "data": 1, "id": 1}, "permission_denied"),
        ({"type": "publish", "channel": "news", "data": 1, "id": 1}, "permission_denied"),
        ({"type": "subscribe", "channel": "tenant:other:x", "id": 1}, "permission_denied"),
        ({"type": "subscribe", "channel": "user:bob", "id": 1}, "permission_denied"),
        ({"type": "subscribe", "channel": "hidden:x", "id": 1}, "permission_denied"),
        ({"type": "auth", "token": "nonsense", "id": 1}, "token_invalid"),
    ],
)
async def test_what_is_refused_is_a_frame_and_the_socket_lives_on(
    hub: Gateway, frame: dict[str, object], code: str
) -> None:
    async with opened(hub) as alice:
        await alice.write(frame)
        refused = await alice.next("error")
        await alice.ask("pong", type="ping")

    assert (refused["code"], refused["id"]) == (code, 1)
    assert str(refused["error"])


@pytest.mark.parametrize("text", ["{", "7", "null", '"what"', "[]", "[1]", "{}", "[[]]", ""])
async def test_what_is_no_frame_is_answered_by_an_error(hub: Gateway, text: str) -> None:
    async with opened(hub) as alice:
        await alice.connection.send(text)
        if text != "[]":
            refused = await alice.next("error")
            assert refused["code"] in {"malformed_body", "validation_error"}
        await alice.ask("pong", type="ping")


async def test_claims_in_the_name_open_the_channels_of_their_bearer(hub: Gateway) -> None:
    token = token_of(subject="bob", tenant="acme")
    async with opened(hub, token=token) as bob:
        await bob.subscribe("user:bob")
        await bob.subscribe("tenant:acme:orders")
        await bob.publish("tenant:acme:orders", 1)


async def test_the_operator_s_scope_opens_every_channel(hub: Gateway) -> None:
    async with opened(hub, token=token_of("realtime:admin")) as operator:
        await operator.subscribe("user:bob")
        await operator.subscribe("hidden:x")
        await operator.publish("news", "told")


async def test_a_socket_of_a_channel_is_subscribed_from_the_start(hub: Gateway) -> None:
    async with opened(hub, "/ws/realtime/room:direct") as alice, opened(hub) as bob:
        subscribed = await alice.next("ack")
        await bob.publish("room:direct", "hello")
        message = await alice.next("message")

    assert subscribed["channel"] == "room:direct"
    assert message["data"] == "hello"


async def test_python_publishes_to_whoever_listens(hub: Gateway) -> None:
    async with opened(hub) as alice:
        await alice.subscribe("news")
        with hub.client() as client:
            place = client.post("/say/news", json={"from": "python"}).json()
        message = await alice.next("message")

    assert message["data"] == {"from": "python"}
    assert (message["epoch"], message["offset"]) == (place["epoch"], place["offset"])
    assert "publisher" not in message


async def test_the_counters_are_told_on_their_channel_in_the_seed_s_shape(hub: Gateway) -> None:
    async with opened(hub, token=token_of("metrics:read")) as alice:
        await alice.subscribe("metrics")
        updates = [await alice.next("metrics_update") for _ in range(2)]

    assert set(updates[0]) >= {"type", "data", "timestamp", "channel", "epoch", "offset"}
    data = updates[1]["data"]
    assert isinstance(data, dict)
    assert data["requests"]
