"""Hybrid search: words, vectors and the graph around the best, fused into one order.

A first page finds all that matches, counts it, and fixes the order of the best (`ranking`); the
others read the order out of the cursor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from nexus_gateway.studio.intelligence.errors import BadQuery
from nexus_gateway.studio.intelligence.search import window as windows
from nexus_gateway.studio.intelligence.search.fusion import Ranked
from nexus_gateway.studio.intelligence.search.models import Found, Hit
from nexus_gateway.studio.intelligence.search.neighbourhood import NONE
from nexus_gateway.studio.intelligence.search.ranking import Ranker
from nexus_gateway.studio.intelligence.search.window import BadWindow, Window

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from nexus_gateway.studio.intelligence.embedding.models import Embedder
    from nexus_gateway.studio.intelligence.models import Entity
    from nexus_gateway.studio.intelligence.search.catalogue import Catalogue, Numbers
    from nexus_gateway.studio.intelligence.search.catalogues import Catalogues
    from nexus_gateway.studio.intelligence.search.models import Search
    from nexus_gateway.studio.intelligence.search.neighbourhood import Neighbourhood
    from nexus_gateway.studio.intelligence.search.ranking import Ranking
    from nexus_gateway.studio.intelligence.search.store import SearchStore

TAGS = 16
"""Tags that one search may ask for."""


@dataclass(slots=True)
class _Turn:
    """Someone who turns the pages of a search.

    window: where they are.
    ranking: what the first page found; None behind it.
    rest: what follows the best, once that is known.
    """

    catalogue: Catalogue
    window: Window
    ranking: Ranking | None = None
    rest: Numbers | None = None
    more: bool = True


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
        self._ranker = Ranker(store, embedder, neighbourhood)

    async def search(self, tenant: str, search: Search) -> Found:
        """Find entities, the best first.

        What is made while someone turns the pages does not appear on later ones.

        Raises:
            BadQuery: a field cannot be answered, or the cursor was not given out for this search.
            NotFound: there is no entity to be like.
        """
        turn = await self._begin(tenant, search)
        hits = await self._page(tenant, search, turn)
        ranking = turn.ranking
        return Found(
            items=tuple(hits),
            total=turn.window.total,
            facets=None if ranking is None else ranking.facets,
            next_cursor=windows.write(turn.window, _asked(tenant, search)) if turn.more else None,
            pending=turn.catalogue.pending,
            degraded=() if ranking is None else ranking.degraded,
        )

    async def pages(self, tenant: str, search: Search) -> AsyncGenerator[tuple[Hit, ...], None]:
        """Find entities a page at a time, to the last.

        Raises:
            BadQuery: as with `search`.
            NotFound: as with `search`.
        """
        turn = await self._begin(tenant, search)
        while turn.more:
            yield tuple(await self._page(tenant, search, turn))

    # --- pages ---

    async def _begin(self, tenant: str, search: Search) -> _Turn:
        """Rank what is found, or take up where a cursor is."""
        check(search)
        catalogue = await self.catalogues.fresh(tenant)
        if search.cursor is not None:
            return _Turn(catalogue, _read(search.cursor, _asked(tenant, search)))
        ranking = await self._ranker.rank(tenant, search, catalogue)
        # Numbers grow: what is made from now on is beyond the last.
        before = int(ranking.words[-1]) + 1 if len(ranking.words) else 0
        return _Turn(catalogue, Window(ranking.best, 0, before, ranking.total), ranking)

    async def _page(self, tenant: str, search: Search, turn: _Turn) -> list[Hit]:
        """Load a page and go on behind it; gone entities are passed over."""
        hits: list[Hit] = []
        window = turn.window
        while len(hits) < search.limit and window.told < len(window.best):
            part = window.best[window.told : window.told + search.limit - len(hits)]
            window = msgspec.structs.replace(window, told=window.told + len(part))
            hits += await self._load(tenant, search, part)
        turn.window = window
        if window.told < len(window.best):
            return hits
        rest = await self._rest(tenant, search, turn)
        while len(hits) < search.limit and len(rest):
            part = tuple(Ranked(one) for one in rest[: search.limit - len(hits)].tolist())
            rest = rest[len(part) :]
            turn.window = msgspec.structs.replace(window, before=part[-1].number)
            hits += await self._load(tenant, search, part)
        turn.rest, turn.more = rest, len(rest) > 0
        return hits

    async def _rest(self, tenant: str, search: Search, turn: _Turn) -> Numbers:
        """Tell what follows the best, which is looked for once."""
        if turn.rest is not None:
            return turn.rest
        if turn.ranking is not None:
            return _rest(turn.ranking.words, turn.window)
        words = await self._ranker.words(tenant, search, turn.catalogue)
        return _rest(words, turn.window)

    async def _load(self, tenant: str, search: Search, ranked: Sequence[Ranked]) -> list[Hit]:
        by_number = {one.number: one for one in ranked}
        loaded = await self.store.numbered(tenant, list(by_number))
        return [
            _hit(entity, by_number[number]) for number, entity in loaded if _fits(entity, search)
        ]


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


def _rest(words: Numbers, window: Window) -> Numbers:
    """Tell what has the words beside the best, the youngest first, from a place on."""
    earlier = words[: int(words.searchsorted(window.before))]
    told = {one.number for one in window.best}
    return earlier[~np.isin(earlier, np.fromiter(told, np.int64))][::-1]


def _asked(tenant: str, search: Search) -> object:
    """Name what a cursor is for."""
    return ("search", tenant, search.q, search.like, search.mode, search.type, search.tag)


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
