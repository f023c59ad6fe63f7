"""The `SearchStore` of a PostgreSQL database: `tsvector` for words, a table of vectors beside.

A version is the id of the transaction that wrote a row. What commits later may have a lower one, so
changes are asked for from the oldest transaction on that was under way when they were last told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_gateway.studio.intelligence.postgres.rows import reindex
from nexus_gateway.studio.intelligence.postgres.words import exactly, plain, question
from nexus_gateway.studio.intelligence.search.pgvector import Near
from nexus_gateway.studio.intelligence.search.store import Changes, Mark, Pending, Seen
from nexus_gateway.studio.intelligence.sqlite.history import ENDLESS
from nexus_gateway.studio.intelligence.sqlite.rows import COLUMNS, SELECT, entity_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_gateway.studio.intelligence.models import Entity
    from nexus_gateway.studio.intelligence.search.analyser import Phrase
    from nexus_gateway.studio.intelligence.search.store import Comparison
    from nexus_gateway.studio.storage.postgres import Postgres, Session

_CHANGES = """
    SELECT entity_vector.version, entity_vector.number, entity.entity_type, entity.tags,
        CASE WHEN entity_vector.model = $2 THEN entity_vector.vector END AS vector,
        length(coalesce(entity.name, entity.entity_id)), length(entity.attributes)
    FROM entity_vector LEFT JOIN entity ON entity.number = entity_vector.number
    WHERE entity_vector.tenant = $1
        AND (entity_vector.version, entity_vector.number) > ($3, $4)
    ORDER BY entity_vector.version, entity_vector.number LIMIT $5
"""
_OLDEST = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
_MATCHING = (
    "SELECT array_agg(number) FROM entity, CAST($2::text AS tsquery) AS asked"
    " WHERE words @@ asked AND tenant = $1"
)
_EXACT = (
    "SELECT number FROM entity, CAST($2::text AS tsquery) AS asked"
    " WHERE words @@ asked AND tenant = $1 ORDER BY number DESC LIMIT $3"
)
_NUMBERS_OF = "SELECT entity_id, number FROM entity WHERE tenant = $1 AND entity_id = ANY($2)"
_NUMBERED = " ".join(
    (
        "SELECT",
        COLUMNS,
        "FROM entity JOIN unnest($2::bigint[]) WITH ORDINALITY AS wanted(number, place)",
        "USING (number) WHERE entity.tenant = $1 ORDER BY wanted.place",
    )
)
_PENDING = " ".join(
    (
        "SELECT",
        COLUMNS,
        ", entity_vector.tenant, entity_vector.version FROM entity_vector",
        "JOIN entity ON entity.number = entity_vector.number",
        "WHERE entity_vector.vector IS NULL AND entity_vector.number > $1",
        "ORDER BY entity_vector.number LIMIT $2",
    )
)
_STATE = "SELECT version, done, target FROM search_index"
_RESTART = "UPDATE search_index SET version = $1, done = 0, target = $2"
_OLDER = " ".join(
    (
        SELECT,
        "WHERE entity.number > $1 AND entity.number <= $2 ORDER BY entity.number LIMIT $3",
        "FOR UPDATE",
    )
)
_KEEP = """
    UPDATE entity_vector SET version = pg_current_xact_id()::text::bigint, model = $1,
        vector = given.vector
    FROM unnest($2::bigint[], $3::bigint[], $4::bytea[]) AS given(number, version, vector)
    WHERE entity_vector.number = given.number AND entity_vector.version = given.version
        AND entity_vector.vector IS NULL
"""
# Of a future transaction are rows that were brought here from another server.
_OTHERS = """
    UPDATE entity_vector SET version = pg_current_xact_id()::text::bigint,
        model = CASE WHEN model = $1 THEN model END,
        vector = CASE WHEN model = $1 OR vector = '' THEN vector END
    WHERE number IN (
        SELECT number FROM entity_vector
        WHERE (length(vector) > 0 AND model <> $1)
            OR version > pg_snapshot_xmax(pg_current_snapshot())::text::bigint
        LIMIT $2 FOR UPDATE SKIP LOCKED
    )
"""


class PostgresSearch:
    """Finds entities in a PostgreSQL database, which its owner opens and closes."""

    def __init__(self, database: Postgres) -> None:
        self._database = database
        self._near = Near(database)

    async def changes(self, tenant: str, mark: Mark, model: str, limit: int) -> Changes:
        """Tell what changed since a mark; vectors of other models are left out."""

        async def job(session: Session) -> Changes:
            oldest: int = await session.fetchval(_OLDEST)
            place = (mark.version, mark.number)
            rows = await session.fetch(_CHANGES, tenant, model, *place, limit)
            seen = [
                Seen(row[1], row[2], row[3] or "[]", row[4], row[5] or 0, row[6] or 0)
                for row in rows
            ]
            # Of several parts the first one's view decides where the next look begins.
            again = oldest if mark.again == 0 else mark.again
            if len(rows) < limit:
                return Changes(seen, Mark(again - 1, ENDLESS), complete=True)
            return Changes(seen, Mark(rows[-1][0], rows[-1][1], again), complete=False)

        return await self._database.read(job)

    async def matching(
        self, tenant: str, phrases: Sequence[Phrase], *, named: bool = False
    ) -> list[int]:
        """Find the entities with all phrases."""
        if not phrases:
            return []
        words = question(phrases, weights="A" if named else "")
        found = await self._database.fetch(_MATCHING, tenant, words)
        return found[0][0] or []

    async def exact(self, tenant: str, key: str, limit: int) -> list[int]:
        """Find entities whose id, name or alias has a key of the analyser; the youngest first."""
        rows = await self._database.fetch(_EXACT, tenant, exactly(key), limit)
        return [row[0] for row in rows]

    async def nearest(self, tenant: str, asked: Comparison) -> list[tuple[int, float]] | None:
        """Find the entities whose vectors are nearest, where the database has pgvector."""
        return await self._near.nearest(tenant, asked)

    async def numbers_of(self, tenant: str, ids: Sequence[str]) -> dict[str, int]:
        """Tell the numbers of entities; those that are not there are left out."""
        rows = await self._database.fetch(_NUMBERS_OF, tenant, [plain(one) for one in ids])
        return {row[0]: row[1] for row in rows}

    async def numbered(self, tenant: str, numbers: Sequence[int]) -> list[tuple[int, Entity]]:
        """Load a tenant's entities by number, in the order of the numbers."""
        rows = await self._database.fetch(_NUMBERED, tenant, list(numbers))
        return [(row[0], entity_of(tuple(row))) for row in rows]

    async def pending(self, after: int, limit: int) -> list[Pending]:
        """Load entities of any tenant whose vector is to be made, numbered beyond one."""
        rows = await self._database.fetch(_PENDING, after, limit)
        return [Pending(row[0], row[13], row[14], entity_of(tuple(row)[:13])) for row in rows]

    async def keep(self, model: str, made: Sequence[tuple[Pending, bytes]]) -> None:
        """Keep vectors of entities that are still as they were."""
        numbers = [one.number for one, _ in made]
        versions = [one.version for one, _ in made]
        vectors = [vector for _, vector in made]

        beside = await self._near.there()

        async def job(session: Session) -> None:
            await session.execute(_KEEP, model, numbers, versions, vectors)
            if beside:
                await self._near.keep(session, model, numbers, vectors)

        await self._database.write(job)

    async def forget_others(self, model: str, limit: int) -> int:
        """Let vectors that another model made be made anew, so many at most; how many."""

        async def job(session: Session) -> int:
            done = await session.execute(_OTHERS, model, limit)
            return int(done.split()[-1])

        return await self._database.write(job) or await self._near.forget_without(limit)

    async def reindex(self, version: int, limit: int) -> int:
        """Analyse entities again that are indexed by an older version, so many at most."""

        async def job(session: Session) -> int:
            known, done, target = (await session.fetch(f"{_STATE} FOR UPDATE"))[0]
            if known < version:
                target = await session.fetchval("SELECT coalesce(max(number), 0) FROM entity")
                done = 0
                await session.execute(_RESTART, version, target)
            rows = await session.fetch(_OLDER, done, target, limit)
            if not rows:
                await session.execute("UPDATE search_index SET done = target")
                return 0
            found = [(row[0], entity_of(tuple(row))) for row in rows]
            await reindex(session, found)
            await session.execute("UPDATE search_index SET done = $1", found[-1][0])
            return int(target - found[-1][0])

        # Nothing is locked where nothing is to do, which is nearly always.
        known, done, target = (await self._database.fetch(_STATE))[0]
        if known >= version and done >= target:
            return 0
        return await self._database.write(job)
