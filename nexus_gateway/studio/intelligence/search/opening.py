"""Search, opened at its first use: its arrays take numpy, which many a gateway never needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_gateway.studio.intelligence.search.neighbourhood import NONE

if TYPE_CHECKING:
    from nexus_gateway.studio.intelligence.embedding.models import Embedder
    from nexus_gateway.studio.intelligence.search.neighbourhood import Neighbourhood
    from nexus_gateway.studio.intelligence.search.recommend import Recommender
    from nexus_gateway.studio.intelligence.search.service import Searches
    from nexus_gateway.studio.intelligence.search.store import SearchStore

MEMORY = 256 << 20
"""Bytes that what is held in memory may take."""


class Opening:
    """Gives the services of search.

    Args:
        store: where entities are found.
        embedder: makes vectors.
        neighbourhood: tells what is around entities in the graph.
        memory: bytes that what is held in memory may take.
    """

    def __init__(
        self,
        store: SearchStore,
        embedder: Embedder,
        neighbourhood: Neighbourhood = NONE,
        *,
        memory: int = MEMORY,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._neighbourhood = neighbourhood
        self._memory = memory
        self._searches: Searches | None = None

    def searches(self) -> Searches:
        """Give the service that searches."""
        if self._searches is None:
            from nexus_gateway.studio.intelligence.search.catalogues import Catalogues
            from nexus_gateway.studio.intelligence.search.service import Searches

            catalogues = Catalogues(self._store, self._embedder.model, self._memory)
            self._searches = Searches(self._store, catalogues, self._embedder, self._neighbourhood)
        return self._searches

    def recommender(self) -> Recommender:
        """Give the service that recommends."""
        from nexus_gateway.studio.intelligence.search.recommend import Recommender

        return Recommender(self.searches())

    async def refresh(self, tenants: set[str]) -> None:
        """Catch up what searches of tenants have in memory, if there were any."""
        if self._searches is not None:
            await self._searches.catalogues.refresh(tenants)
