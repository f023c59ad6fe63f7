"""Who comes in: identity before the 101, by header, by subprotocol or by the first frame."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import InvalidStatus

from tests.harness.gateway_process import Gateway, code_of
from tests.harness.hub_socket import opened, token_of

if TYPE_CHECKING:
    from collections.abc import Sequence

EXPIRED = token_of(seconds=-60)


async def refused(gateway: Gateway, token: str, protocols: Sequence[str] = ()) -> InvalidStatus:
    with pytest.raises(InvalidStatus) as caught:
        async with opened(gateway, token=token, protocols=tuple(protocols)):
            pass
    return caught.value


@pytest.mark.parametrize(
    ("token", "code"),
    [("", "authentication_failed"), ("a.b.c", "token_invalid"), (EXPIRED, "token_expired")],
)
async def test_without_a_valid_token_the_handshake_is_refused(
    hub: Gateway, token: str, code: str
) -> None:
    response = (await refused(hub, token)).response

    assert response.status_code == 401
    assert f'"code":"{code}"'.encode() in (response.body or b"")
    assert "bearer" in response.headers["www-authenticate"].lower()


async def test_a_token_in_the_query_is_not_looked_at(hub: Gateway) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with opened(hub, f"/ws/realtime?token={token_of()}", token=""):
            pass

    assert caught.value.response.status_code == 401


async def test_a_browser_brings_its_token_as_a_subprotocol_that_is_not_sent_back(
    hub: Gateway,
) -> None:
    offered = ("nexus.json", f"nexus.bearer.{token_of(subject='bob')}")
    async with opened(hub, token="", protocols=offered) as socket:
        await socket.subscribe("user:bob")
        answered = socket.connection.response

    assert answered is not None
    assert answered.headers["sec-websocket-protocol"] == "nexus.json"


async def test_a_bad_token_in_a_subprotocol_is_refused_before_the_101(hub: Gateway) -> None:
    answer = await refused(hub, "", ["nexus.json", f"nexus.bearer.{EXPIRED}"])

    assert answer.response.status_code == 401


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ((), None),
        (("nexus.json",), "nexus.json"),
        (("nexus.msgpack", "nexus.json"), "nexus.msgpack"),
        (("nexus.json", "nexus.msgpack"), "nexus.json"),
    ],
)
async def test_the_first_encoding_that_is_offered_is_spoken(
    hub: Gateway, offered: tuple[str, ...], chosen: str | None
) -> None:
    async with opened(hub, protocols=offered) as socket:
        assert socket.connection.subprotocol == chosen


async def test_the_first_frame_may_bring_the_token(hub: Gateway) -> None:
    offered = ("nexus.json", "nexus.auth")
    async with opened(hub, token="", protocols=offered, welcomed=False) as socket:
        await socket.send(type="auth", token=token_of(subject="bob"))
        await socket.next("welcome")
        await socket.subscribe("user:bob")
        assert socket.connection.subprotocol == "nexus.json"


@pytest.mark.parametrize(
    "first",
    [
        {"type": "auth", "token": "nonsense"},
        {"type": "auth", "token": EXPIRED},
        {"type": "subscribe", "channel": "room:x"},
        {"type": "auth"},
    ],
)
async def test_a_first_frame_without_a_valid_token_is_closed_with_4003(
    hub: Gateway, first: dict[str, object]
) -> None:
    offered = ("nexus.json", "nexus.auth")
    async with opened(hub, token="", protocols=offered, welcomed=False) as socket:
        await socket.write(first)
        code, _ = await socket.closed()

    assert code == 4003


async def test_a_socket_that_does_not_say_who_it_is_is_closed_after_5_seconds(
    hub: Gateway,
) -> None:
    offered = ("nexus.json", "nexus.auth")
    async with opened(hub, token="", protocols=offered, welcomed=False) as socket:
        began = time.monotonic()
        code, _ = await socket.closed()

    assert code == 4003
    assert 4.5 < time.monotonic() - began < 7


async def test_before_it_is_known_nothing_is_heard_or_published(hub: Gateway) -> None:
    offered = ("nexus.json", "nexus.auth")
    async with (
        opened(hub) as alice,
        opened(hub, token="", protocols=offered, welcomed=False) as stranger,
    ):
        await alice.subscribe("room:closed")
        await stranger.send(type="publish", channel="room:closed", data="from nobody")
        await stranger.closed()
        await alice.ask("pong", type="ping")

    assert alice.unread == []


def test_a_plain_request_is_told_to_upgrade(hub: Gateway) -> None:
    with hub.client(headers={"authorization": f"Bearer {token_of()}"}) as client:
        answer = client.get("/ws/realtime")

    assert (answer.status_code, code_of(answer)) == (426, "upgrade_required")
    assert answer.headers["upgrade"].lower() == "websocket"


async def test_a_channel_that_may_not_be_heard_is_refused_before_the_101(hub: Gateway) -> None:
    for path, status in (("room:x", 101), ("scoped:x", 403), ("nowhere", 404)):
        try:
            async with opened(hub, f"/ws/realtime/{path}"):
                found = 101
        except InvalidStatus as error:
            found = error.response.status_code
        assert found == status
