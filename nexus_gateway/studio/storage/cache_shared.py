"""The Redis that replicas share, with this process's own cache in its place while it is away.

Callers see no error: for as long as the Redis does not answer, each replica caches for itself, and
a lease or a counter holds within one process. One log line tells when that begins, and one when it
ends; `/health/ready` tells it all the while.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Self, TypeVar

from nexus_gateway.studio.storage.cache import Found
from nexus_gateway.studio.storage.cache_local import LocalCache
from nexus_gateway.studio.storage.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from nexus_gateway.studio.storage.cache import Cache

_logger = logging.getLogger(__name__)

T = TypeVar("T")

PAUSE = 1.0
"""Seconds between two questions whether it is back; calls in between do not wait for it."""
_REMEMBERED = 10_000
"""Groups forgotten meanwhile, which are forgotten there once it is back. The oldest go first: the
longer ago it was, the likelier that what it would have removed has ended by itself."""


class SharedCache:
    """The `Cache` of several replicas.

    Args:
        shared: which they share; it is opened and closed here.
        pause: see `PAUSE`.
        clock: seconds that only go on.
    """

    def __init__(
        self,
        shared: Cache,
        *,
        pause: float = PAUSE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._shared = shared
        self._own = LocalCache()
        self._pause = pause
        self._clock = clock
        self._away = False
        self._ask_at = 0.0
        self._owed: OrderedDict[str, None] = OrderedDict()
        self._forgetting: dict[str, tuple[asyncio.Task[None], asyncio.Task[None] | None]] = {}

    async def look(self, group: str, name: str) -> Found:
        """Look for a value; the state tells where it was looked for."""
        found, place = await self._either(lambda cache: cache.look(group, name))
        return Found(found.value, f"{place} {found.state}")

    async def keep(self, group: str, name: str, value: bytes, *, ttl: float, state: str) -> bool:
        """Keep a value where its state was seen; whether it was still in time."""
        seen, _, rest = state.partition(" ")
        if seen == "own":
            return await self._own.keep(group, name, value, ttl=ttl, state=rest)
        if self._away:
            return False
        try:
            return await self._shared.keep(group, name, value, ttl=ttl, state=rest)
        except StorageUnavailable as error:
            self._lost(error)
            return False

    async def forget(self, group: str) -> None:
        """Forget all of a group here and there.

        Those who want the same at the same moment share one call, which begins after the last of
        them asked.
        """
        await self._own.forget(group)
        running, waiting = self._forgetting.get(group, (None, None))
        if running is None:
            task = asyncio.create_task(self._forget(group))
            self._forgetting[group] = (task, None)
            task.add_done_callback(lambda _: self._forgotten(group))
        elif waiting is None:
            task = asyncio.create_task(self._after(running, group))
            self._forgetting[group] = (running, task)
        else:
            task = waiting
        # One that no longer waits must not end it for the others.
        await asyncio.shield(task)

    async def claim(self, name: str, holder: str, *, ttl: float) -> bool:
        """Take a lease that nobody holds; whether `holder` has it now."""
        return (await self._either(lambda cache: cache.claim(name, holder, ttl=ttl)))[0]

    async def renew(self, name: str, holder: str, *, ttl: float) -> bool:
        """Hold a lease for longer; False where it is not `holder`'s any more."""
        return (await self._either(lambda cache: cache.renew(name, holder, ttl=ttl)))[0]

    async def release(self, name: str, holder: str) -> bool:
        """Give a lease back, if it still is `holder`'s."""
        return (await self._either(lambda cache: cache.release(name, holder)))[0]

    async def count(self, name: str, by: int = 1, *, ttl: float) -> int:
        """Add to a counter and tell its sum; `ttl` after its first addition it begins anew."""
        return (await self._either(lambda cache: cache.count(name, by, ttl=ttl)))[0]

    async def ping(self) -> None:
        """Ask whether the shared one answers.

        Raises:
            StorageUnavailable: it does not, and this process caches for itself.
        """
        try:
            await self._shared.ping()
        except StorageUnavailable as error:
            self._lost(error)
            raise
        if self._away:
            await self._return()

    async def __aenter__(self) -> Self:
        """Open both."""
        await self._shared.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish what is being forgotten, and close both."""
        tasks = [task for pair in self._forgetting.values() for task in pair if task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._own.__aexit__(kind, error, trace)
        await self._shared.__aexit__(kind, error, trace)

    async def _either(self, ask: Callable[[Cache], Awaitable[T]]) -> tuple[T, str]:
        """Ask the shared one, or while it is away this process's; and which it was."""
        if await self._there():
            try:
                return await ask(self._shared), "shared"
            except StorageUnavailable as error:
                self._lost(error)
        return await ask(self._own), "own"

    async def _there(self) -> bool:
        """Tell whether to ask the shared one; now and then, look whether it is back."""
        if not self._away:
            return True
        if self._clock() < self._ask_at:
            return False
        self._ask_at = self._clock() + self._pause
        return await self._return()

    async def _return(self) -> bool:
        """Forget there what was forgotten here meanwhile, and go on with it; whether it is back."""
        group = None
        try:
            await self._shared.ping()
            while self._owed:
                group, _ = self._owed.popitem(last=False)
                await self._shared.forget(group)
        except StorageUnavailable:
            if group is not None:
                self._owed[group] = None
            return False
        if self._away:
            self._away = False
            _logger.warning("the shared cache answers again")
        return True

    def _lost(self, error: StorageUnavailable) -> None:
        self._ask_at = self._clock() + self._pause
        if not self._away:
            self._away = True
            _logger.warning("%s; this process caches for itself until it is back", error)

    async def _forget(self, group: str) -> None:
        if await self._there():
            try:
                await self._shared.forget(group)
            except StorageUnavailable as error:
                self._lost(error)
            else:
                return
        self._owed[group] = None
        self._owed.move_to_end(group)
        if len(self._owed) > _REMEMBERED:
            self._owed.popitem(last=False)

    async def _after(self, running: asyncio.Task[None], group: str) -> None:
        await asyncio.wait({running})
        await self._forget(group)

    def _forgotten(self, group: str) -> None:
        """Let the one that waits be the one that runs."""
        _, waiting = self._forgetting.pop(group)
        if waiting is not None and not waiting.done():
            self._forgetting[group] = (waiting, None)
            waiting.add_done_callback(lambda _: self._forgotten(group))
