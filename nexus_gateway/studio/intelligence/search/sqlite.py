"""The `SearchStore` of a SQLite file: FTS5 for words, a table of vectors and versions beside.

Words that users sent are quoted and bound, since FTS5 has a syntax of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.intelligence.search.store import Changes, Mark, Pending, Seen
from nexus_gateway.studio.intelligence.sqlite.rows import COLUMNS, Row, entity_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from nexus_gateway.studio.intelligence.models import Entity
    from nexus_gateway.studio.intelligence.search.store import Comparison
    from nexus_gateway.studio.storage.sqlite import Database

WORDS = 16
"""Words of a search that count; the rest is left out."""

_encode = msgspec.json.Encoder().encode
_numbers = msgspec.json.Decoder(list[int]).decode

CHANGES = """
    SELECT entity_vector.version, entity_vector.number, entity.entity_type, entity.tags,
        CASE WHEN entity_vector.model = :model THEN entity_vector.vector END
    FROM entity_vector LEFT JOIN entity ON entity.number = entity_vector.number
    WHERE entity_vector.tenant = :tenant
        AND (entity_vector.version, entity_vector.number) > (:version, :number)
    ORDER BY entity_vector.version, entity_vector.number LIMIT :limit
"""
_MATCHING = "SELECT json_group_array(rowid) FROM entity_text WHERE entity_text MATCH ?"
_BEST = """
    SELECT json_group_array(rowid) FROM (
        SELECT rowid FROM entity_text WHERE entity_text MATCH :words {among}
        ORDER BY bm25(entity_text, 10.0, 10.0, 4.0, 1.0), rowid DESC LIMIT :limit
    )
"""
_BEST_OF_ALL = _BEST.format(among="")
# `+` keeps the planner from looking up each number in the index of words.
BEST_AMONG = _BEST.format(among="AND +rowid IN (SELECT value FROM json_each(:numbers))")
BEST_NAMED = """
    SELECT json_group_array(number) FROM (
        SELECT entity.number FROM entity_text
        CROSS JOIN entity ON entity.number = entity_text.rowid
        WHERE entity_text MATCH :words AND entity.tenant = :tenant
        ORDER BY bm25(entity_text, 10.0, 10.0, 4.0, 1.0), entity.number DESC LIMIT :limit
    )
"""
EXACT_ID = (
    "SELECT number FROM entity WHERE tenant = :tenant AND entity_id = :text"
    " UNION ALL SELECT number FROM entity_alias WHERE tenant = :tenant AND alias = :text"
)
EXACT_NAME = (
    "SELECT entity.number FROM entity_text CROSS JOIN entity ON entity.number = entity_text.rowid"
    " WHERE entity_text MATCH :words AND entity.tenant = :tenant"
    " AND entity.name = :text COLLATE NOCASE LIMIT :limit"
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
        seen = [Seen(number, kind, tags or "[]", vector) for _, number, kind, tags, vector in rows]
        following = Mark(rows[-1][0], rows[-1][1]) if rows else mark
        return Changes(seen, following, complete=len(rows) < limit)

    async def matching(
        self,
        tenant: str,  # noqa: ARG002 - the index of words is one for all
        text: str,
    ) -> list[int]:
        """Find the entities with all words of a text, with other tenants' among them."""
        words = match_expression(text)
        if words is None:
            return []
        found = await self._database.read(
            lambda connection: connection.execute(_MATCHING, (words,)).fetchone()
        )
        return _numbers(found[0])

    async def best(
        self,
        tenant: str,  # noqa: ARG002 - the numbers are the tenant's
        text: str,
        numbers: Sequence[int] | None,
        limit: int,
    ) -> list[int]:
        """Find the best matches of a text's words, among some numbers or all; the best first."""
        words = match_expression(text)
        if words is None:
            return []
        names = {"words": words, "numbers": _encode(numbers or []).decode(), "limit": limit}
        statement = _BEST_OF_ALL if numbers is None else BEST_AMONG
        found = await self._database.read(
            lambda connection: connection.execute(statement, names).fetchone()
        )
        return _numbers(found[0])

    async def best_named(self, tenant: str, text: str, limit: int) -> list[int]:
        """Find the best of those that have the words in their id, aliases, name or tags."""
        words = match_expression(text)
        if words is None:
            return []
        names = {
            "tenant": tenant,
            "words": f"{{entity_id name tags}} : ({words})",
            "limit": limit,
        }
        found = await self._database.read(
            lambda connection: connection.execute(BEST_NAMED, names).fetchone()
        )
        return _numbers(found[0])

    async def exact(self, tenant: str, text: str, limit: int) -> list[int]:
        """Find entities whose id, alias or name is the text; of names, in any case of letters."""
        phrase = text.replace("\0", " ").replace('"', '""')
        names = {
            "tenant": tenant,
            "text": text,
            "words": f'name : ^ "{phrase}"',
            "limit": limit,
        }
        wordless = match_expression(text) is None

        def job(connection: sqlite3.Connection) -> list[int]:
            found = connection.execute(EXACT_ID, names).fetchall()
            found += [] if wordless else connection.execute(EXACT_NAME, names).fetchall()
            return list(dict.fromkeys(row[0] for row in found))

        return await self._database.read(job)

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


def match_expression(text: str) -> str | None:
    """Write a text as FTS5's syntax: every word quoted, all needed, the last as a beginning.

    None where there is no letter and no digit in it.

    >>> match_expression("python3 AND pip")
    '"python3" "AND" "pip"*'
    """
    words = [word for word in text.replace("\0", " ").split() if any(map(str.isalnum, word))]
    if not words:
        return None
    quoted = ['"' + word.replace('"', '""') + '"' for word in words[:WORDS]]
    return " ".join(quoted) + "*"
