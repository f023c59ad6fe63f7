"""Changes of entities as jobs of the writer: read, edit, check against the type, write back.

A job knows its tenant, its stamp and the schemas of the types that it meets; what it leaves behind
for the totals of tags, for search and for the outbox is written once at its end.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
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
from nexus_gateway.studio.intelligence.models import Outcome
from nexus_gateway.studio.intelligence.sqlite import writes
from nexus_gateway.studio.intelligence.sqlite.history import last
from nexus_gateway.studio.intelligence.sqlite.rows import GET, Row, entity_of
from nexus_gateway.studio.intelligence.told import Telling
from nexus_gateway.studio.storage import outbox
from nexus_gateway.studio.storage.sqlite import numbered

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from nexus_gateway.studio.intelligence.models import Entity, Stamp
    from nexus_gateway.studio.intelligence.store import Edit
    from nexus_gateway.studio.intelligence.types.schema import Compiled, Schemas

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

_KNOWN = (
    "SELECT entity.entity_id FROM json_each(?) AS wanted"
    " CROSS JOIN entity ON entity.tenant = ? AND entity.entity_id = wanted.value"
)
_ALIAS = (
    "SELECT entity.entity_id FROM entity_alias JOIN entity USING (number)"
    " WHERE entity_alias.tenant = ? AND entity_alias.alias = ?"
)
_ALIASES = (
    "SELECT entity_alias.alias FROM json_each(?) AS wanted"
    " CROSS JOIN entity_alias ON entity_alias.tenant = ? AND entity_alias.alias = wanted.value"
)
_TYPE = "SELECT digest FROM entity_type WHERE tenant = ? AND name = ?"
_SCHEMA = "SELECT attributes FROM entity_type WHERE tenant = ? AND name = ?"


class Job:
    """One transaction's changes of one tenant."""

    def __init__(
        self, connection: sqlite3.Connection, tenant: str, stamp: Stamp, schemas: Schemas
    ) -> None:
        self._connection = connection
        self._tenant = tenant
        self._stamp = stamp
        self._schemas = schemas
        self._types: dict[str, Compiled | None] = {}
        self._tags: Counter[str] = Counter()
        self._renewed: dict[int, bool] = {}
        self._first_new: int | None = None
        self._telling = Telling(tenant, stamp)

    def change(
        self, edits: Sequence[tuple[str, Edit]]
    ) -> list[tuple[Entity | None, Entity | None]]:
        """Apply edits in order, all or none; before and after.

        Raises:
            AttributesRefused: with what is wrong in all of them.
        """
        changes: list[tuple[Entity | None, Entity | None]] = []
        refused: list[tuple[int, AttributesRefused]] = []
        for position, (entity_id, edit) in enumerate(edits):
            try:
                changes.append(self._change(entity_id, edit))
            except AttributesRefused as problem:
                refused.append((position, problem))
        if refused:
            raise _together(refused)
        self._finish()
        return changes

    def take(self, entities: Sequence[Entity]) -> list[Outcome | EntityError]:
        """Create or replace entities, each for itself: what became of each, in order.

        Those that are new, without aliases and named once are written together; the others, one
        after the other, cannot meet them. Numbers follow the order of all.
        """
        ids = [entity.entity_id for entity in entities]
        special = self._known(ids) | {name for name, many in Counter(ids).items() if many > 1}
        special.update(chain.from_iterable(entity.aliases for entity in entities))
        results: dict[int, Outcome | EntityError] = {}
        plain: list[tuple[int, Entity]] = []
        number = writes.next_number(self._connection)
        for position, entity in enumerate(entities):
            if entity.aliases or entity.entity_id in special:
                continue
            problems = self._problems(entity)
            if problems:
                results[position] = AttributesRefused(entity.entity_type, problems)
                continue
            plain.append((number + position, entity))
            self._telling.add("created", entity)
            results[position] = Outcome(entity.entity_id, "created", 1)
        self._tags.update(chain.from_iterable(entity.tags for _, entity in plain))
        writes.insert(self._connection, self._tenant, plain)
        if plain:
            self._first_new = number
        for position, entity in enumerate(entities):
            if position not in results:
                results[position] = self._take(entity, number + position)
        self._finish()
        return [results[position] for position in range(len(entities))]

    def restore(self, entity_id: str) -> Entity:
        """Bring a deleted entity back as it was, under its next revision.

        Raises:
            AlreadyExists: there is an entity of this id, or one with one of its aliases.
            NotFound: no entity of this id was deleted.
        """
        if self._row(entity_id) is not None:
            raise AlreadyExists(f"entity {entity_id!r} is not deleted")
        buried = last(self._connection, self._tenant, entity_id)
        if buried is None:
            raise missing(entity_id)
        number, entity = buried
        self._check_aliases(number, entity)
        restored = following(entity, self._stamp)
        writes.insert(self._connection, self._tenant, [(number, restored)])
        self._renewed[number] = True
        self._tags.update(restored.tags)
        self._telling.add("restored", restored)
        self._finish()
        return restored

    def purge(self, entity_id: str, edit: Edit) -> bool:
        """Forget an entity and all its history; whether there was anything."""
        row = self._row(entity_id)
        entity = None if row is None else entity_of(row)
        edit(entity)
        if row is not None and entity is not None:
            writes.erase(self._connection, self._tenant, row[0], entity)
            self._renewed[row[0]] = False
            self._tags.subtract(entity.tags)
            self._telling.add("deleted", entity)
            self._finish()
        past = self._connection.execute(
            "DELETE FROM entity_history WHERE tenant = ? AND entity_id = ?",
            (self._tenant, entity_id),
        )
        return row is not None or past.rowcount > 0

    def _change(
        self, entity_id: str, edit: Edit, number: int | None = None
    ) -> tuple[Entity | None, Entity | None]:
        """Apply an edit; `number` is that of an entity that it creates, the next one without."""
        row = self._row(entity_id)
        before = None if row is None else entity_of(row)
        after = edit(before)
        if after is before:
            return before, after
        if after is not None:
            self._check(before, after)
            self._check_aliases(0 if row is None else row[0], after)
            self._tags.update(after.tags)
        if row is None or before is None:
            assert after is not None  # noqa: S101 - `after is before` otherwise
            if number is None:
                number = writes.next_number(self._connection)
            writes.insert(self._connection, self._tenant, [(number, after)])
            self._renewed[number] = True
            self._telling.add("created", after)
            return before, after
        self._renewed[row[0]] = after is not None
        self._tags.subtract(before.tags)
        if after is None:
            self._telling.add("deleted", before)
            writes.bury(self._connection, self._tenant, row[0], before, self._stamp)
        else:
            self._telling.add("updated", after)
            writes.update(self._connection, self._tenant, row[0], before, after)
        return before, after

    def _take(self, entity: Entity, number: int) -> Outcome | EntityError:
        def edit(current: Entity | None) -> Entity:
            return entity if current is None else changed(current, entity, self._stamp)

        try:
            return outcome(*self._change(entity.entity_id, edit, number))
        except EntityError as refusal:
            return refusal

    def _row(self, entity_id: str) -> Row | None:
        row: Row | None = self._connection.execute(GET, (self._tenant, entity_id)).fetchone()
        if row is None:
            canonical = resolve(self._connection, self._tenant, entity_id)
            if canonical is not None:
                raise Moved(entity_id, canonical)
        return row

    def _known(self, ids: Sequence[str]) -> set[str]:
        """Tell which ids are of entities, or aliases."""
        wanted = (_encode(ids).decode(), self._tenant)
        known = {row[0] for row in self._connection.execute(_KNOWN, wanted)}
        return known | {row[0] for row in self._connection.execute(_ALIASES, wanted)}

    def _check(self, before: Entity | None, after: Entity) -> None:
        same = before is not None and (
            before.attributes == after.attributes and before.entity_type == after.entity_type
        )
        problems = [] if same else self._problems(after)
        if problems:
            raise AttributesRefused(after.entity_type, problems)

    def _check_aliases(self, number: int, entity: Entity) -> None:
        for alias in entity.aliases:
            if self._connection.execute(GET, (self._tenant, alias)).fetchone() is not None:
                raise AlreadyExists(f"alias {alias!r} is the id of an entity")
            owner = self._connection.execute(
                "SELECT number FROM entity_alias WHERE tenant = ? AND alias = ?",
                (self._tenant, alias),
            ).fetchone()
            if owner is not None and owner[0] != number:
                raise AlreadyExists(f"alias {alias!r} is another entity's")

    def _problems(self, entity: Entity) -> list[Problem]:
        compiled = self._compiled(entity.entity_type)
        return [] if compiled is None else compiled.problems(_decode(entity.attributes))

    def _compiled(self, name: str) -> Compiled | None:
        """Give what an entity's type asks for, as this transaction sees it."""
        if name in self._types:
            return self._types[name]
        wanted = (self._tenant, name)
        row = self._connection.execute(_TYPE, wanted).fetchone()
        compiled = None
        if row is not None:

            def text() -> str:
                found: tuple[str] = self._connection.execute(_SCHEMA, wanted).fetchone()
                return found[0]

            compiled = self._schemas.compiled(row[0], text)
        self._types[name] = compiled
        return compiled

    def _finish(self) -> None:
        writes.count(self._connection, self._tenant, self._tags)
        self._tags.clear()
        first, self._first_new = self._first_new, None
        if self._renewed or first is not None:
            version = writes.next_version(self._connection, self._tenant)
            if first is not None:
                writes.renew_new(self._connection, self._tenant, version, first)
                old = {number: there for number, there in self._renewed.items() if number < first}
                self._renewed = old
            writes.renew(self._connection, self._tenant, version, self._renewed)
            self._renewed.clear()
        for told in self._telling.records():
            self._connection.execute(outbox.ADD, numbered(told))


def resolve(connection: sqlite3.Connection, tenant: str, alias: str) -> str | None:
    """Tell which entity an alias leads to."""
    row: tuple[str] | None = connection.execute(_ALIAS, (tenant, alias)).fetchone()
    return None if row is None else row[0]


def _together(refused: Sequence[tuple[int, AttributesRefused]]) -> AttributesRefused:
    problems = [
        structs.replace(problem, index=position)
        for position, refusal in refused
        for problem in refusal.problems
    ]
    return AttributesRefused(refused[0][1].entity_type, problems)
