"""Live queries in either relational database: single statements, written once for both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.storage.engine import struct_of

if TYPE_CHECKING:
    from nexus_gateway.studio.storage.engine import Engine

MOST = 100
"""Live queries of one tenant."""

_COLUMNS = "query_id, question, created_by, created_at, expires_at"
_PUT = f"""
    INSERT INTO live_query (tenant, query_id, question, created_by, created_at, expires_at)
    SELECT $1, $2, $3, $4, CAST($5 AS BIGINT), CAST($6 AS BIGINT)
    WHERE (SELECT count(*) FROM live_query
        WHERE tenant = $1 AND query_id <> $2 AND expires_at > CAST($5 AS BIGINT)
    ) < CAST($7 AS BIGINT)
    ON CONFLICT (tenant, query_id) DO UPDATE SET expires_at =
        CASE WHEN live_query.expires_at > excluded.expires_at
        THEN live_query.expires_at ELSE excluded.expires_at END
    RETURNING {_COLUMNS}
"""  # noqa: S608 - joined from constants
_OF = f"""
    SELECT {_COLUMNS} FROM live_query WHERE tenant = $1 ORDER BY created_at, query_id
"""  # noqa: S608 - as above
_GET = f"SELECT {_COLUMNS} FROM live_query WHERE tenant = $1 AND query_id = $2"  # noqa: S608
_END = "DELETE FROM live_query WHERE tenant = $1 AND query_id = $2 RETURNING query_id"
_EXPIRE = """
    DELETE FROM live_query WHERE tenant = $1 AND query_id = $2 AND expires_at <= $3
    RETURNING query_id
"""
_TENANTS = "SELECT DISTINCT tenant FROM live_query"


class Kept(msgspec.Struct, frozen=True):
    """A live query as it is kept; times are microseconds since 1970, the question is JSON."""

    query_id: str
    question: str
    created_by: str
    created_at: int
    expires_at: int


class LiveQueryStore:
    """The live queries of every tenant, in an engine that its owner opens and closes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def put(self, tenant: str, draft: Kept) -> Kept | None:
        """Keep a query, or keep it longer; None where the tenant has `MOST` others."""
        values = msgspec.structs.astuple(draft)
        rows = await self._engine.command(_PUT, tenant, *values, MOST)
        return struct_of(Kept, rows[0]) if rows else None

    async def of(self, tenant: str) -> list[Kept]:
        """Load all of a tenant, also those that are over."""
        return [struct_of(Kept, row) for row in await self._engine.query(_OF, tenant)]

    async def get(self, tenant: str, query_id: str) -> Kept | None:
        """Load one."""
        rows = await self._engine.query(_GET, tenant, query_id)
        return struct_of(Kept, rows[0]) if rows else None

    async def end(self, tenant: str, query_id: str) -> bool:
        """Forget one; whether there was one."""
        return bool(await self._engine.command(_END, tenant, query_id))

    async def expire(self, tenant: str, query_id: str, now: int) -> bool:
        """Forget one if it is over; whether it was."""
        return bool(await self._engine.command(_EXPIRE, tenant, query_id, now))

    async def tenants(self) -> set[str]:
        """Tell who has any."""
        return {str(row[0]) for row in await self._engine.query(_TENANTS)}
