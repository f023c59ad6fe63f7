"""Changes of entities in PostgreSQL: with few statements, however many they are.

All that edits touch is loaded and locked at once; edits run upon it in memory and are checked; what
is left at the end is written by one statement a table. A transaction that met another is run again.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from nexus_gateway.studio.intelligence.edits import changed, following, missing, outcome
from nexus_gateway.studio.intelligence.errors import (
    AlreadyExists,
    AttributesRefused,
    EntityError,
    Moved,
    Problem,
)
from nexus_gateway.studio.intelligence.postgres import rows
from nexus_gateway.studio.intelligence.sqlite.history import ENDLESS
from nexus_gateway.studio.intelligence.sqlite.rows import entity_of
from nexus_gateway.studio.intelligence.told import Telling
from nexus_gateway.studio.storage import outbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_gateway.studio.intelligence.models import Entity, Outcome, Stamp
    from nexus_gateway.studio.intelligence.store import Edit
    from nexus_gateway.studio.intelligence.types.schema import Compiled, Schemas
    from nexus_gateway.studio.storage.postgres import Session

_decode = msgspec.json.Decoder().decode

_OWNERS = (
    "SELECT entity_alias.alias, entity.entity_id FROM entity_alias JOIN entity USING (number)"
    " WHERE entity_alias.tenant = $1 AND entity_alias.alias = ANY($2)"
)
_TAKEN = "SELECT entity_id FROM entity WHERE tenant = $1 AND entity_id = ANY($2)"
_TYPE = "SELECT digest FROM entity_type WHERE tenant = $1 AND name = $2"
_SCHEMA = "SELECT attributes FROM entity_type WHERE tenant = $1 AND name = $2"


class Job:
    """One transaction's changes of one tenant."""

    def __init__(self, session: Session, tenant: str, stamp: Stamp, schemas: Schemas) -> None:
        self._session = session
        self._tenant = tenant
        self._stamp = stamp
        self._schemas = schemas
        self._types: dict[str, Compiled | None] = {}
        self._numbers: dict[str, int] = {}
        self._stored: dict[str, Entity] = {}
        self._current: dict[str, Entity | None] = {}
        self._owners: dict[str, str | None] = {}
        self._past: list[tuple[str, Entity, bool]] = []
        self._telling = Telling(tenant, stamp)

    async def change(
        self, edits: Sequence[tuple[str, Edit]]
    ) -> list[tuple[Entity | None, Entity | None]]:
        """Apply edits in order, all or none; before and after.

        Raises:
            AttributesRefused: with what is wrong in all of them.
        """
        await self._load([entity_id for entity_id, _ in edits])
        changes: list[tuple[Entity | None, Entity | None]] = []
        problems: list[Problem] = []
        kind = ""
        for position, (entity_id, edit) in enumerate(edits):
            try:
                changes.append(await self._change(entity_id, edit))
            except AttributesRefused as refused:
                kind = kind or refused.entity_type
                problems += [structs.replace(one, index=position) for one in refused.problems]
        if problems:
            raise AttributesRefused(kind, problems)
        await self._write()
        return changes

    async def take(self, entities: Sequence[Entity]) -> list[Outcome | EntityError]:
        """Create or replace entities, each for itself: what became of each, in order."""
        await self._load([entity.entity_id for entity in entities])
        results: list[Outcome | EntityError] = []
        for entity in entities:

            def edit(current: Entity | None, entity: Entity = entity) -> Entity:
                return entity if current is None else changed(current, entity, self._stamp)

            try:
                results.append(outcome(*await self._change(entity.entity_id, edit)))
            except EntityError as refusal:
                results.append(refusal)
        await self._write()
        return results

    async def restore(self, entity_id: str) -> Entity:
        """Bring a deleted entity back as it was, under its next revision.

        Raises:
            AlreadyExists: there is an entity of this id, or one with one of its aliases.
            NotFound: no entity of this id was deleted.
        """
        await self._load([entity_id])
        if self._read(entity_id) is not None:
            raise AlreadyExists(f"entity {entity_id!r} is not deleted")
        found = await self._session.fetch(
            rows.HISTORY, self._tenant, entity_id, ENDLESS, ENDLESS, 1
        )
        if not found:
            raise missing(entity_id)
        number: int = found[0][0]
        restored = following(entity_of(tuple(found[0])), self._stamp)
        await self._check_aliases(None, restored)
        await rows.insert_numbered(self._session, self._tenant, number, restored)
        await rows.index(self._session, self._tenant, {entity_id: number}, [restored])
        await rows.lead(self._session, self._tenant, {entity_id: number}, [restored])
        await rows.renew(self._session, self._tenant, [number])
        self._telling.add("restored", restored)
        await self._tell()
        await rows.count(self._session, self._tenant, Counter(restored.tags))
        return restored

    async def purge(self, entity_id: str, edit: Edit) -> bool:
        """Forget an entity and all its history; whether there was anything."""
        await self._load([entity_id])
        entity = self._read(entity_id)
        edit(entity)
        if entity is not None:
            await self._erase([entity_id])
        past = await self._session.execute(
            "DELETE FROM entity_history WHERE tenant = $1 AND entity_id = $2",
            self._tenant,
            entity_id,
        )
        if entity is not None:
            fewer: Counter[str] = Counter()
            fewer.subtract(entity.tags)
            self._telling.add("deleted", entity)
            await self._tell()
            await rows.count(self._session, self._tenant, fewer)
        return entity is not None or past != "DELETE 0"

    async def _load(self, ids: Sequence[str]) -> None:
        locked = await rows.lock(self._session, self._tenant, ids)
        self._numbers = {key: number for key, (number, _) in locked.items()}
        self._stored = {key: entity for key, (_, entity) in locked.items()}
        self._current = dict(self._stored)
        absent = [key for key in dict.fromkeys(ids) if key not in locked]
        if absent:
            found = await self._session.fetch(_OWNERS, self._tenant, absent)
            self._owners = {row[0]: row[1] for row in found}

    def _read(self, entity_id: str) -> Entity | None:
        owner = self._owners.get(entity_id)
        if owner is not None:
            raise Moved(entity_id, owner)
        return self._current.get(entity_id)

    async def _change(self, entity_id: str, edit: Edit) -> tuple[Entity | None, Entity | None]:
        before = self._read(entity_id)
        after = edit(before)
        if after is before:
            return before, after
        if after is not None:
            await self._check(before, after)
            await self._check_aliases(before, after)
        for alias in before.aliases if before is not None else ():
            self._owners[alias] = None
        for alias in after.aliases if after is not None else ():
            self._owners[alias] = entity_id
        if before is not None:
            self._past.append((entity_id, before, False))
        if before is not None and after is None:
            self._past.append((entity_id, following(before, self._stamp), True))
        self._current[entity_id] = after
        if after is not None:
            self._telling.add("created" if before is None else "updated", after)
        elif before is not None:
            self._telling.add("deleted", before)
        return before, after

    async def _check(self, before: Entity | None, after: Entity) -> None:
        same = before is not None and (
            before.attributes == after.attributes and before.entity_type == after.entity_type
        )
        compiled = None if same else await self._compiled(after.entity_type)
        problems = [] if compiled is None else compiled.problems(_decode(after.attributes))
        if problems:
            raise AttributesRefused(after.entity_type, problems)

    async def _check_aliases(self, before: Entity | None, after: Entity) -> None:
        old = () if before is None else before.aliases
        new = [alias for alias in after.aliases if alias not in old]
        if not new:
            return
        unknown = [alias for alias in new if alias not in self._owners]
        found = await self._session.fetch(_OWNERS, self._tenant, unknown)
        self._owners |= {row[0]: row[1] for row in found}
        ids = {row[0] for row in await self._session.fetch(_TAKEN, self._tenant, new)}
        for alias in new:
            if self._current.get(alias, alias if alias in ids else None) is not None:
                raise AlreadyExists(f"alias {alias!r} is the id of an entity")
            if self._owners.get(alias) not in (None, after.entity_id):
                raise AlreadyExists(f"alias {alias!r} is another entity's")

    async def _compiled(self, name: str) -> Compiled | None:
        """Give what an entity's type asks for, as this transaction sees it."""
        if name in self._types:
            return self._types[name]
        digest: str | None = await self._session.fetchval(_TYPE, self._tenant, name)
        compiled = None
        if digest is not None and (compiled := self._schemas.known(digest)) is None:
            text: str = await self._session.fetchval(_SCHEMA, self._tenant, name)
            compiled = self._schemas.compiled(digest, lambda: text)
        self._types[name] = compiled
        return compiled

    async def _write(self) -> None:
        """Write what differs from what is stored."""
        differing = {
            key: entity
            for key, entity in self._current.items()
            if entity is not self._stored.get(key)
        }
        made = [one for key, one in differing.items() if one and key not in self._stored]
        kept = [one for key, one in differing.items() if one and key in self._stored]
        gone = [key for key, one in differing.items() if one is None and key in self._stored]
        await self._tell()
        numbers = dict(self._numbers)
        new_alone = not (kept or gone)
        if not new_alone:
            await self._replace(numbers, kept, gone)
        if made:
            numbers |= await rows.insert(self._session, self._tenant, made, counted=new_alone)
        await rows.lead(self._session, self._tenant, numbers, [*made, *kept])
        if self._past:
            states = [(numbers[key], entity, buried) for key, entity, buried in self._past]
            await rows.archive(self._session, self._tenant, states)
        if new_alone:
            return
        totals = Counter(tag for entity in (*made, *kept) for tag in entity.tags)
        old = [*(one.entity_id for one in kept), *gone]
        totals.subtract(tag for key in old for tag in self._stored[key].tags)
        await rows.count(self._session, self._tenant, totals)

    async def _replace(self, numbers: dict[str, int], kept: list[Entity], gone: list[str]) -> None:
        """Write what takes the place of what is stored, but for the history and the totals."""
        renewed = [numbers[one.entity_id] for one in kept]
        if kept:
            await rows.unindex(self._session, renewed)
            await rows.update(self._session, numbers, kept)
        if gone:
            await self._erase(gone)
        await rows.index(self._session, self._tenant, numbers, kept)
        await rows.renew(self._session, self._tenant, renewed)

    async def _tell(self) -> None:
        for told in self._telling.records():
            await self._session.execute(outbox.ADD, *told)

    async def _erase(self, ids: Sequence[str]) -> None:
        numbers = [self._numbers[key] for key in ids]
        await rows.unindex(self._session, numbers)
        await rows.retire(self._session, numbers)
        await self._session.execute("DELETE FROM entity WHERE number = ANY($1)", numbers)
