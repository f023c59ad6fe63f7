"""Makes the vectors that are not made yet, beside what the gateway serves.

Before that it rebuilds the index of terms where an older version of the analyser made it.

What is to be made stands in the database, written with the entities, so that nothing is forgotten
when a process ends. Several gateways may index one database: each vector is kept once, for the
state of the entity that it was made of. Writers come first: while entities come in, it waits a
little, and then takes turns.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Self

from nexus_gateway.studio.intelligence.embedding.models import EmbeddingUnavailable, text_of
from nexus_gateway.studio.intelligence.search import analyser
from nexus_gateway.studio.storage import tasks
from nexus_gateway.studio.storage.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from nexus_gateway.studio.intelligence.embedding.models import Embedder
    from nexus_gateway.studio.intelligence.search.store import SearchStore

_logger = logging.getLogger(__name__)

QUIET = 0.2
"""Seconds without a change after which it begins."""
LONGEST = 10.0
"""Seconds after which it begins though changes go on."""
FORGOTTEN = 5_000
"""Vectors of another model that are given up at once."""
REINDEXED = 500
"""Entities whose terms are made again in one transaction."""
_FIRST_DELAY, _LAST_DELAY = 1.0, 60.0


class Indexer:
    """Makes vectors for as long as it is open (`async with`).

    Args:
        store: where what is to be made stands.
        embedder: makes vectors.
        refresh: lets searches of these tenants see what was made.
        poll: seconds between two looks for what other processes wrote.
    """

    def __init__(
        self,
        store: SearchStore,
        embedder: Embedder,
        refresh: Callable[[set[str]], Awaitable[None]],
        *,
        poll: float = 10.0,
        quiet: float = QUIET,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._refresh = refresh
        self._poll = poll
        self._quiet = quiet
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._remaining = 0

    async def changed(self, _tenant: str) -> None:
        """Hear that entities were changed."""
        self._woken.set()

    async def __aenter__(self) -> Self:
        """Begin; what an earlier process left is made first."""
        self._task = asyncio.create_task(self._run(), name="indexer")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop; what is not made is made by the next process."""
        await tasks.cancel([self._task])

    async def _run(self) -> None:
        delay = _FIRST_DELAY
        begun = False
        while True:
            try:
                if not begun:
                    await self.reindex()
                    await self.forget()
                    begun = True
                await self.work()
            except (StorageUnavailable, EmbeddingUnavailable) as error:
                _logger.warning("vectors are made later: %s", error)
            except Exception:
                # Whatever it is, searches by words go on, and the next attempt may succeed.
                _logger.exception("vectors are made later")
            else:
                delay = _FIRST_DELAY
                await self._wait()
                continue
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LAST_DELAY)

    async def _wait(self) -> None:
        """Wait for a change, and then until no more come."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), self._poll)
        loop = asyncio.get_running_loop()
        until = loop.time() + LONGEST
        while self._woken.is_set() and loop.time() < until:
            self._woken.clear()
            await asyncio.sleep(self._quiet)

    async def reindex(self) -> None:
        """Rebuild the terms that an older analyser made; they are searched meanwhile."""
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            self._remaining = await self._store.reindex(analyser.VERSION, REINDEXED)
            if not self._remaining:
                return
            # Others write meanwhile: they get as much time as this took.
            await asyncio.sleep(loop.time() - begun)

    async def progress(self) -> dict[str, object] | None:
        """Tell how many entities are still to be analysed again, where there are any."""
        return {"reindexing": self._remaining} if self._remaining else None

    async def forget(self) -> None:
        """Give up the vectors that another model made."""
        while await self._store.forget_others(self._embedder.model, FORGOTTEN) == FORGOTTEN:
            pass

    async def work(self) -> None:
        """Make all vectors that are to be made now."""
        self._woken.clear()
        loop = asyncio.get_running_loop()
        after = 0
        while pending := await self._store.pending(after, self._embedder.batch):
            begun = loop.time()
            vectors = await self._embedder.embed([text_of(one.entity) for one in pending])
            await self._store.keep(self._embedder.model, list(zip(pending, vectors, strict=True)))
            await self._refresh({one.tenant for one in pending})
            after = pending[-1].number
            if self._woken.is_set():
                # Others write: they get as much time as this took. What they changed is looked for
                # again afterwards.
                await asyncio.sleep(loop.time() - begun)
