"""Two replicas over a real Redis: one is killed, or Redis is; nobody lacks a message unknowingly.

`TEST_SOCKETS` says how many subscribers there are, `TEST_RATE` how many messages a second each of
them receives.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Self

import pytest

from nexus_gateway.client import Backoff, Gap, Message, Options, Realtime, RealtimeError
from tests.acceptance.realtime.crowd import build, gathered
from tests.harness.gateway_process import PATIENCE, Gateway
from tests.harness.hub_socket import opened, token_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.acceptance.realtime.crowd import Crowd, Listener
    from tests.harness.servers import RedisServer

SOCKETS = int(os.environ.get("TEST_SOCKETS", "500"))
RATE = int(os.environ.get("TEST_RATE", "100"))
CALM = 2.0
"""Seconds of messages before a fault and after it."""
SETTLED = 30.0
ENOUGH = 0.25 * RATE
"""Messages a second that are published at least, on a busy machine too: fewer prove little."""


class Publisher:
    """Publishes 1, 2, 3, ... to a channel at a steady rate, and remembers what became of each."""

    def __init__(self, gateway: Gateway, channel: str) -> None:
        self._client = Realtime(
            f"{gateway.url}/ws/realtime",
            token=token_of(subject="publisher"),
            backoff=Backoff(0.05, 0.2),
            options=Options(request_timeout=5),
        )
        self._channel = channel
        self._stop = asyncio.Event()
        self.last = 0
        self.rate = 0.0
        """Messages a second from the first to the end."""
        self.doubtful: set[int] = set()

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        await asyncio.wait([self._running])
        await self._client.close()

    async def finish(self) -> int:
        """Stop, and publish a last one, until it is surely published; its number."""
        self._stop.set()
        await self._running
        for _ in range(100):
            if await self._publish():
                return self.last
        raise AssertionError("nothing could be published any more")

    async def _run(self) -> None:
        began = time.monotonic()
        while not self._stop.is_set():
            await self._publish()
            await asyncio.sleep(max(0.0, began + self.last / RATE - time.monotonic()))
        self.rate = self.last / (time.monotonic() - began)

    async def _publish(self) -> bool:
        self.last += 1
        try:
            await self._client.publish(self._channel, self.last)
        except RealtimeError:
            self.doubtful.add(self.last)
            return False
        return True


async def settle(crowd: Crowd, last: int) -> list[Listener]:
    """Wait until everybody has the last message; what became of each."""
    deadline = time.monotonic() + SETTLED
    while True:
        listeners = await crowd.listeners()
        lacking = [one for one in listeners if one.last != last]
        if not lacking:
            return listeners
        where = Counter((one.place, one.subscribed, one.last) for one in lacking).most_common(5)
        assert time.monotonic() < deadline, (
            f"{len(lacking)} of {len(listeners)} are not at {last}: {where}"
        )
        await asyncio.sleep(0.1)


def places_of(replicas: Sequence[Gateway]) -> list[str]:
    return [f"127.0.0.1:{gateway.port}" for gateway in replicas]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build what the listeners run in."""
    return build(tmp_path_factory.mktemp("crowd"))


TOKENS = [token_of(subject=f"s{number}") for number in range(SOCKETS)]


async def test_when_a_replica_is_killed_everybody_has_every_message_once(
    replicas: tuple[Gateway, Gateway], program: Path
) -> None:
    doomed, survivor = replicas
    places = places_of(replicas)
    async with gathered(program, "feed", TOKENS, places) as crowd:
        there = sum(one.place == places[0] for one in await crowd.listeners())
        async with Publisher(survivor, "feed") as publisher:
            await asyncio.sleep(CALM)
            doomed.process.kill()
            await asyncio.sleep(CALM)
            listeners = await settle(crowd, await publisher.finish())

    came_back = [one for one in listeners if one.recoveries]
    assert there == len(came_back) == SOCKETS // 2
    assert publisher.doubtful == set()
    assert [one.twice for one in listeners if one.twice] == []
    assert [one.missing for one in listeners if one.missing] == []
    assert all(all(one.recoveries) for one in came_back)
    assert publisher.rate >= ENOUGH, f"{publisher.rate:.1f} a second is too little to say anything"


async def test_when_redis_is_restarted_everybody_knows_what_is_missing(
    replicas: tuple[Gateway, Gateway], program: Path, redis: RedisServer
) -> None:
    async with (
        gathered(program, "feed", TOKENS, places_of(replicas)) as crowd,
        Publisher(replicas[0], "feed") as publisher,
    ):
        await asyncio.sleep(CALM)
        await asyncio.to_thread(redis.kill)
        await asyncio.sleep(CALM)
        await asyncio.to_thread(redis.start)
        await asyncio.sleep(2 * CALM)
        listeners = await settle(crowd, await publisher.finish())

    unknowingly = [
        number
        for one in listeners
        for number, told in one.missing
        if not told and number not in publisher.doubtful
    ]
    assert [one.twice for one in listeners if one.twice] == []
    assert unknowingly == []
    assert publisher.rate >= ENOUGH, f"{publisher.rate:.1f} a second is too little to say anything"


async def test_the_python_client_goes_to_the_other_replica_and_misses_nothing(
    replicas: tuple[Gateway, Gateway],
) -> None:
    doomed, survivor = replicas
    heard: list[object] = []
    url = f"{doomed.url}/ws/realtime"
    async with Realtime(url, token=token_of(), backoff=Backoff(0.05, 0.5)) as client:
        subscription = client.subscribe("room:moving")
        await subscription.ready()
        async with opened(survivor) as publisher:
            for number in range(300):
                if number == 100:
                    doomed.process.kill()
                if number == 200:
                    # As where a balancer stands before both, and has seen that one is dead.
                    client.url = f"ws://127.0.0.1:{survivor.port}/ws/realtime"
                await publisher.publish("room:moving", number)
        async with asyncio.timeout(PATIENCE):
            while len(heard) < 300:
                event = await anext(subscription)
                assert not isinstance(event, Gap)
                heard.append(event.data if isinstance(event, Message) else event)

    assert heard == list(range(300))


async def test_members_of_a_dead_replica_are_gone_after_their_lease(
    replicas: tuple[Gateway, Gateway],
) -> None:
    doomed, survivor = replicas
    async with opened(survivor) as alice, opened(doomed, token=token_of(subject="ghost")) as ghost:
        await alice.subscribe("room:ghosts", presence=True)
        await ghost.subscribe("room:ghosts")
        joined = await alice.until("join")
        while "ghost" not in str(joined["member"]):
            joined = await alice.until("join")
        doomed.process.kill()
        left = await alice.until("leave", patience=20)
        answer = await alice.ask("presence", type="presence", channel="room:ghosts")

    assert left["member"] == joined["member"]
    assert "ghost" not in str(answer["members"])


async def test_what_is_published_at_one_replica_reaches_the_other(
    replicas: tuple[Gateway, Gateway],
) -> None:
    first, second = replicas
    async with opened(first) as alice, opened(second, token=token_of(subject="bob")) as bob:
        await alice.subscribe("room:both")
        await bob.publish("room:both", "from the other side")
        message = await alice.next("message")
        listed = await bob.ask("presence", type="presence", channel="room:both")

    assert (message["data"], message["publisher"]) == ("from the other side", "bob")
    assert "alice" in str(listed["members"])


async def test_a_revocation_at_one_replica_closes_sockets_at_the_other(
    replicas: tuple[Gateway, Gateway],
) -> None:
    first, second = replicas
    token = token_of(subject="mallory", jti="stolen")
    async with opened(second, token=token) as socket:
        admin = {"authorization": f"Bearer {token_of('realtime:admin')}"}
        with first.client(headers=admin) as client:
            client.post("/revocations", json={"jti": "stolen"}).raise_for_status()
        began = time.monotonic()
        code, _ = await socket.closed()
    with second.client(headers={"authorization": f"Bearer {token}"}) as client:
        after = client.get("/me")

    assert (code, after.status_code) == (4002, 401)
    assert time.monotonic() - began < 3
