"""What a search finds and in which order: the first page's work.

What is compared and counted is in the tenant's catalogue, in memory; words are found by the
database, neighbours by the graph.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nexus_gateway.studio.intelligence.embedding.models import EmbeddingUnavailable, text_of
from nexus_gateway.studio.intelligence.errors import NotFound
from nexus_gateway.studio.intelligence.search.fusion import Ranked, around, fuse
from nexus_gateway.studio.intelligence.search.models import Facets
from nexus_gateway.studio.intelligence.search.neighbourhood import ask
from nexus_gateway.studio.intelligence.search.recommend import weigh
from nexus_gateway.studio.intelligence.search.store import Comparison

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nexus_gateway.studio.intelligence.embedding.models import Embedder
    from nexus_gateway.studio.intelligence.models import Entity
    from nexus_gateway.studio.intelligence.search.catalogue import Catalogue, Numbers, Places
    from nexus_gateway.studio.intelligence.search.models import Search
    from nexus_gateway.studio.intelligence.search.neighbourhood import Neighbourhood
    from nexus_gateway.studio.intelligence.search.store import SearchStore

DEPTH = 100
"""Entities of each list that are ranked."""
PATIENCE = 2.0
"""Seconds that a search waits for its vector."""
AROUND = 20
"""Entities that the graph adds at most."""
SEEDS = 10
"""The best, around which the graph is asked."""
SCORED = 5_000
"""Matches whose words are scored; of more, those named by them and the youngest."""
NAMED = 1000
"""Of those named by them, the best that may be narrowed."""
EXACT = 20
FACETS = 20
"""Values of a facet that are told."""
TIE = 0.5
"""The share of its rare tags' weight that ties an entity to the best."""
COMMON = 0.1
"""The share of all entities from which on a tag that they have ties nothing."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """What a first page found.

    best: in their order.
    words: the numbers of all that has the words, ascending.
    """

    best: tuple[Ranked, ...]
    words: Numbers
    total: int
    facets: Facets
    degraded: tuple[str, ...]


class Ranker:
    """Ranks what searches of every tenant find."""

    def __init__(
        self, store: SearchStore, embedder: Embedder, neighbourhood: Neighbourhood
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._neighbourhood = neighbourhood

    async def rank(self, tenant: str, search: Search, catalogue: Catalogue) -> Ranking:
        """Find all that matches, and the order of the best."""
        degraded: list[str] = []
        vector, own = await self._vector(tenant, search, catalogue, degraded)
        matching = await self._matching(tenant, search)
        words, near = await asyncio.to_thread(
            _matched, catalogue, search, matching, vector, self._embedder.floor
        )
        if vector is not None and not catalogue.holds_vectors:
            near = await self._nearest(tenant, search, vector, degraded)
        near = [number for number in near if number != own][:DEPTH]
        whole = matching is not None and len(words) == len(matching)
        best = await self._by_words(tenant, search, words, whole=whole)
        linked: list[int] = []
        if search.mode == "hybrid" and (best or near):
            seeds = [one.number for one in fuse(best, near)[:SEEDS]]
            linked = await self._around(tenant, search, catalogue, seeds, degraded)
        fused = tuple(one for one in fuse(best, near, linked) if one.number != own)
        total, facets = await asyncio.to_thread(_counted, catalogue, words, fused)
        return Ranking(fused, words, total, facets, tuple(degraded))

    async def words(self, tenant: str, search: Search, catalogue: Catalogue) -> Numbers:
        """Find again what has the words, ascending by number."""
        matching = await self._matching(tenant, search)
        return await asyncio.to_thread(_words, catalogue, search, matching)

    async def _vector(
        self, tenant: str, search: Search, catalogue: Catalogue, degraded: list[str]
    ) -> tuple[bytes | None, int | None]:
        """Give the vector that others are compared to, and the number of the entity it is of."""
        if search.mode == "text" or not (search.q or search.like):
            return None, None
        text, own = search.q, None
        if search.like is not None:
            own, entity = await self._liked(tenant, search.like)
            with catalogue.lock:
                vector = catalogue.vector(own)
            if vector is not None:
                return vector, own
            text = text_of(entity)
        try:
            async with asyncio.timeout(PATIENCE):
                return (await self._embedder.embed([text]))[0], own
        except (EmbeddingUnavailable, TimeoutError):
            degraded.append("vector")
            return None, own

    async def _nearest(
        self, tenant: str, search: Search, vector: bytes, degraded: list[str]
    ) -> list[int]:
        """Let storage compare vectors that are too many for memory, where it can."""
        model, floor = self._embedder.model, self._embedder.floor
        tags = tuple(search.tag)
        asked = Comparison(vector, model, search.type, tags, DEPTH + 1, floor)
        found = await self._store.nearest(tenant, asked)
        if found is None:
            degraded.append("vector")
        return [number for number, _ in found or ()]

    async def _liked(self, tenant: str, entity_id: str) -> tuple[int, Entity]:
        numbers = await self._store.numbers_of(tenant, [entity_id])
        loaded = await self._store.numbered(tenant, list(numbers.values()))
        if not loaded:
            raise NotFound(f"there is no entity {entity_id!r} to be like")
        return loaded[0]

    async def _matching(self, tenant: str, search: Search) -> list[int] | None:
        """Find what has the words; None where all do, since no words are asked for."""
        if search.mode == "vector" or (search.like is not None and not search.q):
            return []
        return await self._store.matching(tenant, search.q) if search.q else None

    async def _by_words(
        self, tenant: str, search: Search, words: Numbers, *, whole: bool
    ) -> list[int]:
        """Rank what has the words; whose name or id they are comes first.

        whole: nothing that has the words was left out.
        """
        text = search.q.strip()
        if not text or not len(words):
            return []
        if len(words) > SCORED:
            order = await self._named(tenant, text, words)
        else:
            chosen = None if whole else words.tolist()
            order = await self._store.best(tenant, text, chosen, DEPTH)
        exact = await self._store.exact(tenant, text, EXACT)
        within = set(_among(exact, words))
        ranked = [one for one in exact if one in within]
        return list(dict.fromkeys([*ranked, *order]))[:DEPTH]

    async def _named(self, tenant: str, text: str, words: Numbers) -> list[int]:
        """Rank very many matches: those that the words name, and the youngest."""
        named = await self._store.best_named(tenant, text, NAMED)
        within = set(_among(named, words))
        youngest: list[int] = words[-DEPTH:][::-1].tolist()
        return [*(one for one in named if one in within), *youngest]

    async def _around(
        self,
        tenant: str,
        search: Search,
        catalogue: Catalogue,
        seeds: list[int],
        degraded: list[str],
    ) -> list[int]:
        """Rank what is near the best in the graph, or shares most of their tags."""
        loaded = dict(await self._store.numbered(tenant, seeds))
        ids = {entity.entity_id: number for number, entity in loaded.items()}
        links = await ask(self._neighbourhood, tenant, list(ids), degraded)
        others = {end for link in links for end in (link.source, link.target)} - set(ids)
        ids |= await self._store.numbers_of(tenant, sorted(others))
        pairs = [
            (ids[link.source], ids[link.target])
            for link in links
            if link.source in ids and link.target in ids
        ]

        def ranked() -> list[int]:
            with catalogue.lock:
                everything = catalogue.everything()
                count = len(everything)
                totals = catalogue.tag_totals(seeds[0]).items()
                rare = {tag: total for tag, total in totals if total <= max(2, count * COMMON)}
                weights = weigh(rare, count)
                places = catalogue.narrowed(everything, search.type, search.tag)
                ties = catalogue.sharing(weights, seeds[0], places, AROUND) if weights else []
                strong = {one: tie for one, tie in ties if tie >= TIE}
                # The best shares most with itself: nothing that is like it passes it by that.
                near = around(seeds, pairs, {seeds[0]: 2.0, **strong} if strong else {})
                within = set(catalogue.numbers(_narrowed(catalogue, search, near)).tolist())
            return [number for number in near if number in within][:AROUND]

        return await asyncio.to_thread(ranked)


def _matched(
    catalogue: Catalogue,
    search: Search,
    matching: list[int] | None,
    vector: bytes | None,
    floor: float,
) -> tuple[Numbers, list[int]]:
    """Narrow what has the words, and find the nearest vectors."""
    with catalogue.lock:
        words = catalogue.numbers(_narrowed(catalogue, search, matching))
        near: list[tuple[int, float]] = []
        if vector is not None:
            places = _narrowed(catalogue, search, None)
            near = catalogue.nearest(vector, places, DEPTH + 1, floor)
        return words, [number for number, _ in near]


def _words(catalogue: Catalogue, search: Search, matching: list[int] | None) -> Numbers:
    with catalogue.lock:
        return catalogue.numbers(_narrowed(catalogue, search, matching))


def _narrowed(catalogue: Catalogue, search: Search, numbers: Iterable[int] | None) -> Places:
    places = catalogue.everything() if numbers is None else catalogue.places(numbers)
    return catalogue.narrowed(places, search.type, search.tag)


def _among(numbers: list[int], words: Numbers) -> list[int]:
    """Tell which numbers are among those that have the words, ascending."""
    wanted = np.unique(np.array(numbers, np.int64))
    at = words.searchsorted(wanted)
    at[at == len(words)] = 0
    among: list[int] = wanted[words[at] == wanted].tolist() if len(words) else []
    return among


def _counted(catalogue: Catalogue, words: Numbers, best: Sequence[Ranked]) -> tuple[int, Facets]:
    """Count all that is found."""
    with catalogue.lock:
        others = catalogue.places(one.number for one in best)
        places = catalogue.union(catalogue.places(words), others)
        facets = Facets(
            catalogue.kinds(places, FACETS), catalogue.tags(places, FACETS), complete=True
        )
        return len(places), facets
