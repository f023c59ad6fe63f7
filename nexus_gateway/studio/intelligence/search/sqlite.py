"""The `SearchStore` of a SQLite file: FTS5 for words, a table of vectors and versions beside.

Terms come from the analyser that both databases share. They are quoted and bound, since FTS5 has a
syntax of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.intelligence.search.store import Changes, Mark, Pending, Seen
from nexus_gateway.studio.intelligence.sqlite import writes
from nexus_gateway.studio.intelligence.sqlite.rows import COLUMNS, SELECT, Row, entity_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from nexus_gateway.studio.intelligence.models import Entity
    from nexus_gateway.studio.intelligence.search.analyser import Phrase
    from nexus_gateway.studio.intelligence.search.store import Comparison
    from nexus_gateway.studio.storage.sqlite import Database

_encode = msgspec.json.Encoder().encode
_numbers = msgspec.json.Decoder(list[int]).decode

CHANGES = """
    SELECT entity_vector.version, entity_vector.number, entity.entity_type, entity.tags,
        CASE WHEN entity_vector.model = :model THEN entity_vector.vector END,
        length(coalesce(entity.name, entity.entity_id)), length(entity.attributes)
    FROM entity_vector LEFT JOIN entity ON entity.number = entity_vector.number
    WHERE entity_vector.tenant = :tenant
        AND (entity_vector.version, entity_vector.number) > (:version, :number)
    ORDER BY entity_vector.version, entity_vector.number LIMIT :limit
"""
_MATCHING = "SELECT json_group_array(rowid) FROM entity_terms WHERE entity_terms MATCH ?"
EXACT = (
    "SELECT entity.number FROM entity_terms"
    " CROSS JOIN entity ON entity.number = entity_terms.rowid"
    " WHERE entity_terms MATCH :words AND entity.tenant = :tenant"
    " ORDER BY entity.number DESC LIMIT :limit"
)
NUMBERS_OF = (
    "SELECT entity.entity_id, entity.number FROM json_each(?) AS wanted"
    " CROSS JOIN entity ON entity.tenant = ? AND entity.entity_id = wanted.value"
)
NUMBERED = " ".join(
    (
        "SELECT",
        COLUMNS,
        "FROM json_each(?) AS wanted CROSS JOIN entity ON entity.number = wanted.value",
        "WHERE entity.tenant = ? ORDER BY wanted.key",
    )
)
PENDING = " ".join(
    (
        "SELECT",
        COLUMNS,
        ", entity_vector.tenant, entity_vector.version FROM entity_vector",
        "CROSS JOIN entity ON entity.number = entity_vector.number",
        "WHERE entity_vector.vector IS NULL AND entity_vector.number > ?",
        "ORDER BY entity_vector.number LIMIT ?",
    )
)
_KEEP = (
    "UPDATE entity_vector SET version = ?, model = ?, vector = ? WHERE number = ? AND version = ?"
)
_STATE = "SELECT version, done, target FROM search_index"
_RESTART = "UPDATE search_index SET version = ?, done = 0, target = ?"
OLDER = " ".join(
    (SELECT, "WHERE entity.number > ? AND entity.number <= ? ORDER BY entity.number LIMIT ?")
)
VERSION = "SELECT coalesce(max(version), 0) + 1 FROM entity_vector WHERE tenant = ?"
_OTHERS = """
    UPDATE entity_vector SET model = NULL, vector = NULL
    WHERE number IN (
        SELECT number FROM entity_vector WHERE length(vector) > 0 AND model <> ? LIMIT ?
    )
"""


class SqliteSearch:
    """Finds entities in a SQLite file, which its owner opens and closes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def changes(self, tenant: str, mark: Mark, model: str, limit: int) -> Changes:
        """Tell what changed since a mark; vectors of other models are left out."""
        names = {
            "tenant": tenant,
            "model": model,
            "version": mark.version,
            "number": mark.number,
            "limit": limit,
        }
        rows = await self._database.read(
            lambda connection: connection.execute(CHANGES, names).fetchall()
        )
        seen = [
            Seen(number, kind, tags or "[]", vector, title or 0, size or 0)
            for _, number, kind, tags, vector, title, size in rows
        ]
        following = Mark(rows[-1][0], rows[-1][1]) if rows else mark
        return Changes(seen, following, complete=len(rows) < limit)

    async def matching(
        self,
        tenant: str,  # noqa: ARG002 - the index of terms is one for all
        phrases: Sequence[Phrase],
        *,
        named: bool = False,
    ) -> list[int]:
        """Find the entities with all phrases, with other tenants' among them."""
        if not phrases:
            return []
        asked = match_expression(phrases)
        words = f"names : ({asked})" if named else asked
        found = await self._database.read(
            lambda connection: connection.execute(_MATCHING, (words,)).fetchone()
        )
        return _numbers(found[0])

    async def exact(self, tenant: str, key: str, limit: int) -> list[int]:
        """Find entities whose id, name or alias has a key of the analyser; the youngest first."""
        names = {"tenant": tenant, "words": f'keys : "{key}"', "limit": limit}
        found = await self._database.read(
            lambda connection: connection.execute(EXACT, names).fetchall()
        )
        return [row[0] for row in found]

    async def nearest(self, tenant: str, asked: Comparison) -> list[tuple[int, float]] | None:  # noqa: ARG002
        """Compare no vectors: SQLite does not."""
        return None

    async def numbers_of(self, tenant: str, ids: Sequence[str]) -> dict[str, int]:
        """Tell the numbers of entities; those that are not there are left out."""
        wanted = (_encode(ids).decode(), tenant)
        return await self._database.read(
            lambda connection: dict(connection.execute(NUMBERS_OF, wanted).fetchall())
        )

    async def numbered(self, tenant: str, numbers: Sequence[int]) -> list[tuple[int, Entity]]:
        """Load a tenant's entities by number, in the order of the numbers."""
        wanted = (_encode(numbers).decode(), tenant)

        def job(connection: sqlite3.Connection) -> list[tuple[int, Entity]]:
            return [(row[0], entity_of(row)) for row in connection.execute(NUMBERED, wanted)]

        return await self._database.read(job)

    async def pending(self, after: int, limit: int) -> list[Pending]:
        """Load entities of any tenant whose vector is to be made, numbered beyond one."""

        def job(connection: sqlite3.Connection) -> list[Pending]:
            found: list[Pending] = []
            for row in connection.execute(PENDING, (after, limit)):
                entity: Row = row[:13]
                found.append(Pending(row[0], row[13], row[14], entity_of(entity)))
            return found

        return await self._database.read(job)

    async def keep(self, model: str, made: Sequence[tuple[Pending, bytes]]) -> None:
        """Keep vectors of entities that are still as they were."""

        def job(connection: sqlite3.Connection) -> None:
            tenants = {one.tenant for one, _ in made}
            versions = {
                tenant: connection.execute(VERSION, (tenant,)).fetchone()[0] for tenant in tenants
            }
            values = [
                (versions[one.tenant], model, vector, one.number, one.version)
                for one, vector in made
            ]
            connection.executemany(_KEEP, values)

        await self._database.write(job)

    async def forget_others(self, model: str, limit: int) -> int:
        """Let vectors that another model made be made anew, so many at most; how many."""
        return await self._database.write(
            lambda connection: connection.execute(_OTHERS, (model, limit)).rowcount
        )

    async def reindex(self, version: int, limit: int) -> int:
        """Analyse entities again that are indexed by an older version, so many at most."""

        def job(connection: sqlite3.Connection) -> int:
            known, done, target = connection.execute(_STATE).fetchone()
            if known < version:
                newest = connection.execute("SELECT max(number) FROM entity").fetchone()[0]
                done, target = 0, newest or 0
                connection.execute(_RESTART, (version, target))
            rows = connection.execute(OLDER, (done, target, limit)).fetchall()
            if not rows:
                connection.execute("UPDATE search_index SET done = target")
                return 0
            writes.reindex(connection, [(row[0], entity_of(row)) for row in rows])
            connection.execute("UPDATE search_index SET done = ?", (rows[-1][0],))
            return int(target - rows[-1][0])

        # The writer is not asked where nothing is to do, which is nearly always.
        known, done, target = await self._database.read(
            lambda connection: connection.execute(_STATE).fetchone()
        )
        if known >= version and done >= target:
            return 0
        return await self._database.write(job)


def match_expression(phrases: Sequence[Phrase]) -> str:
    """Write phrases in FTS5's syntax: every phrase quoted, all of them needed.

    >>> from nexus_gateway.studio.intelligence.search.analyser import phrases
    >>> match_expression(phrases("python3 AND x-y"))
    '"python3" AND "and" AND "x y" *'
    """
    return " AND ".join(
        f'"{" ".join(phrase.terms)}"' + (" *" if phrase.prefix else "") for phrase in phrases
    )
