"""The catalogues of tenants: loaded at a first search, kept up with changes, bounded in memory."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

from nexus_gateway.studio.intelligence.search.catalogue import Catalogue

if TYPE_CHECKING:
    from nexus_gateway.studio.intelligence.search.store import SearchStore, Seen

PART = 10_000
"""Changes that are read at once."""
INLINE = 64
"""Changes that are taken over on the loop; more on a thread."""


class Catalogues:
    """Holds what search knows of each tenant that was asked for lately.

    Args:
        store: where changes are told.
        model: whose vectors count.
        memory: bytes that all together may take. The tenants that were not asked for longest make
            room; vectors of a tenant that is too large by itself are not held.
    """

    def __init__(self, store: SearchStore, model: str, memory: int) -> None:
        self._store = store
        self._model = model
        self._memory = memory
        self._held: OrderedDict[str, tuple[Catalogue, asyncio.Lock]] = OrderedDict()

    async def fresh(self, tenant: str) -> Catalogue:
        """Give a tenant's catalogue with all that was committed before the call.

        Raises:
            StorageUnavailable: changes cannot be asked for.
        """
        if tenant not in self._held:
            self._held[tenant] = Catalogue(room=self._has_room), asyncio.Lock()
        self._held.move_to_end(tenant)
        catalogue, turn = self._held[tenant]
        # Whoever waits asks again, for what was committed meanwhile.
        async with turn:
            await self._catch_up(tenant, catalogue)
        return catalogue

    async def refresh(self, tenants: set[str]) -> None:
        """Catch up catalogues that are held, so that searches need not."""
        for tenant in tenants:
            if tenant in self._held:
                catalogue, turn = self._held[tenant]
                async with turn:
                    await self._catch_up(tenant, catalogue)

    async def _catch_up(self, tenant: str, catalogue: Catalogue) -> None:
        complete = False
        while not complete:
            changes = await self._store.changes(tenant, catalogue.mark, self._model, PART)
            if len(changes.seen) <= INLINE:
                _take_over(catalogue, changes.seen)
            else:
                await asyncio.to_thread(_take_over, catalogue, changes.seen)
                self._shrink(tenant)
            catalogue.mark = changes.mark
            complete = changes.complete

    def _shrink(self, asked: str) -> None:
        """Let go of the tenants that were not asked for longest."""
        total = sum(catalogue.size for catalogue, _ in self._held.values())
        while total > self._memory and next(iter(self._held)) != asked:
            _, (catalogue, _) = self._held.popitem(last=False)
            total -= catalogue.size

    def _has_room(self, vectors: int) -> bool:
        return vectors <= self._memory


def _take_over(catalogue: Catalogue, seen: list[Seen]) -> None:
    with catalogue.lock:
        catalogue.apply(seen)
