"""Who is subscribed, and that it is told when somebody comes or leaves, in whatever way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.client import Join, Leave, Member, Realtime
from tests.harness.gateway_process import PATIENCE
from tests.harness.hub_socket import opened, token_of

if TYPE_CHECKING:
    from nexus_gateway.client import Subscription
    from tests.harness.gateway_process import Gateway
    from tests.harness.hub_socket import Frame, Socket


def member_of(frame: Frame) -> Member:
    return msgspec.convert(frame["member"], Member)


def named(socket: Socket, subject: str) -> Member:
    return Member(str(socket.welcome["connection"]), subject)


async def test_coming_leaving_and_falling_away_are_told(hub: Gateway) -> None:
    async with opened(hub) as alice:
        await alice.subscribe("room:coming", presence=True)
        async with opened(hub, token=token_of(subject="bob")) as bob:
            await bob.subscribe("room:coming")
            joined = await alice.until("join")
            while member_of(joined).subject != "bob":
                joined = await alice.until("join")
            await bob.ask(type="unsubscribe", channel="room:coming")
            left = await alice.next("leave")
            await bob.subscribe("room:coming")
            await alice.next("join")
            bob.connection.transport.abort()
            fell = await alice.next("leave")

    assert member_of(joined) == member_of(left) == member_of(fell) == named(bob, "bob")
    assert {"timestamp", "channel"} <= set(joined)


async def test_who_did_not_ask_is_not_told(hub: Gateway) -> None:
    async with opened(hub) as alice, opened(hub) as bob:
        await alice.subscribe("room:quiet")
        await bob.subscribe("room:quiet")
        await bob.ask(type="unsubscribe", channel="room:quiet")
        await alice.ask("pong", type="ping")

    assert alice.unread == []


async def test_members_are_listed_by_their_connections(hub: Gateway) -> None:
    async with opened(hub) as alice, opened(hub) as again:
        await alice.subscribe("room:listed")
        await again.subscribe("room:listed")
        answer = await alice.ask("presence", type="presence", channel="room:listed")

    members = msgspec.convert(answer["members"], list[Member])
    assert sorted(members, key=str) == sorted(
        [named(alice, "alice"), named(again, "alice")], key=str
    )


async def test_a_channel_without_presence_refuses_to_tell(hub: Gateway) -> None:
    async with opened(hub) as alice:
        await alice.subscribe("short:who")
        refused = await alice.ask("error", type="presence", channel="short:who")

    assert refused["code"] == "permission_denied"


async def test_the_python_client_hears_who_comes_and_leaves(hub: Gateway) -> None:
    async with Realtime(f"{hub.url}/ws/realtime", token=token_of()) as client:
        subscription = client.subscribe("room:python", presence=True)
        await subscription.ready()
        async with opened(hub, token=token_of(subject="bob")) as bob:
            await bob.subscribe("room:python")
            listed = await client.presence("room:python")
        kinds = await until_left(subscription)

    assert named(bob, "bob") in listed
    assert kinds[-2:] == [Join, Leave]


async def until_left(subscription: Subscription) -> list[type]:
    """Take events until somebody leaves; of what kind they were."""
    kinds: list[type] = []
    async with asyncio.timeout(PATIENCE):
        while Leave not in kinds:
            kinds.append(type(await anext(subscription)))
    return kinds
