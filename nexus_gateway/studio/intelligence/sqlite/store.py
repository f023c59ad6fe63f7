"""The `EntityStore` in SQLite: a table, one row per tag, and FTS5 over the words."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from nexus_gateway.studio.intelligence.models import Count, Entity, Facets, Totals
from nexus_gateway.studio.intelligence.sqlite.changes import Job, resolve
from nexus_gateway.studio.intelligence.sqlite.history import past
from nexus_gateway.studio.intelligence.sqlite.rows import (
    COLUMNS,
    GET,
    SELECT,
    entity_of,
    numbered,
)
from nexus_gateway.studio.intelligence.sqlite.search import (
    FACETED,
    FACETS,
    find,
    match_expression,
    search_statement,
)
from nexus_gateway.studio.intelligence.store import Archived, Matches
from nexus_gateway.studio.intelligence.types.schema import Schemas

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from nexus_gateway.studio.intelligence.errors import EntityError
    from nexus_gateway.studio.intelligence.models import Outcome, Search, Selection, Stamp
    from nexus_gateway.studio.intelligence.store import Edit, Place
    from nexus_gateway.studio.storage.sqlite import Database

T = TypeVar("T")

CANDIDATES = 20_000
"""Shared tags that recommendations look at, the rarest first."""

_encode = msgspec.json.Encoder().encode

_PAGE = " ".join((SELECT, "WHERE entity.tenant = :tenant AND entity.number > :after"))
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
_SHARING = """
    SELECT candidate.number, sum(candidate.weight) AS score
    FROM (
        SELECT entity_tag.number AS number, json_extract(own.value, '$[1]') AS weight
        FROM json_each(:weights) AS own
        CROSS JOIN entity_tag ON entity_tag.tenant = :tenant
            AND entity_tag.tag = json_extract(own.value, '$[0]')
        LIMIT :candidates
    ) AS candidate
    WHERE candidate.number <> (
        SELECT number FROM entity WHERE tenant = :tenant AND entity_id = :excluded
    )
    GROUP BY candidate.number
    ORDER BY score DESC, candidate.number
    LIMIT :limit
"""


class SqliteEntities:
    """The `EntityStore` of a SQLite file, which its owner opens and closes."""

    def __init__(self, database: Database) -> None:
        self._database = database
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
        return await self._database.write(
            lambda connection: work(Job(connection, tenant, stamp, self._schemas))
        )

    async def get(self, tenant: str, entity_id: str) -> Entity | None:
        """Load one entity."""

        def job(connection: sqlite3.Connection) -> Entity | None:
            row = connection.execute(GET, (tenant, entity_id)).fetchone()
            return None if row is None else entity_of(row)

        return await self._database.read(job)

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

    async def last_number(self, tenant: str) -> int:
        """Tell the number of the entity that was made last; 0 where there is none."""
        statement = "SELECT coalesce(max(number), 0) FROM entity WHERE tenant = ?"
        return await self._database.read(
            lambda connection: int(connection.execute(statement, (tenant,)).fetchone()[0])
        )

    async def search(
        self, tenant: str, search: Search, ceiling: int, after: Place | None
    ) -> Matches:
        """Search entities numbered up to `ceiling`, going on after a place; the best first."""
        words = match_expression(search.q)
        statement = search_statement(search, first=after is None)
        names: dict[str, str | int | float | None] = {
            "tenant": tenant,
            "type": search.type,
            "words": words,
            "exact": search.q.strip(),
            "ceiling": ceiling,
            "limit": search.limit + 1,
            "facets": FACETS,
            "faceted": FACETED,
            "score": None if after is None else after.score,
            "number": None if after is None else after.number,
            **{f"tag{index}": tag for index, tag in enumerate(search.tag)},
        }
        if search.q and words is None:
            return Matches((), 0, None if after else Facets((), (), complete=True))
        return await self._database.read(
            lambda connection: find(connection, statement, names, first=after is None)
        )

    async def tag_totals(self, tenant: str, tags: Sequence[str]) -> dict[str, int]:
        """Tell how many entities have each of the tags."""
        statement = (
            "SELECT tag_total.tag, tag_total.total FROM json_each(?) AS wanted"
            " CROSS JOIN tag_total ON tag_total.tenant = ? AND tag_total.tag = wanted.value"
        )
        names = (_encode(tags).decode(), tenant)
        return await self._database.read(
            lambda connection: dict(connection.execute(statement, names).fetchall())
        )

    async def sharing(
        self, tenant: str, weights: Mapping[str, float], excluded: str, limit: int
    ) -> list[Entity]:
        """Load the entities whose shared tags weigh most together, but for the excluded id."""
        heaviest_first = sorted(weights.items(), key=lambda item: -item[1])
        names = {
            "tenant": tenant,
            "weights": _encode(heaviest_first).decode(),
            "candidates": CANDIDATES,
            "excluded": excluded,
            "limit": limit,
        }

        def job(connection: sqlite3.Connection) -> list[Entity]:
            numbers = [row[0] for row in connection.execute(_SHARING, names)]
            return [entity for _, entity in numbered(connection, numbers)]

        return await self._database.read(job)

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
