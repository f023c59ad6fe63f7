"""The cache in a Redis that replicas share. Imported only where one is set.

Whatever takes more than one step is a script, so that it happens at once. All keys of a group have
one hash tag, so they are in one slot of a cluster: `{nexus:group:acme}` holds the group's state,
and `{nexus:group:acme}:<state>:<name>` its values. To forget a group is to give it another state:
its values are found no more, and their own ends remove them.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from typing import TYPE_CHECKING, Self, TypeAlias, cast
from urllib.parse import quote

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from nexus_gateway.studio.storage.cache import LONGEST, Found
from nexus_gateway.studio.storage.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from types import TracebackType

POOL = 16
"""Connections at most; a call waits for one within its time."""

_Argument: TypeAlias = str | bytes | int


class _Script:
    """A script and the name that a server remembers it by."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


# The names of values are made of the state, so they cannot be among KEYS; they are in its slot.
_LOOK = _Script("""
local state = redis.call('GET', KEYS[1]) or ''
return {state, redis.call('GET', KEYS[1] .. ':' .. state .. ':' .. ARGV[1])}
""")
_KEEP = _Script("""
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1] .. ':' .. ARGV[2] .. ':' .. ARGV[1], ARGV[3], 'PX', ARGV[4])
return 1
""")
_RENEW = _Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
""")
_RELEASE = _Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
""")
_COUNT = _Script("""
local sum = redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return sum
""")


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
        """Ask the server whether it answers.

        Raises:
            StorageUnavailable: it does not.
        """
        await self._ask("PING")

    async def __aenter__(self) -> Self:
        """Wait for the first call to connect."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self._client.aclose(close_connection_pool=True)

    def _key(self, kind: str, name: str) -> str:
        # Quoted: a brace in a name would end the hash tag, and a colon make it another's.
        return f"{{{self._prefix}:{kind}:{quote(name, safe='')}}}"

    async def _run(self, script: _Script, key: str, *arguments: _Argument) -> object:
        try:
            return await self._ask("EVALSHA", script.digest, 1, key, *arguments)
        except NoScriptError:
            return await self._ask("EVAL", script.text, 1, key, *arguments)

    async def _ask(self, *words: _Argument) -> object:
        """Send one command.

        Raises:
            NoScriptError: the server does not know the script.
            StorageUnavailable: it does not answer, or refuses.
        """
        try:
            answer = cast(
                "Awaitable[object]",
                self._client.execute_command(*words),  # type: ignore[no-untyped-call]
            )
            async with asyncio.timeout(self._timeout):
                return await answer
        except NoScriptError:
            raise
        except (RedisError, OSError, TimeoutError) as error:
            raise StorageUnavailable(f"the cache does not answer: {error}") from error


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
