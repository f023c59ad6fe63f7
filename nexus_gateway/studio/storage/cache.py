"""What replicas share and may lose: cached values, leases, counters. One protocol, two stores.

In one process it is `cache_local.LocalCache`; where a Redis is set, `cache_redis.RedisCache` behind
`cache_shared.SharedCache`, which goes on in the process while the Redis is away. Nothing here may
be the only copy of anything, and no lease here decides what is written: databases do.

Cached values come in groups that are forgotten together. Who makes a value looks first, and gives
the `state` that it saw when it keeps what it made: where the group was forgotten meanwhile, by any
replica, the value is out of date already and is not kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

import msgspec

if TYPE_CHECKING:
    from types import TracebackType

LONGEST = 3600.0
"""Seconds that a value may be kept at most."""


class Found(msgspec.Struct, frozen=True):
    """What a group has under a name, and the state of the group, which `keep` asks for."""

    value: bytes | None
    state: str


class Cache(Protocol):
    """A store that is opened by `async with`. Times are seconds; each value has an end."""

    async def look(self, group: str, name: str) -> Found:
        """Look for a value."""
        ...

    async def keep(self, group: str, name: str, value: bytes, *, ttl: float, state: str) -> bool:
        """Keep a value that was made after `state` was seen; whether it was still in time."""
        ...

    async def forget(self, group: str) -> None:
        """Forget all of a group; what is being made for it now is not kept."""
        ...

    async def claim(self, name: str, holder: str, *, ttl: float) -> bool:
        """Take a lease that nobody holds; whether `holder` has it now."""
        ...

    async def renew(self, name: str, holder: str, *, ttl: float) -> bool:
        """Hold a lease for longer; False where it is not `holder`'s any more."""
        ...

    async def release(self, name: str, holder: str) -> bool:
        """Give a lease back, if it still is `holder`'s."""
        ...

    async def count(self, name: str, by: int = 1, *, ttl: float) -> int:
        """Add to a counter and tell its sum; `ttl` after its first addition it begins anew."""
        ...

    async def ping(self) -> None:
        """Ask whether it works.

        Raises:
            StorageUnavailable: it does not.
        """
        ...

    async def __aenter__(self) -> Self:
        """Open it; a server that is away is no reason not to."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        ...
