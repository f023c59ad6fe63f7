"""What intelligence does with entities: the rules, without HTTP and without SQL."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

import msgspec

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
from nexus_gateway.studio.intelligence.errors import (
    AlreadyExists,
    AttributesRefused,
    AttributesTooLarge,
    BadQuery,
    Moved,
    NotFound,
)
from nexus_gateway.studio.intelligence.history import revisions
from nexus_gateway.studio.intelligence.models import (
    Content,
    Draft,
    Entity,
    History,
    Imported,
    Page,
    Past,
    Patch,
    Selection,
    Stamp,
)
from nexus_gateway.studio.storage import cursor

if TYPE_CHECKING:
    from nexus_gateway.studio.conditions import Condition
    from nexus_gateway.studio.intelligence.store import Edit, EntityStore

Clock: TypeAlias = Callable[[], datetime]
Changed: TypeAlias = Callable[[str], Awaitable[None]]
"""Is told the tenant whose entities were changed."""


async def nobody(tenant: str) -> None:
    """Be told of changes, and do nothing."""


def now() -> datetime:
    """Tell the time, in whole microseconds as it is stored."""
    return datetime.now(UTC)


class Entities:
    """The entities of every tenant; each call is one tenant's."""

    def __init__(
        self, store: EntityStore, *, clock: Clock = now, changed: Changed = nobody
    ) -> None:
        self.store = store
        self.clock = clock
        self._changed = changed

    async def create(self, tenant: str, draft: Draft, *, by: str = "") -> Entity:
        """Keep a new entity.

        Raises:
            AlreadyExists: the id or an alias is taken.
            AttributesRefused: they are not what the type asks for.
        """
        stamp = Stamp(self.clock(), by)
        entity = made(draft.entity_id, draft, stamp)

        def edit(current: Entity | None) -> Entity:
            if current is not None:
                raise AlreadyExists(f"entity {draft.entity_id!r} exists already")
            return entity

        try:
            return kept(await self._edit(tenant, draft.entity_id, edit, stamp))
        except Moved as moved:
            raise AlreadyExists(str(moved)) from moved

    async def get(self, tenant: str, entity_id: str) -> Entity:
        """Load an entity.

        Raises:
            NotFound: there is none.
            Moved: the id is an alias.
        """
        entity = await self.store.get(tenant, entity_id)
        if entity is None:
            canonical = await self.store.resolve(tenant, entity_id)
            raise missing(entity_id) if canonical is None else Moved(entity_id, canonical)
        return entity

    async def put(
        self,
        tenant: str,
        entity_id: str,
        content: Content,
        condition: Condition,
        *,
        by: str = "",
    ) -> tuple[Entity, bool]:
        """Keep an entity as given, replacing what was there; and whether it is new.

        Raises:
            RevisionMismatch: the condition does not hold.
            AttributesRefused: they are not what the type asks for.
            AlreadyExists: an alias is taken.
            Moved: the id is an alias.
        """
        stamp = Stamp(self.clock(), by)
        edit = guarded(entity_id, condition, replacing(made(entity_id, content, stamp)))
        before, after = await self._edit(tenant, entity_id, edit, stamp)
        return kept((before, after)), before is None

    async def put_all(self, tenant: str, drafts: tuple[Draft, ...], *, by: str = "") -> Imported:
        """Keep many entities as given, all or none.

        Raises:
            AttributesRefused: with what is wrong in all of them.
            AlreadyExists: an id or an alias is taken.
        """
        stamp = Stamp(self.clock(), by)
        entities: list[Entity] = []
        for place, draft in enumerate(drafts):
            try:
                entities.append(made(draft.entity_id, draft, stamp))
            except AttributesTooLarge as refused:
                raise refused.at(place).within("items") from refused
        edits = [(entity.entity_id, replacing(entity)) for entity in entities]
        try:
            changes = await self.store.change(tenant, edits, stamp)
        except Moved as moved:
            raise AlreadyExists(str(moved)) from moved
        except AttributesRefused as refused:
            raise refused.within("items") from refused
        await self._changed(tenant)
        outcomes = tuple(outcome(*change) for change in changes)
        results = [outcome.result for outcome in outcomes]
        return Imported(
            created=results.count("created"),
            updated=results.count("updated"),
            unchanged=results.count("unchanged"),
            items=outcomes,
        )

    async def patch(
        self, tenant: str, entity_id: str, patch: Patch, condition: Condition, *, by: str = ""
    ) -> Entity:
        """Change the named parts of an entity.

        Raises:
            NotFound: there is none.
            RevisionMismatch: the condition does not hold.
            AttributesRefused: they are not what the type asks for.
            AlreadyExists: an alias is taken.
            Moved: the id is an alias.
        """
        stamp = Stamp(self.clock(), by)

        def edit(current: Entity | None) -> Entity:
            if current is None:
                raise missing(entity_id)
            return changed(current, merged(current, patch), stamp)

        guard = guarded(entity_id, condition, edit)
        return kept(await self._edit(tenant, entity_id, guard, stamp))

    async def remove(
        self, tenant: str, entity_id: str, condition: Condition, *, by: str = ""
    ) -> None:
        """Delete an entity; its history is kept, and it can be restored.

        Raises:
            NotFound: there is none.
            RevisionMismatch: the condition does not hold.
            Moved: the id is an alias.
        """
        stamp = Stamp(self.clock(), by)

        def edit(current: Entity | None) -> None:
            if current is None:
                raise missing(entity_id)

        await self._edit(tenant, entity_id, guarded(entity_id, condition, edit), stamp)

    async def purge(
        self, tenant: str, entity_id: str, condition: Condition, *, by: str = ""
    ) -> None:
        """Forget an entity, deleted or not, and its history.

        Raises:
            NotFound: there is none and never was.
            RevisionMismatch: the condition does not hold.
            Moved: the id is an alias.
        """
        guard = guarded(entity_id, condition, lambda current: current)
        if not await self.store.purge(tenant, entity_id, guard, Stamp(self.clock(), by)):
            raise missing(entity_id)
        await self._changed(tenant)

    async def restore(self, tenant: str, entity_id: str, *, by: str = "") -> Entity:
        """Bring a deleted entity back.

        Raises:
            NotFound: nothing was deleted under the id.
            AlreadyExists: it is not deleted, or one of its aliases was taken meanwhile.
        """
        restored = await self.store.restore(tenant, entity_id, Stamp(self.clock(), by))
        await self._changed(tenant)
        return restored

    async def history(self, tenant: str, entity_id: str, wanted: Past) -> History:
        """List what an entity was, the newest first, deletions too.

        Raises:
            NotFound: there is none and never was, or not the revision.
            Moved: the id is an alias.
            BadQuery: the cursor was not given out for this history.
        """
        asked = ("history", tenant, entity_id)
        start: tuple[int, int] | None = None
        if wanted.cursor is not None:
            number, revision = _position(wanted.cursor, asked)
            start = (int(number), int(revision))
        elif wanted.revision is not None:
            start = await self._start(tenant, entity_id, wanted.revision)
        limit = wanted.limit if wanted.revision is None else 1
        states = await self.store.history(tenant, entity_id, start, limit + 1)
        if not states:
            canonical = await self.store.resolve(tenant, entity_id)
            raise missing(entity_id) if canonical is None else Moved(entity_id, canonical)
        more = len(states) > limit and wanted.revision is None
        place = (states[limit].number, states[limit].entity.revision) if more else None
        return History(
            items=revisions(states)[:limit],
            next_cursor=None if place is None else cursor.write(place, asked),
        )

    async def _start(self, tenant: str, entity_id: str, revision: int) -> tuple[int, int]:
        """Find a revision of the entity that had the id last."""
        newest = await self.store.history(tenant, entity_id, None, 1)
        if newest:
            number = newest[0].number
            found = await self.store.history(tenant, entity_id, (number, revision), 1)
            if found and (found[0].number, found[0].entity.revision) == (number, revision):
                return number, revision
        raise NotFound(f"there is no revision {revision} of entity {entity_id!r}")

    async def page(self, tenant: str, selection: Selection) -> Page:
        """List entities in the order in which they were made.

        Raises:
            BadQuery: the cursor was not given out for this list.
        """
        asked = ("page", tenant, selection.type, selection.tag)
        after = 0
        if selection.cursor is not None:
            after = int(_position(selection.cursor, asked)[0])
        rows = await self.store.page(tenant, selection, after, selection.limit + 1)
        more = len(rows) > selection.limit
        rows = rows[: selection.limit]
        return Page(
            items=tuple(entity for _, entity in rows),
            next_cursor=cursor.write((rows[-1][0],), asked) if more else None,
        )

    async def pages(
        self, tenant: str, selection: Selection
    ) -> AsyncGenerator[tuple[Entity, ...], None]:
        """List all entities of a selection, from its cursor on, a page at a time.

        Raises:
            BadQuery: the cursor was not given out for this list.
        """
        following: str | None = selection.cursor
        while True:
            page = await self.page(tenant, msgspec.structs.replace(selection, cursor=following))
            yield page.items
            following = page.next_cursor
            if following is None:
                return

    async def _edit(
        self, tenant: str, entity_id: str, edit: Edit, stamp: Stamp
    ) -> tuple[Entity | None, Entity | None]:
        change = (await self.store.change(tenant, [(entity_id, edit)], stamp))[0]
        await self._changed(tenant)
        return change


def _position(text: str, asked: object) -> tuple[float | int, ...]:
    try:
        return cursor.read(text, asked)
    except cursor.BadCursor as exc:
        raise BadQuery("cursor", str(exc)) from exc
