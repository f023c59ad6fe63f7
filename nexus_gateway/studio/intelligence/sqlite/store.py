"""The `EntityStore` in SQLite: a table, one row per tag; `search.sqlite` finds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from nexus_gateway.studio.intelligence.models import Count, Entity, Totals
from nexus_gateway.studio.intelligence.sqlite.changes import Job, resolve
from nexus_gateway.studio.intelligence.sqlite.history import past
from nexus_gateway.studio.intelligence.sqlite.rows import (
    COLUMNS,
    GET,
    SELECT,
    entity_of,
)
from nexus_gateway.studio.intelligence.types.schema import Schemas

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from nexus_gateway.studio.intelligence.errors import EntityError
    from nexus_gateway.studio.intelligence.models import Outcome, Selection, Stamp
    from nexus_gateway.studio.intelligence.store import Archived, Edit
    from nexus_gateway.studio.storage.sqlite import Database

T = TypeVar("T")

_PAGE = " ".join((SELECT, "WHERE entity.tenant = :tenant AND entity.number > :after"))
_SOME = " ".join(
    (
        "SELECT",
        COLUMNS,
        "FROM json_each(?) AS wanted",
        "CROSS JOIN entity ON entity.tenant = ? AND entity.entity_id = wanted.value",
    )
)
_PAGE_BY_TAG = " ".join(
    (
        "SELECT",
        COLUMNS,
        (
            "FROM entity_tag CROSS JOIN entity USING (number) WHERE entity_tag.tenant = :tenant"
            " AND entity_tag.tag = :tag AND entity_tag.number > :after"
        ),
    )
)


class SqliteEntities:
    """The `EntityStore` of a SQLite file, which its owner opens and closes."""

    def __init__(self, database: Database, *, told: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self._told = told
        self._schemas = Schemas()

    async def change(
        self, tenant: str, edits: Sequence[tuple[str, Edit]], stamp: Stamp
    ) -> list[tuple[Entity | None, Entity | None]]:
        """Apply each edit to the entity with its id, in order, all or none; before and after."""
        return await self._write(tenant, stamp, lambda job: job.change(edits))

    async def take(
        self, tenant: str, entities: Sequence[Entity], stamp: Stamp
    ) -> list[Outcome | EntityError]:
        """Create or replace entities in one transaction, each for itself; what became of each."""
        return await self._write(tenant, stamp, lambda job: job.take(entities))

    async def restore(self, tenant: str, entity_id: str, stamp: Stamp) -> Entity:
        """Bring back what was deleted last under an id."""
        return await self._write(tenant, stamp, lambda job: job.restore(entity_id))

    async def purge(self, tenant: str, entity_id: str, edit: Edit, stamp: Stamp) -> bool:
        """Forget an entity and its history, once `edit` has seen it; whether there was anything."""
        return await self._write(tenant, stamp, lambda job: job.purge(entity_id, edit))

    async def history(
        self, tenant: str, entity_id: str, start: tuple[int, int] | None, limit: int
    ) -> list[Archived]:
        """Load states of an id, the newest first, from a number and revision on."""
        return await self._database.read(
            lambda connection: past(connection, tenant, entity_id, start, limit)
        )

    async def resolve(self, tenant: str, alias: str) -> str | None:
        """Tell which entity an alias leads to."""
        return await self._database.read(lambda connection: resolve(connection, tenant, alias))

    async def _write(self, tenant: str, stamp: Stamp, work: Callable[[Job], T]) -> T:
        done = await self._database.write(
            lambda connection: work(Job(connection, tenant, stamp, self._schemas))
        )
        self._told()
        return done

    async def get(self, tenant: str, entity_id: str) -> Entity | None:
        """Load one entity."""

        def job(connection: sqlite3.Connection) -> Entity | None:
            row = connection.execute(GET, (tenant, entity_id)).fetchone()
            return None if row is None else entity_of(row)

        return await self._database.read(job)

    async def some(self, tenant: str, ids: Sequence[str]) -> list[Entity]:
        """Load those of the ids that there are, in any order."""
        names = (msgspec.json.encode(ids).decode(), tenant)
        return await self._database.read(
            lambda connection: [entity_of(row) for row in connection.execute(_SOME, names)]
        )

    async def page(
        self, tenant: str, selection: Selection, after: int, limit: int
    ) -> list[tuple[int, Entity]]:
        """Load at most `limit` entities made after the one with number `after`, with numbers."""
        statement = page_statement(selection)
        names = {
            "tenant": tenant,
            "type": selection.type,
            "tag": selection.tag,
            "after": after,
            "limit": limit,
        }

        def job(connection: sqlite3.Connection) -> list[tuple[int, Entity]]:
            return [(row[0], entity_of(row)) for row in connection.execute(statement, names)]

        return await self._database.read(job)

    async def newest(self, tenant: str, limit: int) -> list[Entity]:
        """Load the entities that were made last, the newest first."""
        statement = " ".join((SELECT, "WHERE tenant = ? ORDER BY number DESC LIMIT ?"))
        return await self._database.read(
            lambda connection: [
                entity_of(row) for row in connection.execute(statement, (tenant, limit))
            ]
        )

    async def totals(self, tenant: str) -> Totals:
        """Count entities, types and tags."""
        statement = (
            "SELECT (SELECT count(*) FROM entity WHERE tenant = :tenant),"
            " (SELECT count(DISTINCT entity_type) FROM entity WHERE tenant = :tenant),"
            " (SELECT count(*) FROM tag_total WHERE tenant = :tenant)"
        )
        return await self._database.read(
            lambda connection: Totals(*connection.execute(statement, {"tenant": tenant}).fetchone())
        )

    async def by_type(self, tenant: str, limit: int) -> list[Count]:
        """Count entities by type, the largest first."""
        return await self._counts(
            "SELECT entity_type, count(*) AS total FROM entity WHERE tenant = ?"
            " GROUP BY entity_type ORDER BY total DESC, entity_type LIMIT ?",
            tenant,
            limit,
        )

    async def by_tag(self, tenant: str, limit: int) -> list[Count]:
        """Count entities by tag, the largest first."""
        return await self._counts(
            "SELECT tag, total FROM tag_total WHERE tenant = ? ORDER BY total DESC, tag LIMIT ?",
            tenant,
            limit,
        )

    async def growth(self, tenant: str, since: int, width: int) -> tuple[int, dict[int, int]]:
        """Count entities made before `since`, and later by stretches of `width`; microseconds."""
        before = "SELECT count(*) FROM entity WHERE tenant = ? AND created_at < ?"
        after = (
            "SELECT created_at / :width * :width, count(*) FROM entity"
            " WHERE tenant = :tenant AND created_at >= :since GROUP BY 1"
        )
        names = {"tenant": tenant, "since": since, "width": width}

        def job(connection: sqlite3.Connection) -> tuple[int, dict[int, int]]:
            earlier = connection.execute(before, (tenant, since)).fetchone()[0]
            return earlier, dict(connection.execute(after, names).fetchall())

        return await self._database.read(job)

    async def _counts(self, statement: str, tenant: str, limit: int) -> list[Count]:
        return await self._database.read(
            lambda connection: [
                Count(value, count)
                for value, count in connection.execute(statement, (tenant, limit))
            ]
        )


def page_statement(selection: Selection) -> str:
    """Write the statement that lists a selection; each has an index that gives its order."""
    kind = "AND entity.entity_type = :type" if selection.type is not None else ""
    if selection.tag is not None:
        return " ".join((_PAGE_BY_TAG, kind, "ORDER BY entity_tag.number LIMIT :limit"))
    return " ".join((_PAGE, kind, "ORDER BY entity.number LIMIT :limit"))
