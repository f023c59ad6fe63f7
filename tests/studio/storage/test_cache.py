"""The contract of the cache, over every store: in the process, and in a Redis."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Connection
from redis.exceptions import TimeoutError as RedisTimeout

from nexus_gateway.studio.storage.cache_local import LocalCache
from nexus_gateway.studio.storage.cache_redis import POOL, RedisCache
from nexus_gateway.studio.storage.cache_shared import SharedCache
from nexus_gateway.studio.storage.errors import StorageUnavailable, UnsuitableServer
from tests.harness.servers import free_port, running_redis
from tests.harness.waiting import Polling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from nexus_gateway.studio.storage.cache import Cache
    from tests.harness.servers import RedisServer

MOMENT = 0.05


def talk(server: RedisServer, command: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        client.sendall(command + b"\r\n")
        return client.recv(4096)


@pytest.fixture(params=["local", "redis", "shared"])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[Cache]:
    async with cache_of(request, request.param) as opened:
        yield opened


def cache_of(request: pytest.FixtureRequest, kind: str) -> Cache:
    if kind == "local":
        return LocalCache()
    url: str = request.getfixturevalue("redis_url")
    redis = RedisCache(url, timeout=5)
    return SharedCache(redis) if kind == "shared" else redis


async def kept(cache: Cache, group: str, name: str, value: bytes, ttl: float = 60) -> bool:
    state = (await cache.look(group, name)).state
    return await cache.keep(group, name, value, ttl=ttl, state=state)


async def value(cache: Cache, group: str, name: str) -> bytes | None:
    return (await cache.look(group, name)).value


async def test_what_is_kept_is_found_under_its_group_and_name_alone(cache: Cache) -> None:
    assert await kept(cache, "a", "x", b"\x00\xff")

    assert await value(cache, "a", "x") == b"\x00\xff"
    assert await value(cache, "a", "y") is None
    assert await value(cache, "b", "x") is None


async def test_a_value_is_replaced_and_ends(cache: Cache) -> None:
    await kept(cache, "a", "x", b"1")
    await kept(cache, "a", "x", b"2")
    assert await value(cache, "a", "x") == b"2"

    await kept(cache, "a", "x", b"3", ttl=MOMENT)
    polling = Polling("the value has ended")
    while await value(cache, "a", "x") is not None:
        await polling.turn()


async def test_a_group_is_forgotten_as_a_whole_and_no_other(cache: Cache) -> None:
    for group in ("a", "b"):
        for name in ("x", "y"):
            await kept(cache, group, name, b"1")

    await cache.forget("a")

    found = [await value(cache, group, name) for group in ("a", "b") for name in ("x", "y")]
    assert found == [None, None, b"1", b"1"]
    assert await kept(cache, "a", "x", b"2")
    assert await value(cache, "a", "x") == b"2"


async def test_what_was_begun_before_its_group_was_forgotten_is_not_kept(cache: Cache) -> None:
    state = (await cache.look("a", "x")).state
    await cache.forget("a")

    assert not await cache.keep("a", "x", b"old", ttl=60, state=state)
    assert await value(cache, "a", "x") is None


@pytest.mark.parametrize("odd", ["a}:x", "a}::x", "{b}", "a b\r\nFLUSHALL", "ü/%7D", ""])
async def test_names_may_hold_anything_and_never_meet(cache: Cache, odd: str) -> None:
    await kept(cache, odd, odd, b"odd")
    await kept(cache, "a", "x", b"plain")
    await cache.forget(odd)
    await cache.claim(odd, "me", ttl=60)

    assert await value(cache, "a", "x") == b"plain"
    assert await value(cache, odd, odd) is None


async def test_one_of_many_gets_a_lease(cache: Cache) -> None:
    taken = await asyncio.gather(*(cache.claim("job", f"{n}", ttl=60) for n in range(10)))

    assert taken.count(True) == 1


async def test_a_lease_is_its_holders_alone_until_it_is_given_back(cache: Cache) -> None:
    assert await cache.claim("job", "me", ttl=60)

    assert not await cache.renew("job", "you", ttl=60)
    assert not await cache.release("job", "you")
    assert await cache.renew("job", "me", ttl=60)
    assert await cache.release("job", "me")
    assert not await cache.release("job", "me")
    assert await cache.claim("job", "you", ttl=60)


async def test_a_lease_ends_by_itself_and_is_not_renewed_then(cache: Cache) -> None:
    await cache.claim("job", "me", ttl=MOMENT)
    await cache.renew("job", "me", ttl=MOMENT)
    await cache.claim("later", "me", ttl=2 * MOMENT)
    polling = Polling("a lease that ends later has ended")
    while not await cache.claim("later", "you", ttl=60):
        await polling.turn()

    assert not await cache.renew("job", "me", ttl=60)
    assert await cache.claim("job", "you", ttl=60)


async def test_a_counter_is_exact_and_begins_anew_after_its_time(cache: Cache) -> None:
    sums = await asyncio.gather(*(cache.count("hits", ttl=60) for _ in range(20)))
    more = await cache.count("hits", 5, ttl=MOMENT)

    assert sorted(sums) == list(range(1, 21))
    assert more == 25
    # Only the first addition says how long a counter lives.
    await cache.count("few", 5, ttl=MOMENT)
    polling = Polling("the counter has begun again")
    while await cache.count("few", ttl=60) != 1:
        await polling.turn()


async def test_it_says_that_it_works(cache: Cache) -> None:
    await cache.ping()


# --- in the process ---


async def test_the_least_used_values_go_first(cache: Cache) -> None:
    small = LocalCache(entries=2)
    await kept(small, "a", "x", b"1")
    await kept(small, "a", "y", b"2")
    await value(small, "a", "x")
    await kept(small, "a", "z", b"3")

    assert [await value(small, "a", name) for name in "xyz"] == [b"1", None, b"3"]


async def test_values_are_bounded_in_bytes() -> None:
    small = LocalCache(size=10)
    await kept(small, "a", "x", b"12345678")
    await kept(small, "a", "y", b"12345678")
    await kept(small, "a", "z", b"12345678901")

    assert [await value(small, "a", name) for name in "xyz"] == [None, b"12345678", None]


async def test_a_forgotten_group_stays_so_when_its_end_is_no_longer_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nexus_gateway.studio.storage.cache_local._GROUPS", 2)
    cache = LocalCache()
    state = (await cache.look("a", "x")).state
    for group in ("a", "b", "c", "d"):
        await cache.forget(group)

    assert not await cache.keep("a", "x", b"old", ttl=60, state=state)


# --- in a Redis ---


async def test_two_replicas_share_and_prefixes_keep_apart(redis_url: str) -> None:
    async with (
        RedisCache(redis_url, prefix="one") as one,
        RedisCache(redis_url, prefix="one") as replica,
        RedisCache(redis_url, prefix="two") as two,
    ):
        await kept(one, "a", "x", b"1")
        state = (await one.look("a", "x")).state
        seen = await value(replica, "a", "x")
        await replica.forget("a")

        assert seen == b"1"
        assert not await one.keep("a", "x", b"old", ttl=60, state=state)
        assert await kept(two, "a", "x", b"2")
        assert await value(one, "a", "x") is None


async def test_nothing_is_kept_without_an_end(redis_url: str, redis_server: RedisServer) -> None:
    async with RedisCache(redis_url) as cache:
        await kept(cache, "a", "x", b"1")
        await cache.forget("a")
        await cache.claim("job", "me", ttl=60)
        await cache.count("hits", ttl=60)

    keys, expiring = (part for part in talk(redis_server, b"INFO keyspace").split(b",")[:2])
    assert keys.rsplit(b"=")[-1] == expiring.rsplit(b"=")[-1] == b"4"


async def test_a_redis_that_knows_no_script_is_told_it(
    redis_url: str, redis_server: RedisServer
) -> None:
    async with RedisCache(redis_url) as cache:
        await kept(cache, "a", "x", b"1")
        assert talk(redis_server, b"SCRIPT FLUSH").startswith(b"+OK")

        assert await value(cache, "a", "x") == b"1"


async def test_a_redis_that_hangs_is_given_up_within_its_time() -> None:
    with running_redis() as server:
        async with RedisCache(server.url, timeout=0.2) as cache:
            await cache.ping()
            server.pause()
            calls = (cache.ping() for _ in range(50))

            answers = await asyncio.gather(*calls, return_exceptions=True)

            assert all(isinstance(answer, StorageUnavailable) for answer in answers)
            server.resume()
            await until_it_answers(cache)


async def test_calls_that_were_given_up_leave_their_connections_to_others() -> None:
    with running_redis() as server:
        async with RedisCache(server.url, timeout=0.05) as cache:
            for _ in range(10):
                await until_it_answers(cache)
                server.pause()
                calls = [asyncio.create_task(cache.count("x", ttl=10)) for _ in range(4 * POOL)]
                for call in calls[::3]:
                    call.cancel()
                await asyncio.gather(*calls, return_exceptions=True)
                server.resume()

            await until_it_answers(cache, calls=POOL)


async def test_a_connection_that_is_slow_to_close_does_not_fail_the_end(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    disconnect = Connection.disconnect
    closed: list[Connection] = []

    async def slow(connection: Connection) -> None:
        await disconnect(connection)
        closed.append(connection)
        raise RedisTimeout("Timed out closing connection after 0.05")

    async with RedisCache(redis_url) as cache:
        await cache.ping()
        monkeypatch.setattr(Connection, "disconnect", slow)

    assert len(closed) == 1


async def until_it_answers(cache: RedisCache, *, calls: int = 1) -> None:
    """Call until all are answered at once: a process that was stopped may be scheduled late."""
    async with asyncio.timeout(10):
        while True:
            answers = await asyncio.gather(
                *(cache.ping() for _ in range(calls)), return_exceptions=True
            )
            if not any(answers):
                return
            assert all(isinstance(a, StorageUnavailable) for a in answers if a is not None)


# --- while the Redis is away ---


async def test_without_its_redis_a_process_caches_for_itself_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with running_redis() as server:
        async with SharedCache(RedisCache(server.url), pause=0) as cache:
            await kept(cache, "a", "x", b"shared")
            begun = (await cache.look("a", "x")).state
            server.kill()

            assert await value(cache, "a", "x") is None
            assert not await cache.keep("a", "x", b"begun before", ttl=60, state=begun)
            assert await kept(cache, "a", "x", b"own")
            assert await value(cache, "a", "x") == b"own"
            assert await cache.claim("job", "me", ttl=60)
            assert not await cache.claim("job", "you", ttl=60)
            assert await cache.count("hits", ttl=60) == 1
            with pytest.raises(StorageUnavailable):
                await cache.ping()

            server.start()
            await cache.ping()
            assert await value(cache, "a", "x") is None
            assert await kept(cache, "a", "x", b"shared again")
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 2
    assert "caches for itself" in messages[0]
    assert messages[1] == "the shared cache answers again"


async def test_what_was_forgotten_meanwhile_is_forgotten_there_once_it_is_back() -> None:
    with running_redis() as server:
        async with (
            SharedCache(RedisCache(server.url, timeout=0.2), pause=0) as cache,
            RedisCache(server.url) as replica,
        ):
            await kept(replica, "a", "x", b"old")
            await kept(replica, "b", "x", b"good")
            server.pause()
            await cache.forget("a")
            server.resume()

            await cache.look("c", "x")

            assert await value(replica, "a", "x") is None
            assert await value(replica, "b", "x") == b"good"


async def test_calls_do_not_wait_for_a_redis_that_hangs_more_than_once_a_pause() -> None:
    class Counting(RedisCache):
        calls = 0

        async def _answer(self, send: Callable[[], Awaitable[object]]) -> object:
            self.calls += 1
            return await super()._answer(send)

    with running_redis() as server:
        shared = Counting(server.url, timeout=0.2)
        async with SharedCache(shared, pause=60) as cache:
            await cache.ping()
            server.pause()
            shared.calls = 0
            for _ in range(100):
                await cache.look("a", "x")
                await cache.forget("a")

    assert shared.calls == 1


async def test_those_who_forget_the_same_at_once_share_a_call_that_begins_after_them() -> None:
    class Slow(LocalCache):
        def __init__(self) -> None:
            super().__init__()
            self.begun, self.go = asyncio.Event(), asyncio.Event()
            self.calls = 0

        async def forget(self, group: str) -> None:
            self.calls += 1
            self.begun.set()
            await self.go.wait()

    slow = Slow()
    async with SharedCache(slow) as cache:
        tasks = [asyncio.create_task(cache.forget("a")) for _ in range(10)]
        await slow.begun.wait()
        tasks[1].cancel()
        slow.go.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)

        assert slow.calls == 2
        assert [type(result) for result in results].count(asyncio.CancelledError) == 1
        await cache.forget("a")
        assert slow.calls == 3


async def test_a_node_of_a_cluster_is_refused() -> None:
    bus = str(free_port())  # its own choice may be no port at all
    with running_redis("--cluster-enabled", "yes", "--cluster-port", bus) as server:
        cache = RedisCache(server.url, timeout=5)
        with pytest.raises(UnsuitableServer, match="a node of a Redis Cluster"):
            async with cache:
                pass
        with pytest.raises(StorageUnavailable) as later:
            await cache.ping()
        async with SharedCache(RedisCache("redis://127.0.0.1:1/0")):
            pass  # one that does not answer yet may be started later
        await cache.__aexit__(None, None, None)

    assert later.value.reason is not None
    assert "Redis Cluster" in later.value.reason
