"""The cache of one process: bounded in entries and bytes, the least used go first."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Self

import msgspec

from nexus_gateway.studio.storage.cache import LONGEST, Found

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

ENTRIES = 4096
"""Values, leases and counters together."""
BYTES = 32 << 20
"""Of all values."""
_GROUPS = 4096
"""Groups whose last end is remembered one by one."""


class _Entry(msgspec.Struct):
    """A value, a lease's holder, or a counter's sum; until when it counts, and its size."""

    value: bytes | str | int
    until: float
    size: int = 0


class LocalCache:
    """The `Cache` of a process.

    Args:
        entries: at most.
        size: bytes of values at most.
        clock: seconds that only go on.
    """

    def __init__(
        self,
        *,
        entries: int = ENTRIES,
        size: int = BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = entries
        self._bytes = size
        self._clock = clock
        self._entries: OrderedDict[tuple[str, str], _Entry] = OrderedDict()
        self._names: dict[str, set[str]] = {}
        self._size = 0
        # Each `forget` has a number. Of groups that are no longer remembered, only the greatest is.
        self._turn = 0
        self._ended: OrderedDict[str, int] = OrderedDict()
        self._floor = 0

    async def look(self, group: str, name: str) -> Found:
        """Look for a value."""
        entry = self._get(f"group {group}", name)
        value = entry.value if entry is not None else None
        return Found(value if isinstance(value, bytes) else None, str(self._turn))

    async def keep(self, group: str, name: str, value: bytes, *, ttl: float, state: str) -> bool:
        """Keep a value that was made after `state` was seen; whether it was still in time."""
        if self._ended.get(group, self._floor) > int(state):
            return False
        self._put(f"group {group}", name, value, min(ttl, LONGEST), len(value))
        return True

    async def forget(self, group: str) -> None:
        """Forget all of a group; what is being made for it now is not kept."""
        self._turn += 1
        self._ended[group] = self._turn
        self._ended.move_to_end(group)
        if len(self._ended) > _GROUPS:
            _, self._floor = self._ended.popitem(last=False)
        kind = f"group {group}"
        for name in list(self._names.get(kind, ())):
            self._drop((kind, name))

    async def claim(self, name: str, holder: str, *, ttl: float) -> bool:
        """Take a lease that nobody holds; whether `holder` has it now."""
        if self._get("lease", name) is not None:
            return False
        self._put("lease", name, holder, ttl)
        return True

    async def renew(self, name: str, holder: str, *, ttl: float) -> bool:
        """Hold a lease for longer; False where it is not `holder`'s any more."""
        if not self._holds(name, holder):
            return False
        self._put("lease", name, holder, ttl)
        return True

    async def release(self, name: str, holder: str) -> bool:
        """Give a lease back, if it still is `holder`'s."""
        if not self._holds(name, holder):
            return False
        self._drop(("lease", name))
        return True

    async def count(self, name: str, by: int = 1, *, ttl: float) -> int:
        """Add to a counter and tell its sum; `ttl` after its first addition it begins anew."""
        entry = self._get("counter", name)
        if entry is None or not isinstance(entry.value, int):
            self._put("counter", name, by, ttl)
            return by
        entry.value += by
        return entry.value

    async def ping(self) -> None:
        """Work, as it always does."""

    async def __aenter__(self) -> Self:
        """Be there."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Forget everything."""
        self._entries.clear()
        self._names.clear()
        self._size = 0

    def _holds(self, name: str, holder: str) -> bool:
        entry = self._get("lease", name)
        return entry is not None and entry.value == holder

    def _get(self, kind: str, name: str) -> _Entry | None:
        entry = self._entries.get((kind, name))
        if entry is None:
            return None
        if entry.until <= self._clock():
            self._drop((kind, name))
            return None
        self._entries.move_to_end((kind, name))
        return entry

    def _put(
        self, kind: str, name: str, value: bytes | str | int, ttl: float, size: int = 0
    ) -> None:
        self._drop((kind, name))
        if size > self._bytes:
            return
        self._entries[kind, name] = _Entry(value, self._clock() + ttl, size)
        self._names.setdefault(kind, set()).add(name)
        self._size += size
        while len(self._entries) > self._most or self._size > self._bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: tuple[str, str]) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self._size -= entry.size
        names = self._names[key[0]]
        names.discard(key[1])
        if not names:
            del self._names[key[0]]
