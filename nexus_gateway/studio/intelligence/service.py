"""What intelligence does with entities: the rules, without HTTP and without SQL."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from nexus_gateway.studio.intelligence.edits import (
    changed,
    guarded,
    kept,
    made,
    merged,
    missing,
    outcome,
    replacing,
)
from nexus_gateway.studio.intelligence.errors import AlreadyExists, BadQuery
from nexus_gateway.studio.intelligence.growth import fill, since
from nexus_gateway.studio.intelligence.models import (
    Content,
    Draft,
    Entity,
    Found,
    Imported,
    Page,
    Patch,
    Recommendations,
    Report,
    Search,
    Selection,
    Window,
)
from nexus_gateway.studio.intelligence.recommend import explain, weigh
from nexus_gateway.studio.intelligence.store import Place
from nexus_gateway.studio.storage import cursor
from nexus_gateway.studio.storage.errors import StorageUnavailable

if TYPE_CHECKING:
    from nexus_gateway.studio.conditions import Condition
    from nexus_gateway.studio.intelligence.store import Edit, EntityStore

T = TypeVar("T")
Clock: TypeAlias = Callable[[], datetime]

SEARCH_TAGS = 16
"""Tags that one search may ask for."""


def now() -> datetime:
    """Tell the time, in whole microseconds as it is stored."""
    return datetime.now(UTC)


class Entities:
    """The entities of every tenant; each call is one tenant's."""

    def __init__(self, store: EntityStore, *, clock: Clock = now) -> None:
        self._store = store
        self._clock = clock

    async def create(self, tenant: str, draft: Draft) -> Entity:
        """Keep a new entity.

        Raises:
            AlreadyExists: the id is taken.
        """
        entity = made(draft.entity_id, draft, self._clock())

        def edit(current: Entity | None) -> Entity:
            if current is not None:
                raise AlreadyExists(f"entity {draft.entity_id!r} exists already")
            return entity

        return kept(await self._edit(tenant, draft.entity_id, edit))

    async def get(self, tenant: str, entity_id: str) -> Entity:
        """Load an entity.

        Raises:
            NotFound: there is none.
        """
        entity = await self._store.get(tenant, entity_id)
        if entity is None:
            raise missing(entity_id)
        return entity

    async def put(
        self, tenant: str, entity_id: str, content: Content, condition: Condition
    ) -> tuple[Entity, bool]:
        """Keep an entity as given, replacing what was there; and whether it is new.

        Raises:
            RevisionMismatch: the condition does not hold.
        """
        edit = guarded(entity_id, condition, replacing(made(entity_id, content, self._clock())))
        before, after = await self._edit(tenant, entity_id, edit)
        return kept((before, after)), before is None

    async def put_all(self, tenant: str, drafts: tuple[Draft, ...]) -> Imported:
        """Keep many entities as given, all or none."""
        moment = self._clock()
        entities = [made(draft.entity_id, draft, moment) for draft in drafts]
        edits = [(entity.entity_id, replacing(entity)) for entity in entities]
        outcomes = tuple(outcome(*change) for change in await self._store.change(tenant, edits))
        results = [outcome.result for outcome in outcomes]
        return Imported(
            created=results.count("created"),
            updated=results.count("updated"),
            unchanged=results.count("unchanged"),
            items=outcomes,
        )

    async def patch(
        self, tenant: str, entity_id: str, patch: Patch, condition: Condition
    ) -> Entity:
        """Change the named parts of an entity.

        Raises:
            NotFound: there is none.
            RevisionMismatch: the condition does not hold.
        """
        moment = self._clock()

        def edit(current: Entity | None) -> Entity:
            if current is None:
                raise missing(entity_id)
            return changed(current, merged(current, patch), moment)

        return kept(await self._edit(tenant, entity_id, guarded(entity_id, condition, edit)))

    async def remove(self, tenant: str, entity_id: str, condition: Condition) -> None:
        """Forget an entity.

        Raises:
            NotFound: there is none.
            RevisionMismatch: the condition does not hold.
        """

        def edit(current: Entity | None) -> None:
            if current is None:
                raise missing(entity_id)

        await self._edit(tenant, entity_id, guarded(entity_id, condition, edit))

    async def page(self, tenant: str, selection: Selection) -> Page:
        """List entities in the order in which they were made.

        Raises:
            BadQuery: the cursor was not given out for this list.
        """
        asked = ("page", tenant, selection.type, selection.tag)
        after = 0
        if selection.cursor is not None:
            after = int(_position(selection.cursor, asked)[0])
        rows = await self._store.page(tenant, selection, after, selection.limit + 1)
        more = len(rows) > selection.limit
        rows = rows[: selection.limit]
        return Page(
            items=tuple(entity for _, entity in rows),
            next_cursor=cursor.write((rows[-1][0],), asked) if more else None,
        )

    async def search(self, tenant: str, search: Search) -> Found:
        """Find entities by words, type and tags, the best first.

        Entities that are made while someone turns the pages do not appear on later ones.

        Raises:
            BadQuery: the cursor was not given out for this search, or too many tags are named.
        """
        if len(search.tag) > SEARCH_TAGS:
            raise BadQuery("tag", f"at most {SEARCH_TAGS} tags can be searched for at once")
        asked = ("search", tenant, search.q, search.type, search.tag)
        if search.cursor is None:
            ceiling, after = await self._store.last_number(tenant), None
        else:
            score, number, newest = _position(search.cursor, asked)
            ceiling, after = int(newest), Place(score, int(number))
        matches = await self._store.search(tenant, search, ceiling, after)
        items = matches.items[: search.limit]
        more = len(matches.items) > search.limit
        last = items[-1][0] if more else None
        return Found(
            items=tuple(entity for _, entity in items),
            total=matches.total,
            facets=matches.facets,
            next_cursor=cursor.write((last.score, last.number, ceiling), asked) if last else None,
        )

    async def recommend(self, tenant: str, entity_id: str, limit: int) -> Recommendations:
        """Find entities that share tags with one, those that share rare tags first.

        Raises:
            NotFound: there is no such entity.
        """
        entity = await self.get(tenant, entity_id)
        count = (await self._store.totals(tenant)).entities
        weights = weigh(await self._store.tag_totals(tenant, entity.tags), count)
        others = await self._store.sharing(tenant, weights, entity_id, limit)
        return Recommendations(entity_id, tuple(explain(other, weights) for other in others))

    async def report(self, tenant: str, window: Window) -> Report:
        """Sum up everything; a section whose storage does not answer is left out and named.

        Raises:
            StorageUnavailable: not one section could be made.
        """
        moment = self._clock()
        start, width = since(moment, window.bucket)
        degraded: list[str] = []
        totals, by_type, by_tag, growth, newest = await asyncio.gather(
            _section("totals", degraded, self._store.totals(tenant)),
            _section("by_type", degraded, self._store.by_type(tenant, window.top)),
            _section("by_tag", degraded, self._store.by_tag(tenant, window.top)),
            _section("growth", degraded, self._store.growth(tenant, start, width)),
            _section("newest", degraded, self._store.newest(tenant, window.top)),
        )
        if len(degraded) == 5:
            raise StorageUnavailable("no section of the report could be made")
        return Report(
            generated_at=moment,
            totals=totals,
            by_type=None if by_type is None else tuple(by_type),
            by_tag=None if by_tag is None else tuple(by_tag),
            growth=None if growth is None else fill(*growth, start, width, moment),
            newest=None if newest is None else tuple(newest),
            degraded=tuple(sorted(degraded)),
        )

    async def _edit(
        self, tenant: str, entity_id: str, edit: Edit
    ) -> tuple[Entity | None, Entity | None]:
        return (await self._store.change(tenant, [(entity_id, edit)]))[0]


async def _section(name: str, degraded: list[str], work: Awaitable[T]) -> T | None:
    try:
        return await work
    except StorageUnavailable:
        degraded.append(name)
        return None


def _position(text: str, asked: object) -> tuple[float | int, ...]:
    try:
        return cursor.read(text, asked)
    except cursor.BadCursor as exc:
        raise BadQuery("cursor", str(exc)) from exc
