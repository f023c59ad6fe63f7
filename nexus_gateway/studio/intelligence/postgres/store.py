"""The `EntityStore` in PostgreSQL: a table, one row per tag, and a `tsvector` of the words."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from nexus_gateway.studio.intelligence.errors import EntityError
from nexus_gateway.studio.intelligence.models import Count, Totals
from nexus_gateway.studio.intelligence.postgres.changes import Job
from nexus_gateway.studio.intelligence.postgres.rows import GET, HISTORY, New, create
from nexus_gateway.studio.intelligence.postgres.words import plain
from nexus_gateway.studio.intelligence.sqlite.history import ENDLESS
from nexus_gateway.studio.intelligence.sqlite.rows import COLUMNS, SELECT, entity_of
from nexus_gateway.studio.intelligence.store import Archived
from nexus_gateway.studio.intelligence.told import Telling
from nexus_gateway.studio.intelligence.types.schema import Schemas
from nexus_gateway.studio.storage.gather import Gather

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from nexus_gateway.studio.intelligence.models import (
        Entity,
        Outcome,
        Selection,
        Stamp,
    )
    from nexus_gateway.studio.intelligence.store import Edit
    from nexus_gateway.studio.storage.postgres import Postgres, Session

T = TypeVar("T")

_PAGE = " ".join((SELECT, "WHERE entity.tenant = $1 AND entity.number > $2"))
_SOME = " ".join((SELECT, "WHERE tenant = $1 AND entity_id = ANY($2)"))
_PAGE_BY_TAG = " ".join(
    (
        "SELECT",
        COLUMNS,
        (
            "FROM entity_tag JOIN entity USING (number)"
            " WHERE entity_tag.tenant = $1 AND entity_tag.number > $2 AND entity_tag.tag = $4"
        ),
    )
)
_OWNER = (
    "SELECT entity.entity_id FROM entity_alias JOIN entity USING (number)"
    " WHERE entity_alias.tenant = $1 AND entity_alias.alias = $2"
)
_NEWEST = " ".join((SELECT, "WHERE tenant = $1 ORDER BY number DESC LIMIT $2"))
_TOTALS = (
    "SELECT (SELECT count(*) FROM entity WHERE tenant = $1),"
    " (SELECT count(DISTINCT entity_type) FROM entity WHERE tenant = $1),"
    " (SELECT count(*) FROM tag_total WHERE tenant = $1)"
)
_BY_TYPE = (
    "SELECT entity_type, count(*) AS total FROM entity WHERE tenant = $1"
    " GROUP BY entity_type ORDER BY total DESC, entity_type LIMIT $2"
)
_BY_TAG = "SELECT tag, total FROM tag_total WHERE tenant = $1 ORDER BY total DESC, tag LIMIT $2"
_GROWTH = (
    "SELECT created_at / $3::bigint * $3::bigint, count(*) FROM entity"
    " WHERE tenant = $1 AND created_at >= $2 GROUP BY 1"
)


class PostgresEntities:
    """The `EntityStore` of a PostgreSQL database, which its owner opens and closes."""

    def __init__(self, database: Postgres, *, told: Callable[[], None] = lambda: None) -> None:
        self._database = database
        self._told = told
        self._schemas = Schemas()
        self._creations = Gather(self._create, wait=database.wait)

    async def change(
        self, tenant: str, edits: Sequence[tuple[str, Edit]], stamp: Stamp
    ) -> list[tuple[Entity | None, Entity | None]]:
        """Apply each edit to the entity with its id, in order, all or none; before and after."""
        if (
            len(edits) == 1
            and (made := await self._created(tenant, edits[0][1], stamp)) is not None
        ):
            return [(None, made)]
        return await self._write(tenant, stamp, lambda job: job.change(edits))

    async def _created(self, tenant: str, edit: Edit, stamp: Stamp) -> Entity | None:
        """Keep what an edit makes of nothing, where that is all there is to do; else None."""
        try:
            entity = edit(None)
        except EntityError:
            return None  # an edit of what is there
        if entity is None or entity.aliases:
            return None
        telling = Telling(tenant, stamp)
        telling.add("created", entity)
        (told,) = telling.records()
        if not await self._creations.put(New(tenant, entity, told)):
            return None
        return entity

    async def _create(self, new: Sequence[New]) -> list[bool]:
        kept = await create(self._database, new)
        self._told()
        return kept

    async def take(
        self, tenant: str, entities: Sequence[Entity], stamp: Stamp
    ) -> list[Outcome | EntityError]:
        """Create or replace entities in one transaction, each for itself; what became of each."""
        return await self._write(tenant, stamp, lambda job: job.take(entities))

    async def restore(self, tenant: str, entity_id: str, stamp: Stamp) -> Entity:
        """Bring back what was deleted last under an id."""
        return await self._write(tenant, stamp, lambda job: job.restore(plain(entity_id)))

    async def purge(self, tenant: str, entity_id: str, edit: Edit, stamp: Stamp) -> bool:
        """Forget an entity and its history, once `edit` has seen it; whether there was anything."""
        return await self._write(tenant, stamp, lambda job: job.purge(plain(entity_id), edit))

    async def history(
        self, tenant: str, entity_id: str, start: tuple[int, int] | None, limit: int
    ) -> list[Archived]:
        """Load states of an id, the newest first, from a number and revision on."""
        place = (ENDLESS, ENDLESS) if start is None else start
        rows = await self._database.fetch(HISTORY, tenant, plain(entity_id), *place, limit)
        return [Archived(row[0], entity_of(tuple(row)), bool(row[13])) for row in rows]

    async def resolve(self, tenant: str, alias: str) -> str | None:
        """Tell which entity an alias leads to."""
        rows = await self._database.fetch(_OWNER, tenant, plain(alias))
        return rows[0][0] if rows else None

    async def _write(self, tenant: str, stamp: Stamp, work: Callable[[Job], Awaitable[T]]) -> T:
        done = await self._database.write(
            lambda session: work(Job(session, tenant, stamp, self._schemas))
        )
        self._told()
        return done

    async def get(self, tenant: str, entity_id: str) -> Entity | None:
        """Load one entity."""
        rows = await self._database.fetch(GET, tenant, plain(entity_id))
        return entity_of(tuple(rows[0])) if rows else None

    async def some(self, tenant: str, ids: Sequence[str]) -> list[Entity]:
        """Load those of the ids that there are, in any order."""
        rows = await self._database.fetch(_SOME, tenant, list(ids))
        return [entity_of(tuple(row)) for row in rows]

    async def page(
        self, tenant: str, selection: Selection, after: int, limit: int
    ) -> list[tuple[int, Entity]]:
        """Load at most `limit` entities made after the one with number `after`, with numbers."""
        asked = [plain(value) for value in (selection.tag, selection.type) if value is not None]
        statement = page_statement(selection)
        rows = await self._database.fetch(statement, tenant, after, limit, *asked)
        return [(row[0], entity_of(tuple(row))) for row in rows]

    async def newest(self, tenant: str, limit: int) -> list[Entity]:
        """Load the entities that were made last, the newest first."""
        rows = await self._database.fetch(_NEWEST, tenant, limit)
        return [entity_of(tuple(row)) for row in rows]

    async def totals(self, tenant: str) -> Totals:
        """Count entities, types and tags."""
        return Totals(*(await self._database.fetch(_TOTALS, tenant))[0])

    async def by_type(self, tenant: str, limit: int) -> list[Count]:
        """Count entities by type, the largest first."""
        return [Count(*row) for row in await self._database.fetch(_BY_TYPE, tenant, limit)]

    async def by_tag(self, tenant: str, limit: int) -> list[Count]:
        """Count entities by tag, the largest first."""
        return [Count(*row) for row in await self._database.fetch(_BY_TAG, tenant, limit)]

    async def growth(self, tenant: str, since: int, width: int) -> tuple[int, dict[int, int]]:
        """Count entities made before `since`, and later by stretches of `width`; microseconds."""
        before = "SELECT count(*) FROM entity WHERE tenant = $1 AND created_at < $2"

        async def job(session: Session) -> tuple[int, dict[int, int]]:
            earlier = await session.fetchval(before, tenant, since)
            rows = await session.fetch(_GROWTH, tenant, since, width)
            return int(earlier), {row[0]: row[1] for row in rows}

        return await self._database.read(job)


def page_statement(selection: Selection) -> str:
    """Write the statement that lists a selection; each has an index that gives its order."""
    if selection.tag is None:
        kind = "AND entity.entity_type = $4" if selection.type is not None else ""
        return " ".join((_PAGE, kind, "ORDER BY entity.number LIMIT $3"))
    kind = "AND entity.entity_type = $5" if selection.type is not None else ""
    return " ".join((_PAGE_BY_TAG, kind, "ORDER BY entity_tag.number LIMIT $3"))
