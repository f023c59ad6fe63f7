"""The `SearchStore` of a PostgreSQL database: `tsvector` for words, a table of vectors beside.

A version is the id of the transaction that wrote a row. What commits later may have a lower one, so
changes are asked for from the oldest transaction on that was under way when they were last told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_gateway.studio.intelligence.postgres.words import plain, question
from nexus_gateway.studio.intelligence.search.pgvector import Near
from nexus_gateway.studio.intelligence.search.store import Changes, Mark, Pending, Seen
from nexus_gateway.studio.intelligence.sqlite.history import ENDLESS
from nexus_gateway.studio.intelligence.sqlite.rows import COLUMNS, entity_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_gateway.studio.intelligence.models import Entity
    from nexus_gateway.studio.intelligence.search.store import Comparison
    from nexus_gateway.studio.storage.postgres import Postgres, Session

_CHANGES = """
    SELECT entity_vector.version, entity_vector.number, entity.entity_type, entity.tags,
        CASE WHEN entity_vector.model = $2 THEN entity_vector.vector END AS vector
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
# Weights of D, C, B and A; 1 tempers the advantage of long texts.
_BEST = """
    SELECT number FROM entity, CAST($2::text AS tsquery) AS asked
    WHERE words @@ asked AND tenant = $1 {among}
    ORDER BY ts_rank('{{0.1, 0.1, 0.4, 1.0}}', words, asked, 1) DESC, number DESC LIMIT $3
"""
_BEST_OF_ALL = _BEST.format(among="")
_BEST_AMONG = _BEST.format(among="AND number = ANY($4)")
_EXACT = (
    "SELECT number FROM entity WHERE tenant = $1 AND entity_id = $2"
    " UNION ALL SELECT number FROM entity_alias WHERE tenant = $1 AND alias = $2"
    " UNION ALL (SELECT number FROM entity, CAST($3::text AS tsquery) AS asked"
    " WHERE words @@ asked AND tenant = $1 AND lower(name) = lower($2) LIMIT $4)"
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
            seen = [Seen(row[1], row[2], row[3] or "[]", row[4]) for row in rows]
            # Of several parts the first one's view decides where the next look begins.
            again = oldest if mark.again == 0 else mark.again
            if len(rows) < limit:
                return Changes(seen, Mark(again - 1, ENDLESS), complete=True)
            return Changes(seen, Mark(rows[-1][0], rows[-1][1], again), complete=False)

        return await self._database.read(job)

    async def matching(self, tenant: str, text: str) -> list[int]:
        """Find the entities with all words of a text."""
        words = question(text)
        if words is None:
            return []
        found = await self._database.fetch(_MATCHING, tenant, words)
        return found[0][0] or []

    async def best(
        self, tenant: str, text: str, numbers: Sequence[int] | None, limit: int
    ) -> list[int]:
        """Find the best matches of a text's words, among some numbers or all; the best first."""
        words = question(text)
        if words is None:
            return []
        if numbers is None:
            rows = await self._database.fetch(_BEST_OF_ALL, tenant, words, limit)
        else:
            rows = await self._database.fetch(_BEST_AMONG, tenant, words, limit, list(numbers))
        return [row[0] for row in rows]

    async def best_named(self, tenant: str, text: str, limit: int) -> list[int]:
        """Find the best of those that have the words in their id, aliases, name or tags."""
        words = question(text, weights="AB")
        if words is None:
            return []
        rows = await self._database.fetch(_BEST_OF_ALL, tenant, words, limit)
        return [row[0] for row in rows]

    async def exact(self, tenant: str, text: str, limit: int) -> list[int]:
        """Find entities whose id, alias or name is the text; of names, in any case of letters."""
        words = question(text, weights="A")
        rows = await self._database.fetch(_EXACT, tenant, plain(text), words, limit)
        return list(dict.fromkeys(row[0] for row in rows))

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
