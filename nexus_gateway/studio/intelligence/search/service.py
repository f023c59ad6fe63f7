"""Hybrid search: words, vectors and the graph around the best, fused into one order.

A first page finds all that matches, counts it, and fixes the order of the best; the others read the
order out of the cursor. What is compared and counted is in the tenant's catalogue, in memory; words
are found by the database, and so are the entities that are answered.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from nexus_gateway.studio.intelligence.embedding.models import EmbeddingUnavailable, text_of
from nexus_gateway.studio.intelligence.errors import BadQuery, NotFound
from nexus_gateway.studio.intelligence.search import window as windows
from nexus_gateway.studio.intelligence.search.fusion import Ranked, around, fuse
from nexus_gateway.studio.intelligence.search.models import Facets, Found, Hit
from nexus_gateway.studio.intelligence.search.neighbourhood import NONE, ask
from nexus_gateway.studio.intelligence.search.recommend import weigh
from nexus_gateway.studio.intelligence.search.store import Comparison
from nexus_gateway.studio.intelligence.search.window import BadWindow, Window

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from nexus_gateway.studio.intelligence.embedding.models import Embedder
    from nexus_gateway.studio.intelligence.models import Entity
    from nexus_gateway.studio.intelligence.search.catalogue import Catalogue, Numbers, Places
    from nexus_gateway.studio.intelligence.search.catalogues import Catalogues
    from nexus_gateway.studio.intelligence.search.models import Search
    from nexus_gateway.studio.intelligence.search.neighbourhood import Neighbourhood
    from nexus_gateway.studio.intelligence.search.store import SearchStore

TAGS = 16
"""Tags that one search may ask for."""
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
class _Ranking:
    """What a first page found.

    best: in their order.
    words: the numbers of all that has the words, ascending.
    """

    best: tuple[Ranked, ...]
    words: Numbers
    total: int
    facets: Facets
    degraded: tuple[str, ...]


class Searches:
    """Searches of every tenant."""

    def __init__(
        self,
        store: SearchStore,
        catalogues: Catalogues,
        embedder: Embedder,
        neighbourhood: Neighbourhood = NONE,
    ) -> None:
        self.store = store
        self.catalogues = catalogues
        self.embedder = embedder
        self.neighbourhood = neighbourhood

    async def search(self, tenant: str, search: Search) -> Found:
        """Find entities, the best first.

        What is made while someone turns the pages does not appear on later ones.

        Raises:
            BadQuery: a field cannot be answered, or the cursor was not given out for this search.
            NotFound: there is no entity to be like.
        """
        check(search)
        asked = ("search", tenant, search.q, search.like, search.mode, search.type, search.tag)
        catalogue = await self.catalogues.fresh(tenant)
        ranking: _Ranking | None = None
        if search.cursor is None:
            ranking = await self._rank(tenant, search, catalogue)
            # Numbers grow: what is made from now on is beyond the last.
            before = int(ranking.words[-1]) + 1 if len(ranking.words) else 0
            window = Window(ranking.best, 0, before, ranking.total)
        else:
            window = _read(search.cursor, asked)
        hits, following = await self._page(tenant, search, catalogue, window, ranking)
        return Found(
            items=tuple(hits),
            total=window.total,
            facets=None if ranking is None else ranking.facets,
            next_cursor=None if following is None else windows.write(following, asked),
            pending=catalogue.pending,
            degraded=() if ranking is None else ranking.degraded,
        )

    async def pages(self, tenant: str, search: Search) -> AsyncGenerator[tuple[Hit, ...], None]:
        """Find entities a page at a time, to the last.

        Raises:
            BadQuery: as with `search`.
            NotFound: as with `search`.
        """
        following: str | None = search.cursor
        while True:
            found = await self.search(tenant, msgspec.structs.replace(search, cursor=following))
            yield found.items
            following = found.next_cursor
            if following is None:
                return

    # --- pages ---

    async def _page(
        self,
        tenant: str,
        search: Search,
        catalogue: Catalogue,
        window: Window,
        ranking: _Ranking | None,
    ) -> tuple[list[Hit], Window | None]:
        """Load a page from a place on, and tell the next place; gone entities are passed over."""
        hits: list[Hit] = []
        while len(hits) < search.limit and window.told < len(window.best):
            part = window.best[window.told : window.told + search.limit - len(hits)]
            window = msgspec.structs.replace(window, told=window.told + len(part))
            hits += await self._load(tenant, search, part)
        if window.told < len(window.best):
            return hits, window
        if ranking is None:
            matching = await self._matching(tenant, search)
            words = await asyncio.to_thread(_words, catalogue, search, matching)
        else:
            words = ranking.words
        rest = _rest(words, window)
        while len(hits) < search.limit and len(rest):
            part = tuple(Ranked(one) for one in rest[: search.limit - len(hits)].tolist())
            rest = rest[len(part) :]
            window = msgspec.structs.replace(window, before=part[-1].number)
            hits += await self._load(tenant, search, part)
        return hits, window if len(rest) else None

    async def _load(self, tenant: str, search: Search, ranked: Sequence[Ranked]) -> list[Hit]:
        by_number = {one.number: one for one in ranked}
        loaded = await self.store.numbered(tenant, list(by_number))
        return [
            _hit(entity, by_number[number]) for number, entity in loaded if _fits(entity, search)
        ]

    # --- ranks ---

    async def _rank(self, tenant: str, search: Search, catalogue: Catalogue) -> _Ranking:
        """Find all that matches, and the order of the best."""
        degraded: list[str] = []
        vector, own = await self._vector(tenant, search, catalogue, degraded)
        matching = await self._matching(tenant, search)
        words, near = await asyncio.to_thread(
            _matched, catalogue, search, matching, vector, self.embedder.floor
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
        return _Ranking(fused, words, total, facets, tuple(degraded))

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
                return (await self.embedder.embed([text]))[0], own
        except (EmbeddingUnavailable, TimeoutError):
            degraded.append("vector")
            return None, own

    async def _nearest(
        self, tenant: str, search: Search, vector: bytes, degraded: list[str]
    ) -> list[int]:
        """Let storage compare vectors that are too many for memory, where it can."""
        model, floor = self.embedder.model, self.embedder.floor
        tags = tuple(search.tag)
        asked = Comparison(vector, model, search.type, tags, DEPTH + 1, floor)
        found = await self.store.nearest(tenant, asked)
        if found is None:
            degraded.append("vector")
        return [number for number, _ in found or ()]

    async def _liked(self, tenant: str, entity_id: str) -> tuple[int, Entity]:
        numbers = await self.store.numbers_of(tenant, [entity_id])
        loaded = await self.store.numbered(tenant, list(numbers.values()))
        if not loaded:
            raise NotFound(f"there is no entity {entity_id!r} to be like")
        return loaded[0]

    async def _matching(self, tenant: str, search: Search) -> list[int] | None:
        """Find what has the words; None where all do, since no words are asked for."""
        if search.mode == "vector" or (search.like is not None and not search.q):
            return []
        return await self.store.matching(tenant, search.q) if search.q else None

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
            order = await self.store.best(tenant, text, chosen, DEPTH)
        exact = await self.store.exact(tenant, text, EXACT)
        within = set(_among(exact, words))
        ranked = [one for one in exact if one in within]
        return list(dict.fromkeys([*ranked, *order]))[:DEPTH]

    async def _named(self, tenant: str, text: str, words: Numbers) -> list[int]:
        """Rank very many matches: those that the words name, and the youngest."""
        named = await self.store.best_named(tenant, text, NAMED)
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
        loaded = dict(await self.store.numbered(tenant, seeds))
        ids = {entity.entity_id: number for number, entity in loaded.items()}
        links = await ask(self.neighbourhood, tenant, list(ids), degraded)
        others = {end for link in links for end in (link.source, link.target)} - set(ids)
        ids |= await self.store.numbers_of(tenant, sorted(others))
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


def check(search: Search) -> None:
    """Refuse what cannot be answered.

    Raises:
        BadQuery: it says which field.
    """
    if len(search.tag) > TAGS:
        raise BadQuery("tag", f"at most {TAGS} tags can be searched for at once")
    if search.mode == "vector" and not search.q and search.like is None:
        raise BadQuery("mode", "mode=vector needs q or like, to compare to")
    if search.mode == "text" and search.like is not None:
        raise BadQuery("like", "like compares vectors, which mode=text does not")


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


def _rest(words: Numbers, window: Window) -> Numbers:
    """Tell what has the words beside the best, the youngest first, from a place on."""
    earlier = words[: int(words.searchsorted(window.before))]
    told = {one.number for one in window.best}
    return earlier[~np.isin(earlier, np.fromiter(told, np.int64))][::-1]


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


def _read(cursor: str, asked: object) -> Window:
    try:
        return windows.read(cursor, asked)
    except BadWindow as exc:
        raise BadQuery("cursor", str(exc)) from exc


def _fits(entity: Entity, search: Search) -> bool:
    """Tell whether an entity still is of the type and has the tags."""
    kind = search.type is None or entity.entity_type == search.type
    return kind and set(search.tag) <= set(entity.tags)


def _hit(entity: Entity, ranked: Ranked) -> Hit:
    fields = {name: getattr(entity, name) for name in entity.__struct_fields__}
    score = ranked.score() or None
    return Hit(**fields, score=score, parts=ranked.parts(), ranks=ranked.ranks())
