"""What a search finds and in which order: the first page's work.

What is compared and counted is in the tenant's catalogue, in memory; words are found by the
database, neighbours by the graph.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from nexus_gateway.studio.intelligence.embedding.models import EmbeddingUnavailable, text_of
from nexus_gateway.studio.intelligence.errors import NotFound
from nexus_gateway.studio.intelligence.search import scoring
from nexus_gateway.studio.intelligence.search.analyser import key, phrases
from nexus_gateway.studio.intelligence.search.fusion import EXACT_MAX, Ranked, around, fuse
from nexus_gateway.studio.intelligence.search.models import Facets
from nexus_gateway.studio.intelligence.search.neighbourhood import ask
from nexus_gateway.studio.intelligence.search.recommend import weigh
from nexus_gateway.studio.intelligence.search.scoring import Asked
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
SCORED = 200
"""Matches that are scored; of more, the shortest names that match, and the shortest others."""
FACETS = 20
"""Values of a facet that are told."""
TIE = 0.5
"""The share of its rare tags' weight that ties an entity to the best."""
TYPOS_CHECKED_BELOW = 10
"""Matches of the words from which on no others are looked for, with typos in them."""
SWAPS_MAX = 24
"""Variants of a query that are looked up where nothing else was found."""
CHECKED_COSINE_MIN = 0.12
"""The cosine from which on words of near vectors are compared letter by letter."""
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
        asked = _asked(search)
        vector, own = await self._vector(tenant, search, catalogue, degraded)
        matching = await self._matching(tenant, search)
        words, near = await asyncio.to_thread(
            _matched, catalogue, search, matching, vector, self._floor(search)
        )
        if vector is not None and not catalogue.holds_vectors:
            near = await self._nearest(tenant, search, vector, degraded)
        near = [number for number in near if number != own][:DEPTH]
        if search.like is None:
            near = await self._similar(tenant, asked, words, near)
        if search.mode == "hybrid" and search.q and not near and not matching:
            near = await self._swapped(tenant, search, asked, catalogue)
        exact = await self._exact(tenant, search, asked, catalogue)
        best = await self._by_words(tenant, asked, words, catalogue)
        linked: list[int] = []
        if search.mode == "hybrid" and (best or near or exact):
            seeds = [one.number for one in fuse(best, near, exact=exact)[:SEEDS]]
            linked = await self._around(tenant, search, catalogue, seeds, degraded)
        fused = tuple(one for one in fuse(best, near, linked, exact=exact) if one.number != own)
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

    def _floor(self, search: Search) -> float:
        """Give the least cosine that counts; less does where typos are checked afterwards."""
        checked = search.like is None and self._embedder.lexical
        return CHECKED_COSINE_MIN if checked else self._embedder.floor

    async def _nearest(
        self, tenant: str, search: Search, vector: bytes, degraded: list[str]
    ) -> list[int]:
        """Let storage compare vectors that are too many for memory, where it can."""
        model, floor = self._embedder.model, self._floor(search)
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
        return await self._store.matching(tenant, phrases(search.q)) if search.q else None

    async def _similar(
        self, tenant: str, asked: Asked, words: Numbers, near: list[int]
    ) -> list[int]:
        """Leave of the nearest what has the words, or words that differ by typos.

        Vectors made of letters are near by chance, too: what nothing matches would find something.
        """
        if not self._embedder.lexical or not near:
            return near
        matched = set(_among(near, words))
        few = len(words) < TYPOS_CHECKED_BELOW
        others = [number for number in near if few and number not in matched]
        loaded = await self._store.numbered(tenant, others) if others else []

        def compared() -> set[int]:
            return {number for number, one in loaded if scoring.similar(asked.phrases, one)}

        alike = await asyncio.to_thread(compared)
        return [number for number in near if number in matched or number in alike]

    async def _swapped(
        self, tenant: str, search: Search, asked: Asked, catalogue: Catalogue
    ) -> list[int]:
        """Find what a query means in which two neighbouring letters are swapped.

        Such a word shares few runs of letters with the right one, so vectors do not find it. It
        runs only where nothing else was found.
        """
        found: list[int] = []
        for variant in islice(scoring.swapped(asked.phrases), SWAPS_MAX):
            matching = await self._store.matching(tenant, variant)
            if matching:
                words = await asyncio.to_thread(_words, catalogue, search, matching)
                right = msgspec.structs.replace(asked, phrases=variant)
                found += await self._by_words(tenant, right, words, catalogue)
        return list(dict.fromkeys(found))[:DEPTH]

    async def _exact(
        self, tenant: str, search: Search, asked: Asked, catalogue: Catalogue
    ) -> list[int]:
        """Find what is called just what was asked for, the most literal first."""
        if not asked.text:
            return []
        found = await self._store.exact(tenant, asked.key, EXACT_MAX)
        # Until an older index is rebuilt, it has no keys: an id is found without one.
        found += (await self._store.numbers_of(tenant, [asked.text])).values()
        with catalogue.lock:
            within = catalogue.numbers(_narrowed(catalogue, search, sorted(set(found)))).tolist()
        loaded = await self._store.numbered(tenant, within) if within else []
        order = sorted((-scoring.exactness(asked, one), -number) for number, one in loaded)
        return [-number for exactness, number in order if exactness][:EXACT_MAX]

    async def _by_words(
        self, tenant: str, asked: Asked, words: Numbers, catalogue: Catalogue
    ) -> list[int]:
        """Rank what has the words."""
        if not asked.phrases or not len(words):
            return []
        candidates: list[int] = words.tolist() if len(words) <= SCORED else []
        if not candidates:
            named = await self._store.matching(tenant, asked.phrases, named=True)
            candidates = await asyncio.to_thread(_chosen, catalogue, words, named)
        loaded = await self._store.numbered(tenant, candidates)
        return await asyncio.to_thread(scoring.best, asked, loaded, DEPTH)

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


def _asked(search: Search) -> Asked:
    # What no storage takes in a text is in no name: neither NUL nor half a surrogate pair.
    text = search.q.strip().replace("\0", " ").encode("utf-8", "replace").decode()
    return Asked(text, key(text), tuple(phrases(search.q)))


def _chosen(catalogue: Catalogue, words: Numbers, named: list[int]) -> list[int]:
    """Choose from very many matches: most have short names that match, the others are short."""
    within = np.array(_among(named, words), np.int64)
    with catalogue.lock:
        places = catalogue.places(within)
        first = catalogue.shortest(places, SCORED * 3 // 4, titles=True)
        others = catalogue.places(np.setdiff1d(words, first, assume_unique=True))
        rest = catalogue.shortest(others, SCORED - len(first), titles=False)
    chosen: list[int] = [*first.tolist(), *rest.tolist()]
    return chosen


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
