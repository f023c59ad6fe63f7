"""The cache in a Redis that replicas share. Imported only where one is set.

Whatever takes more than one step is a script, so that it happens at once. All keys of a group have
one hash tag: `{nexus:group:acme}` holds the group's state, and `{nexus:group:acme}:<state>:<name>`
its values. To forget a group is to give it another state: its values are found no more, and their
own ends remove them. A node of a Redis Cluster or a Sentinel is refused, as the hub refuses it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING, Self, TypeAlias, cast
from urllib.parse import quote

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from nexus_gateway.studio.storage.cache import LONGEST, Found
from nexus_gateway.studio.storage.errors import StorageUnavailable, UnsuitableServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

POOL = 16
"""Connections at most; a call waits for one within its time."""

_OLDEST_VERSION = 6
_UNSUITABLE = {
    "cluster": "a node of a Redis Cluster, which is not supported: use one Redis server",
    "sentinel": "a Sentinel: name the Redis that it watches",
}
_CODES = {
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
    "NoPermissionError": "NOPERM",
    "AuthenticationError": "WRONGPASS",
    "BusyLoadingError": "LOADING",
    "MasterDownError": "MASTERDOWN",
    "MovedError": "MOVED",
    "ClusterDownError": "CLUSTERDOWN",
}
"""What the library takes off the beginning of the server's sentence."""

_Argument: TypeAlias = str | bytes | int


# The names of values are made of the state, so they cannot be among KEYS; they are in its slot.
_LOOK = """
local state = redis.call('GET', KEYS[1]) or ''
return {state, redis.call('GET', KEYS[1] .. ':' .. state .. ':' .. ARGV[1])}
"""
_KEEP = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1] .. ':' .. ARGV[2] .. ':' .. ARGV[1], ARGV[3], 'PX', ARGV[4])
return 1
"""
_RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""
_COUNT = """
local sum = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return sum
"""


class RedisCache:
    """The `Cache` in a Redis; every method raises `StorageUnavailable` where it does not answer.

    Args:
        url: `redis://user:password@host:port/database`, or `rediss://` for TLS.
        prefix: of every key.
        timeout: seconds that one call may take.
    """

    def __init__(self, url: str, *, prefix: str = "nexus", timeout: float = 0.5) -> None:
        self._prefix = prefix
        self._timeout = timeout
        pool = redis.asyncio.BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType]
            url,
            max_connections=POOL,
            timeout=timeout,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            client_name="nexus-gateway",
            # What was sent may have been done: to ask again is the caller's to decide.
            retry=Retry(NoBackoff(), 0),
        )
        self._client = redis.asyncio.Redis(connection_pool=pool)
        self._scripts = {
            text: self._client.register_script(text)
            for text in (_LOOK, _KEEP, _RENEW, _RELEASE, _COUNT)
        }
        self._suitable = False
        # The pool's own wait is an `asyncio.Condition`, which on Python 3.11 loses a notification
        # if the notified call is cancelled at the same time: others would wait beside connections
        # that are free. A semaphore passes the wake-up on.
        self._free = asyncio.Semaphore(POOL)

    async def look(self, group: str, name: str) -> Found:
        """Look for a value."""
        state, value = cast(
            "tuple[bytes, bytes | None]", await self._run(_LOOK, self._key("group", group), name)
        )
        return Found(value, state.decode())

    async def keep(self, group: str, name: str, value: bytes, *, ttl: float, state: str) -> bool:
        """Keep a value that was made after `state` was seen; whether it was still in time."""
        longest = min(ttl, LONGEST)
        key = self._key("group", group)
        return await self._run(_KEEP, key, name, state, value, _milliseconds(longest)) == 1

    async def forget(self, group: str) -> None:
        """Forget all of a group; what is being made for it now is not kept."""
        # The state outlives every value that was kept before it: without one, nothing is found.
        end = _milliseconds(2 * LONGEST)
        await self._ask("SET", self._key("group", group), secrets.token_hex(8), "PX", end)

    async def claim(self, name: str, holder: str, *, ttl: float) -> bool:
        """Take a lease that nobody holds; whether `holder` has it now."""
        key = self._key("lease", name)
        return await self._ask("SET", key, holder, "NX", "PX", _milliseconds(ttl)) is not None

    async def renew(self, name: str, holder: str, *, ttl: float) -> bool:
        """Hold a lease for longer; False where it is not `holder`'s any more."""
        key = self._key("lease", name)
        return await self._run(_RENEW, key, holder, _milliseconds(ttl)) == 1

    async def release(self, name: str, holder: str) -> bool:
        """Give a lease back, if it still is `holder`'s."""
        return await self._run(_RELEASE, self._key("lease", name), holder) == 1

    async def count(self, name: str, by: int = 1, *, ttl: float) -> int:
        """Add to a counter and tell its sum; `ttl` after its first addition it begins anew."""
        key = self._key("counter", name)
        return cast("int", await self._run(_COUNT, key, by, _milliseconds(ttl)))

    async def ping(self) -> None:
        """Ask the server whether it answers, and accepts writes.

        Raises:
            StorageUnavailable: it does not.
        """
        try:
            await self._check_kind()
        except UnsuitableServer as error:
            raise StorageUnavailable(str(error), reason=str(error)) from error
        await self._ask("SET", f"{{{self._prefix}:probe}}", "1", "PX", 10_000)

    async def _check_kind(self) -> None:
        """Find out once of what kind the server is.

        Raises:
            StorageUnavailable: it does not answer.
            UnsuitableServer: it cannot be used.
        """
        if self._suitable:
            return
        info = cast("dict[str, object]", await self._ask("INFO", "server"))
        mode, version = str(info.get("redis_mode")), str(info.get("redis_version", ""))
        if mode in _UNSUITABLE:
            raise UnsuitableServer(f"the Redis of NEXUS_REDIS_URL is {_UNSUITABLE[mode]}")
        major = version.partition(".")[0]
        if major.isdecimal() and int(major) < _OLDEST_VERSION:
            message = (
                f"the Redis of NEXUS_REDIS_URL is version {version}, {_OLDEST_VERSION} is needed"
            )
            raise UnsuitableServer(message)
        self._suitable = True

    async def __aenter__(self) -> Self:
        """Refuse a server that cannot be used; one that does not answer yet is asked again later.

        Raises:
            UnsuitableServer: it is a node of a cluster, a Sentinel, or too old.
        """
        try:
            await self._check_kind()
        except StorageUnavailable:
            pass
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self._close()

    async def _close(self) -> None:
        # The library waits for the end of each connection and may give up. None is open then.
        with contextlib.suppress(RedisError, OSError):
            await self._client.aclose(close_connection_pool=True)

    def _key(self, kind: str, name: str) -> str:
        # Quoted: a brace in a name would end the hash tag, and a colon make it another's.
        return f"{{{self._prefix}:{kind}:{quote(name, safe='')}}}"

    async def _run(self, script: str, key: str, *arguments: _Argument) -> object:
        return await self._answer(lambda: self._scripts[script]([key], arguments))

    async def _ask(self, *words: _Argument) -> object:
        """Send one command."""
        return await self._answer(
            lambda: cast("Awaitable[object]", self._client.execute_command(*words))  # type: ignore[no-untyped-call]
        )

    async def _answer(self, send: Callable[[], Awaitable[object]]) -> object:
        """Send when a connection is free, and wait for the answer, both within the call's time.

        Raises:
            StorageUnavailable: the server does not answer in time, or refuses.
        """
        try:
            async with asyncio.timeout(self._timeout), self._free:
                return await send()
        except ResponseError as error:
            reason = f"the server refuses: {_code_of(error)}"
            raise StorageUnavailable(f"the cache refuses: {error}", reason=reason) from error
        except (RedisError, OSError, TimeoutError) as error:
            self._suitable = False  # another may answer next time
            raise StorageUnavailable(f"the cache does not answer: {error}") from error


def _code_of(error: ResponseError) -> str:
    """Name what a server refuses, without the user that it may name."""
    name = type(error).__name__
    word = str(error).partition(" ")[0]
    return _CODES.get(name, word if word.isupper() else name)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
