"""Bounds: sockets, subscriptions, frames, bytes, sizes; each is told, and the socket lives on."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import InvalidStatus

from tests.harness.hub_socket import opened, token_of

if TYPE_CHECKING:
    from tests.harness.gateway_process import Gateway


async def test_too_many_sockets_of_a_subject_are_refused_with_429(strict: Gateway) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(opened(strict))
        with pytest.raises(InvalidStatus) as caught:
            await stack.enter_async_context(opened(strict))
        await stack.enter_async_context(opened(strict, token=token_of(subject="bob")))

    assert caught.value.response.status_code == 429
    assert b"rate_limit_exceeded" in (caught.value.response.body or b"")


async def test_a_closed_socket_makes_room(strict: Gateway) -> None:
    for _ in range(10):
        async with opened(strict) as socket:
            await socket.ask("pong", type="ping")


async def test_subscriptions_of_a_socket_are_bounded(strict: Gateway) -> None:
    async with opened(strict) as socket:
        for number in range(4):
            await socket.subscribe(f"room:{number}")
        refused = await socket.ask("error", type="subscribe", channel="room:one-too-many")
        await socket.ask(type="unsubscribe", channel="room:0")
        await socket.subscribe("room:now-there-is-room")

    assert refused["code"] in {"rate_limit_exceeded", "validation_error"}


async def test_too_many_frames_are_told_with_a_time_and_closed_if_they_go_on(
    strict: Gateway,
) -> None:
    async with opened(strict) as socket:
        for _ in range(2000):
            await socket.send(type="ping")
        refused = await socket.until("error")
        code, _ = await socket.closed()

    assert refused["code"] == "rate_limit_exceeded"
    assert 0 < float(str(refused["retry_after"])) <= 60
    assert code == 4029


async def test_too_many_bytes_are_told(strict: Gateway) -> None:
    async with opened(strict) as socket:
        for _ in range(15):
            await socket.send(type="publish", channel="room:bytes", data="x" * 900)
        refused = await socket.until("error")

    assert refused["code"] == "rate_limit_exceeded"


async def test_a_frame_that_is_too_big_closes_with_1009(strict: Gateway) -> None:
    async with opened(strict) as socket:
        await socket.send(type="publish", channel="room:big", data="x" * 1001)
        code, _ = await socket.closed()

    assert code == 1009


async def test_a_channel_s_own_size_is_refused_and_the_socket_lives_on(hub: Gateway) -> None:
    async with opened(hub) as socket:
        refused = await socket.ask("error", type="publish", channel="small:x", data="x" * 200)
        await socket.publish("small:x", "fits")

    assert refused["code"] == "payload_too_large"


async def test_a_channel_s_own_rate_counts_each_subject(hub: Gateway) -> None:
    async with opened(hub, token=token_of(subject="carol")) as carol, opened(hub) as alice:
        for number in range(5):
            await carol.publish("small:rate", number)
        refused = await carol.ask("error", type="publish", channel="small:rate", data=5)
        await alice.publish("small:rate", "another's count")

    assert refused["code"] == "rate_limit_exceeded"
    assert 0 < float(str(refused["retry_after"])) <= 60
