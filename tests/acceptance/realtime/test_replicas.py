"""Two replicas and a Redis that one cannot reach, or that refuses: nothing is lost in silence."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from typing import TYPE_CHECKING, cast

import pytest

from tests.acceptance.realtime.conftest import REPLICA
from tests.acceptance.realtime.test_events import listening
from tests.harness.gateway_process import Gateway
from tests.harness.hub_socket import Frame, Socket, opened, token_of
from tests.harness.servers import free_port, running_redis

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from pathlib import Path

    import httpx

    from tests.harness.servers import RedisServer

CHANNEL = "room:split"
AUTHORIZED = {"authorization": f"Bearer {token_of()}"}
SETTLED = 20.0
"""Seconds that a replica may take to notice that it is cut off, or that it no longer is."""


class Link:
    """A way to a server that can be frozen: connections stay open, and nothing passes."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    def freeze(self) -> None:
        self._open.clear()

    def thaw(self) -> None:
        self._open.set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        await self._open.wait()
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        try:
            await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))
        finally:
            writer.close()
            far_writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                await self._open.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


def publish(gateway: Gateway, value: object, channel: str = CHANNEL) -> httpx.Response:
    with gateway.client(headers=AUTHORIZED) as client:
        return client.post(f"/api/realtime/channels/{channel}/publish", json={"data": value})


async def published(gateway: Gateway, value: object) -> Frame:
    """Publish until it is done; where nobody knows whether it was, another value is published."""
    async with asyncio.timeout(SETTLED):
        for attempt in range(100):
            answer = await asyncio.to_thread(publish, gateway, [value, attempt])
            if answer.status_code == 200:
                place: Frame = answer.json()
                return place
            assert answer.status_code in (503, 504), answer.text
            await asyncio.sleep(0.1)
    raise AssertionError


async def heard_until(socket: Socket, value: object) -> list[Frame]:
    """Take what comes until a message whose value begins so."""
    frames: list[Frame] = []
    async with asyncio.timeout(SETTLED):
        while True:
            frame = await socket.next(patience=SETTLED)
            frames.append(frame)
            data = frame.get("data")
            if frame["type"] == "message" and isinstance(data, list) and data[0] == value:
                return frames


def values_of(frames: list[Frame]) -> list[object]:
    return [frame["data"] for frame in frames if frame["type"] == "message"]


def lost(frames: list[Frame]) -> int:
    counts = [frame["count"] for frame in frames if frame["type"] == "dropped"]
    return sum(count for count in counts if isinstance(count, int))


async def test_messages_of_a_replica_that_was_cut_off_are_reported_as_lost_to_the_others(
    redis: RedisServer, tmp_path: Path
) -> None:
    link = Link(redis.port)
    async with link.running():
        folders = [tmp_path / "a", tmp_path / "b"]
        for folder in folders:
            folder.mkdir()
        with (
            Gateway(
                folders[0], REPLICA, environment={"REDIS_URL": f"redis://127.0.0.1:{link.port}/0"}
            ) as cut,
            Gateway(folders[1], REPLICA, environment={"REDIS_URL": redis.url}) as other,
        ):
            await check_partition(link, cut, other)


async def check_partition(link: Link, cut: Gateway, other: Gateway) -> None:
    async with opened(cut) as here, opened(other) as there, opened(other) as quiet:
        await here.subscribe(CHANNEL)
        await there.subscribe(CHANNEL)
        first = await published(cut, "before")
        await heard_until(here, "before")
        await heard_until(there, "before")
        with listening(other, CHANNEL) as stream:
            link.freeze()
            alone = await published(cut, "alone")
            await published(cut, "alone too")
            await published(other, "meanwhile")
            heard_alone = await heard_until(here, "alone too")
            link.thaw()
            reported = [await there.next("message", patience=SETTLED)]
            while lost(reported) < 2:
                reported.append(await there.next(patience=SETTLED))
            streamed = [await asyncio.to_thread(stream.next)]
            while lost([event.frame() for event in streamed]) < 2:
                streamed.append(await asyncio.to_thread(stream.next))
        caught_up = await heard_until(here, "meanwhile")
        place = {"epoch": first["epoch"], "offset": first["offset"]}
        resumed = await quiet.subscribe(CHANNEL, **place)
        await published(other, "after")
        after = await heard_until(here, "after")
        after_there = await heard_until(there, "after")

    assert alone["epoch"] != first["epoch"]
    assert len(values_of(heard_alone)) >= 2
    assert resumed["recovered"] is False
    assert lost(reported) >= 2
    assert "meanwhile" in str(values_of(caught_up))
    assert len(values_of(after)) >= 1
    assert values_of(after_there)[-1] == values_of(after)[-1]


REFUSALS = {
    "OOM": (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]),
    "READONLY": (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]),
    "NOREPLICAS": (
        ["CONFIG", "SET", "min-replicas-to-write", "1"],
        ["CONFIG", "SET", "min-replicas-to-write", "0"],
    ),
    "NOPERM": (
        ["ACL", "SETUSER", "default", "-set", "-evalsha"],
        ["ACL", "SETUSER", "default", "+set", "+evalsha"],
    ),
}


def command(redis: RedisServer, *words: str) -> str:
    """Ask the server something, as an operator does."""
    asked = ["redis-cli", "-p", str(redis.port), *words]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("kind", REFUSALS)
async def test_a_redis_that_refuses_writes_is_one_that_is_away(
    redis: RedisServer, replicas: tuple[Gateway, Gateway], kind: str
) -> None:
    cut, other = replicas
    refuse, accept = REFUSALS[kind]
    async with opened(cut) as here, opened(other) as there:
        await here.subscribe(CHANNEL)
        await there.subscribe(CHANNEL)
        await published(cut, "before")
        await heard_until(here, "before")
        await heard_until(there, "before")
        assert command(redis, *refuse) == "OK"
        answer = await asyncio.to_thread(publish, cut, ["refused", 0])
        heard = await heard_until(here, "refused")
        assert command(redis, *accept) == "OK"
        reported = [await there.next(patience=SETTLED)]
        while lost(reported) < 1 and not values_of(reported):
            reported.append(await there.next(patience=SETTLED))
        await published(cut, "after")
        await heard_until(here, "after")

    assert answer.status_code == 200, answer.text
    assert values_of(heard) == [["refused", 0]]


async def test_after_flushall_presence_is_complete_within_a_lease_and_what_was_kept_is_lost(
    redis: RedisServer, replicas: tuple[Gateway, Gateway]
) -> None:
    one, two = replicas
    async with opened(one) as first, opened(two) as second, opened(one) as resuming:
        await first.subscribe(CHANNEL)
        await second.subscribe(CHANNEL)
        place = await published(one, "before")
        await heard_until(second, "before")
        assert command(redis, "FLUSHALL") == "OK"
        assert command(redis, "SCRIPT", "FLUSH") == "OK"
        after = await published(one, "after")
        heard = await heard_until(second, "after")
        resumed = await resuming.subscribe(CHANNEL, epoch=place["epoch"], offset=place["offset"])
        async with asyncio.timeout(15):
            while True:
                answer = await second.ask("presence", type="presence", channel=CHANNEL)
                if len(cast("list[object]", answer["members"])) == 3:
                    break
                await asyncio.sleep(0.2)

    assert after["epoch"] != place["epoch"]
    assert [frame["type"] for frame in heard if frame["type"] in ("dropped", "message")] == [
        "dropped",
        "message",
    ]
    assert resumed["recovered"] is False


@pytest.fixture
def cluster() -> Generator[RedisServer]:
    """A node of a cluster."""
    bus = str(free_port())
    with running_redis("--cluster-enabled", "yes", "--cluster-port", bus) as server:
        yield server


def test_a_hub_says_why_it_does_not_share_through_a_node_of_a_cluster(
    cluster: RedisServer, tmp_path: Path
) -> None:
    with Gateway(tmp_path, REPLICA, environment={"REDIS_URL": cluster.url}) as gateway:
        assert publish(gateway, 1).status_code == 200
        lines = [line for line in gateway.lines() if "error" in line]

    assert any("Redis Cluster" in str(line["error"]) for line in lines), lines
