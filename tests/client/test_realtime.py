"""The client against a server that does what servers do at the worst moment."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from itertools import count
from typing import TYPE_CHECKING

import msgspec
import pytest

from nexus_gateway.client import (
    MSGPACK,
    Gap,
    Join,
    Member,
    Message,
    Options,
    Position,
    Realtime,
    RealtimeError,
    Status,
)
from tests.harness.scripted_hub import PATIENCE, Hub, message
from tests.harness.waiting import never

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

    from nexus_gateway.client import Codec, Event, Subscription
    from nexus_gateway.client.options import AuthMethod


async def events(subscription: Subscription, number: int) -> list[Event]:
    """Take so many events."""
    async with asyncio.timeout(PATIENCE):
        return [await anext(subscription) for _ in range(number)]


async def until_closed(client: Realtime) -> Status:
    async with asyncio.timeout(PATIENCE):
        return await client.wait_closed()


@pytest.mark.parametrize("codec", [None, MSGPACK], ids=["json", "msgpack"])
async def test_messages_come_alone_and_in_batches(hub: Hub, codec: Codec | None) -> None:
    async with hub.client(codec=codec) as client:
        subscription = client.subscribe("c")
        peer = await hub.peer()
        await peer.hold("c")
        await peer.send(message(1, data={"a": [1]}))
        await peer.send(message(2), {"type": "invented", "x": 1}, message(3))

        found = await events(subscription, 3)

    assert [event.position for event in found if isinstance(event, Message)] == [
        Position("e", 1), Position("e", 2), Position("e", 3),
    ]  # fmt: skip
    first = found[0]
    assert isinstance(first, Message)
    assert first.read(dict[str, list[int]]) == {"a": [1]}


@pytest.mark.parametrize(
    ("auth", "offered", "authorization"),
    [
        ("header", "nexus.json", "Bearer secret"),
        ("subprotocol", "nexus.json, nexus.bearer.secret", None),
        ("message", "nexus.json, nexus.auth", None),
    ],
)
async def test_the_token_is_brought_as_it_was_asked_for(
    hub: Hub, auth: AuthMethod, offered: str, authorization: str | None
) -> None:
    async with hub.client(token="secret", auth=auth) as client:
        peer = await hub.peer(welcome=False)
        first = await peer.next("auth") if auth == "message" else None
        await peer.welcome()
        await client.connected()

    assert (peer.offered, peer.authorization) == (offered, authorization)
    assert first in (None, {"type": "auth", "token": "secret"})


async def test_after_a_cut_it_asks_for_what_it_missed(hub: Hub) -> None:
    async with hub.client() as client:
        subscription = client.subscribe("c", presence=True)
        first = await hub.peer()
        asked = await first.hold("c", offset=6)
        await first.send(message(7))
        await events(subscription, 1)
        first.socket.transport.abort()
        second = await hub.peer()
        again = await second.hold("c", offset=9, recovered=True, missed=2)
        await second.send(message(8), message(9))

        found = await events(subscription, 2)

    assert "epoch" not in asked
    assert (again["epoch"], again["offset"], again["presence"]) == ("e", 7, True)
    assert [event.offset for event in found if isinstance(event, Message)] == [8, 9]


async def test_what_is_lost_is_told_in_its_place(hub: Hub) -> None:
    async with hub.client() as client:
        subscription = client.subscribe("c", position=Position("e", 3))
        peer = await hub.peer()
        await peer.hold("c", epoch="f", offset=1, recovered=False)
        await peer.send(message(2, epoch="f"))

        found = await events(subscription, 2)

    assert found[0] == Gap("c", "lost")
    assert isinstance(found[1], Message)


async def test_a_publication_waits_for_the_connection_and_gives_its_place(hub: Hub) -> None:
    async with hub.client() as client:
        publishing = asyncio.create_task(client.publish("c", {"x": 1}, key="k"))
        peer = await hub.peer()
        asked = await peer.next("publish")
        await peer.send({"type": "ack", "id": asked["id"], "epoch": "e", "offset": 4})

        ack = await publishing

    assert (ack.epoch, ack.offset) == ("e", 4)
    assert (asked["data"], asked["key"]) == ({"x": 1}, "k")


async def test_a_publication_that_is_refused_says_why(hub: Hub) -> None:
    async with hub.client() as client:
        publishing = asyncio.create_task(client.publish("c", 1))
        peer = await hub.peer()
        asked = await peer.next("publish")
        refusal = {"code": "permission_denied", "error": "no", "retry_after": 2}
        await peer.send({"type": "error", "id": asked["id"], **refusal})

        with pytest.raises(RealtimeError) as caught:
            await publishing

    assert (caught.value.code, caught.value.retry_after) == ("permission_denied", 2)


async def test_a_publication_whose_answer_is_lost_says_so(hub: Hub) -> None:
    async with hub.client() as client:
        publishing = asyncio.create_task(client.publish("c", 1))
        peer = await hub.peer()
        await peer.next("publish")
        peer.socket.transport.abort()

        with pytest.raises(RealtimeError) as caught:
            await publishing

    assert caught.value.code == "connection_lost"


async def test_an_answer_that_does_not_come_is_given_up(hub: Hub) -> None:
    async with hub.client(options=Options(request_timeout=0.05)) as client:
        await hub.peer()

        with pytest.raises(RealtimeError) as caught:
            await client.history("c")

    assert caught.value.code == "timeout"


async def test_requests_under_way_are_bounded(hub: Hub) -> None:
    async with hub.client(options=Options(max_requests=1)) as client:
        first = asyncio.create_task(client.presence("c"))
        peer = await hub.peer()
        asked = await peer.next("presence")

        with pytest.raises(RealtimeError) as caught:
            await client.presence("c")
        member = {"connection": "c2", "subject": "bob"}
        answer = {"type": "presence", "id": asked["id"], "channel": "c", "members": [member]}
        await peer.send(answer)

        assert await first == [Member("c2", "bob")]

    assert caught.value.code == "queue_full"


async def test_history_is_read_after_a_position(hub: Hub) -> None:
    async with hub.client() as client:
        reading = asyncio.create_task(client.history("c", position=Position("e", 2), limit=5))
        peer = await hub.peer()
        asked = await peer.next("history")
        item = {"offset": 3, "data": "x", "timestamp": "2026-01-02T03:04:05Z"}
        answer = {"type": "history", "id": asked["id"], "channel": "c", "epoch": "e"}
        await peer.send({**answer, "items": [item], "recovered": True})

        found = await reading

    assert (asked["epoch"], asked["offset"], asked["limit"]) == ("e", 2, 5)
    assert [(kept.offset, kept.data) for kept in found.items] == [(3, "x")]


async def test_a_fresh_token_is_brought_before_the_old_one_expires(hub: Hub) -> None:
    tokens = (f"token{number}" for number in count(1))

    async with hub.client(token=lambda: next(tokens)) as client:
        peer = await hub.peer()
        await client.connected()
        await peer.send({"type": "expiring", "seconds": 30})

        brought = await peer.next("auth")

    assert (peer.authorization, brought["token"]) == ("Bearer token1", "token2")


async def test_an_expired_token_is_replaced_where_there_is_a_source(hub: Hub) -> None:
    tokens = (f"token{number}" for number in count(1))

    async def fresh() -> str:
        return next(tokens)

    async with hub.client(token=fresh):
        first = await hub.peer()
        await first.socket.close(4001, "expired")
        second = await hub.peer()

    assert (first.authorization, second.authorization) == ("Bearer token1", "Bearer token2")


async def test_a_source_of_refused_tokens_is_not_asked_for_ever(hub: Hub) -> None:
    def refuse(socket: ServerConnection, request: Request) -> Response:
        return socket.respond(HTTPStatus.UNAUTHORIZED, '{"code": "token_expired", "error": "old"}')

    asked: list[int] = []

    def old() -> str:
        asked.append(1)
        return "old"

    hub.refuse = refuse
    async with hub.client(token=old) as client:
        subscription = client.subscribe("c")
        closed = await until_closed(client)
        with pytest.raises(RealtimeError, match="token_expired"):
            await anext(subscription)

    assert len(asked) == 4
    assert (closed.code, closed.reason) == (4003, "401 token_expired: old")


@pytest.mark.parametrize(
    ("code", "reason"), [(4002, "revoked"), (4001, ""), (4009, "banned"), (1009, "")]
)
async def test_where_coming_back_is_of_no_use_it_ends(hub: Hub, code: int, reason: str) -> None:
    async with hub.client(token="always-the-same") as client:
        subscription = client.subscribe("c")
        peer = await hub.peer()
        await peer.socket.close(code, reason)
        closed = await until_closed(client)
        with pytest.raises(RealtimeError):
            await anext(subscription)
        with pytest.raises(RealtimeError) as caught:
            await client.publish("c", 1)

    assert closed.code == code
    assert caught.value.code == "closed"


@pytest.mark.parametrize(
    ("code", "reason"), [(1001, ""), (1011, ""), (4008, ""), (4009, "reconnect"), (4012, "")]
)
async def test_where_coming_back_is_of_use_it_does(hub: Hub, code: int, reason: str) -> None:
    async with hub.client() as client:
        first = await hub.peer()
        await client.connected()
        await first.socket.close(code, reason)

        await hub.peer()


async def test_it_goes_and_comes_back_when_the_server_asks_for_it(hub: Hub) -> None:
    statuses: list[Status] = []

    async with hub.client(statuses=statuses) as client:
        first = await hub.peer()
        await client.connected()
        await first.send({"type": "reconnect", "delay_ms": 20, "reason": "drain"})
        await hub.peer()
        await first.socket.wait_closed()

    assert first.socket.close_code == 1000
    waiting = next(status for status in statuses if status.state == "waiting")
    assert waiting.retry_in <= 0.02


def raw_message(data: bytes, timestamp: bytes = b"2026-01-01T00:00:00Z") -> bytes:
    """Write the first message of a channel, whatever its data is."""
    head = b'{"type":"message","channel":"c","epoch":"e","offset":1,"timestamp":"'
    return head + timestamp + b'","data":' + data + b"}"


BAD = [
    b"{not json",
    b"",
    raw_message(b"1e400"),
    raw_message(b'"\\ud800"'),
    raw_message(b'"\xff"'),
    raw_message(b"1", timestamp=b"later"),
    raw_message(b"[" * 3000),
    b"[" * 100_000,
    b'[7,null,{"type":"unheard"},{"type":"message"}]',
]


@pytest.mark.parametrize("content", BAD, ids=range(len(BAD)))
async def test_a_frame_that_cannot_be_read_never_ends_an_iterator(hub: Hub, content: bytes) -> None:
    async with hub.client() as client:
        peer = await hub.peer()
        subscription = client.subscribe("c")
        await peer.hold("c")
        await peer.socket.send(content, text=True)
        await peer.send(message(2))
        hole, then = await events(subscription, 2)

    assert isinstance(hole, Gap)
    assert (hole.channel, hole.count) == ("c", 1)
    assert isinstance(then, Message)
    assert then.offset == 2


async def test_the_readable_frames_of_a_batch_are_taken(hub: Hub) -> None:
    bad = msgspec.msgpack.encode({**message(2), "timestamp": 7.5})
    good = [msgspec.msgpack.encode(message(offset)) for offset in (1, 3)]
    async with hub.client(codec=MSGPACK) as client:
        peer = await hub.peer()
        subscription = client.subscribe("c")
        await peer.hold("c")
        await peer.socket.send(b"\x93" + good[0] + bad + good[1])
        first, hole, last = await events(subscription, 3)

    assert isinstance(first, Message)
    assert isinstance(last, Message)
    assert (first.offset, last.offset) == (1, 3)
    assert hole == Gap("c", "dropped", 1)


async def test_an_answer_that_cannot_be_read_is_an_error_of_its_request(hub: Hub) -> None:
    async with hub.client() as client:
        peer = await hub.peer()
        asked = asyncio.create_task(client.history("c"))
        frame = await peer.next("history")
        bad = f'{{"type":"history","id":{frame["id"]},"channel":"c","items":[{{"data":1e400}}]}}'
        await peer.socket.send(bad)
        with pytest.raises(RealtimeError, match="cannot be read"):
            await asked


@pytest.mark.parametrize("codec", [None, MSGPACK], ids=["json", "msgpack"])
async def test_data_that_json_has_no_form_for_is_not_sent(hub: Hub, codec: Codec | None) -> None:
    async with hub.client(codec=codec) as client:
        await hub.peer()
        for data in (float("nan"), {"a": [float("inf")]}, "\ud800"):
            with pytest.raises(ValueError):  # noqa: PT011  # msgspec's or ours
                await client.publish("c", data)


async def test_a_server_that_says_nothing_is_tried_again(hub: Hub) -> None:
    async with hub.client(options=Options(connect_timeout=0.05)):
        await hub.peer(welcome=False)

        await hub.peer()


async def test_a_subscription_that_is_refused_ends_with_its_error(hub: Hub) -> None:
    async with hub.client() as client:
        subscription = client.subscribe("private")
        peer = await hub.peer()
        asked = await peer.next("subscribe")
        refusal = {"type": "error", "id": asked["id"], "code": "permission_denied", "error": "no"}
        await peer.send(refusal)

        with pytest.raises(RealtimeError) as caught:
            await subscription.ready()
        client.subscribe("private")

    assert caught.value.code == "permission_denied"


async def test_a_subscription_that_is_refused_for_now_is_asked_for_again(hub: Hub) -> None:
    async with hub.client() as client:
        subscription = client.subscribe("c")
        peer = await hub.peer()
        asked = await peer.next("subscribe")
        refusal = {"code": "rate_limit_exceeded", "error": "slowly", "retry_after": 0.01}
        await peer.send({"type": "error", "id": asked["id"], **refusal})
        await peer.hold("c", offset=2)

        ack = await subscription.ready()

    assert ack.offset == 2


async def test_who_comes_and_leaves_is_heard(hub: Hub) -> None:
    async with hub.client() as client:
        subscription = client.subscribe("c", presence=True)
        peer = await hub.peer()
        await peer.hold("c")
        member = {"connection": "c2", "subject": "bob"}
        moved = {"channel": "c", "member": member, "timestamp": "2026-01-02T03:04:05Z"}
        await peer.send({"type": "join", **moved})

        found = await events(subscription, 1)

    assert isinstance(found[0], Join)
    assert found[0].member == Member("c2", "bob")


async def test_a_channel_is_subscribed_to_once_and_given_up_by_leaving_it(hub: Hub) -> None:
    async with hub.client() as client:
        peer = await hub.peer()
        await client.connected()
        async with client.subscribe("c") as subscription:
            await peer.hold("c")
            with pytest.raises(RealtimeError, match="already_subscribed"):
                client.subscribe("c")

        left = await peer.next("unsubscribe")
        after = [event async for event in subscription]

    assert (left["channel"], after) == ("c", [])


async def test_closing_ends_iterators_and_the_socket(hub: Hub) -> None:
    async with hub.client() as client:
        subscription = client.subscribe("c")
        peer = await hub.peer()
        await client.connected()

    assert [event async for event in subscription] == []
    await peer.socket.wait_closed()
    assert peer.socket.close_code == 1000
    with pytest.raises(RealtimeError, match="closed"):
        client.subscribe("d")


async def test_an_address_that_is_none_is_not_tried_for_ever() -> None:
    async with Realtime("not a url") as client:
        closed = await until_closed(client)

    assert "the URL cannot be used" in closed.reason


async def test_a_source_of_tokens_that_hangs_or_fails_is_asked_again(hub: Hub) -> None:
    asked: list[int] = []

    async def fresh() -> str:
        asked.append(1)
        if len(asked) == 1:
            await never()
        if len(asked) == 2:
            raise OSError("the issuer is away")
        return "token"

    async with hub.client(token=fresh, options=Options(connect_timeout=0.05)):
        peer = await hub.peer()

    assert (len(asked), peer.authorization) == (3, "Bearer token")
