"""Vectors compared by PostgreSQL itself, where a database has the extension pgvector.

A gateway compares vectors in its own memory, which is faster. This is for tenants whose vectors do
not fit there. A column of the extension's type stands beside the bytes; it is made at the first
use, so that the extension may be created at any time. All are compared, as in memory: no index that
finds most, and would have to be made for each model's dimensions.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from nexus_gateway.studio.intelligence.postgres.words import plain

if TYPE_CHECKING:
    from nexus_gateway.studio.intelligence.search.store import Comparison
    from nexus_gateway.studio.storage.postgres import Postgres, Session

_logger = logging.getLogger(__name__)

_EXTENSION = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')"
_COLUMN = (
    "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'entity_vector'::regclass"
    " AND attname = 'near' AND NOT attisdropped)"
)
_OWNED = "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'entity_vector'::regclass"
_ADD = "ALTER TABLE entity_vector ADD COLUMN IF NOT EXISTS near vector"
# Vectors from before the extension are made anew, a part at a time.
_WITHOUT = """
    UPDATE entity_vector SET version = pg_current_xact_id()::text::bigint, model = NULL,
        vector = NULL
    WHERE number IN (
        SELECT number FROM entity_vector WHERE length(vector) > 0 AND near IS NULL
        LIMIT $1 FOR UPDATE SKIP LOCKED
    )
"""
_KEEP = """
    UPDATE entity_vector SET near = given.near::vector
    FROM unnest($2::bigint[], $3::text[]) AS given(number, near)
    WHERE entity_vector.number = given.number AND entity_vector.model = $1
"""
_NEAREST = """
    SELECT number, 1 - distance AS cosine FROM (
        SELECT entity.number, entity_vector.near <=> $3::text::vector AS distance
        FROM entity_vector JOIN entity ON entity.number = entity_vector.number
        WHERE entity_vector.tenant = $1 AND entity_vector.model = $2
            AND vector_dims(entity_vector.near) = $8
            AND ($4::text IS NULL OR entity.entity_type = $4)
            AND (SELECT count(*) FROM entity_tag WHERE entity_tag.number = entity.number
                AND entity_tag.tag = ANY($5::text[])) = cardinality($5::text[])
        OFFSET 0
    ) AS compared
    WHERE 1 - distance >= $6 ORDER BY distance, number DESC LIMIT $7
"""


class Near:
    """The column of vectors that PostgreSQL compares, in a database that its owner opens."""

    def __init__(self, database: Postgres) -> None:
        self._database = database
        self._there: bool | None = None

    async def there(self) -> bool:
        """Tell whether there is such a column; where there can be one, it is made."""
        if self._there is None:
            self._there = await self._prepared()
        return self._there

    async def forget_without(self, limit: int) -> int:
        """Let vectors that are not in the column be made anew, so many at most; how many."""
        if not await self.there():
            return 0

        async def job(session: Session) -> int:
            return int((await session.execute(_WITHOUT, limit)).split()[-1])

        return await self._database.write(job)

    async def keep(
        self, session: Session, model: str, numbers: list[int], vectors: list[bytes]
    ) -> None:
        """Write vectors beside their bytes, in the same transaction."""
        await session.execute(_KEEP, model, numbers, [_written(vector) for vector in vectors])

    async def nearest(self, tenant: str, asked: Comparison) -> list[tuple[int, float]] | None:
        """Find the entities whose vectors are nearest; None where they cannot be compared here."""
        if not await self.there():
            return None
        if not any(asked.vector):
            return []
        rows = await self._database.fetch(
            _NEAREST,
            tenant,
            asked.model,
            _written(asked.vector),
            None if asked.kind is None else plain(asked.kind),
            [plain(tag) for tag in dict.fromkeys(asked.tags)],
            asked.floor,
            asked.limit,
            len(asked.vector),
        )
        return [(row[0], row[1]) for row in rows]

    async def _prepared(self) -> bool:
        if not (await self._database.fetch(_EXTENSION))[0][0]:
            return False
        if (await self._database.fetch(_COLUMN))[0][0]:
            return True
        if not (await self._database.fetch(_OWNED))[0][0]:
            _logger.warning("pgvector is not used: entity_vector is another role's table")
            return False
        await self._database.fetch(_ADD)
        return True


def _written(vector: bytes) -> str:
    """Write a vector as pgvector reads it; one of zeros is like nothing there, too."""
    return str(memoryview(vector).cast("b").tolist())
