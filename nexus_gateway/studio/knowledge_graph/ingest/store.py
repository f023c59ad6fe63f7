"""Ingests in the relational database, whichever it is: their parts, and the lines refused."""

from __future__ import annotations

import zlib
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.knowledge_graph.ingest.models import Draft, Part, Refusal
from nexus_gateway.studio.storage.engine import struct_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_gateway.studio.storage.engine import Engine, Row

_INSERT = """
    INSERT INTO graph_ingest (id, tenant, subject, ingest_key, digest, lines, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT DO NOTHING RETURNING id
"""
_BY_KEY = "SELECT id, digest, created_at FROM graph_ingest WHERE tenant = $1 AND ingest_key = $2"
_GET = """
    SELECT id, tenant, subject, ingest_key, digest, lines FROM graph_ingest
    WHERE tenant = $1 AND id = $2
"""
_INSERT_PART = """
    INSERT INTO graph_ingest_part (ingest_id, part, first_line, size, phase, content)
    VALUES ($1, $2, $3, $4, 0, $5)
"""
_PARTS = "SELECT part FROM graph_ingest_part WHERE ingest_id = $1 AND phase = $2 ORDER BY part"
_PART = """
    SELECT part, first_line, phase, content FROM graph_ingest_part
    WHERE ingest_id = $1 AND part = $2
"""
_HALF = "UPDATE graph_ingest_part SET phase = 1 WHERE ingest_id = $1 AND part = $2"
_WHOLE = "DELETE FROM graph_ingest_part WHERE ingest_id = $1 AND part = $2"
_REFUSE = """
    INSERT INTO graph_ingest_refusal (ingest_id, line, reason, content) VALUES {given}
    ON CONFLICT DO NOTHING
"""
_REFUSALS = """
    SELECT line, reason, content FROM graph_ingest_refusal
    WHERE ingest_id = $1 AND line > $2 ORDER BY line LIMIT $3
"""
_REFUSED = "SELECT count(*) FROM graph_ingest_refusal WHERE ingest_id = $1"
_PENDING = "SELECT coalesce(sum(size), 0) FROM graph_ingest_part"
_FORGET = "DELETE FROM graph_ingest WHERE id = $1"
# What has no job was never accepted, or its job is forgotten.
_PRUNE = """
    DELETE FROM graph_ingest WHERE created_at < $1
        AND NOT EXISTS (SELECT 1 FROM job WHERE job.id = graph_ingest.id)
"""

TOGETHER = 500
"""Refused lines that one statement keeps."""


class IngestStore:
    """Ingests of every tenant, in an engine that its owner opens and closes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def open(self, draft: Draft, moment: int) -> bool:
        """Begin an ingest; whether it is new: of one tenant and key there is one."""
        values = (draft.id, draft.tenant, draft.subject, draft.key, draft.digest, draft.lines)
        return bool(await self._engine.command(_INSERT, *values, moment))

    async def named(self, tenant: str, key: str) -> tuple[str, str, int] | None:
        """Find the ingest that a tenant has named so: its id, its digest, when it was begun."""
        rows = await self._engine.query(_BY_KEY, tenant, key)
        return msgspec.convert(rows[0], tuple[str, str, int]) if rows else None

    async def get(self, tenant: str, ingest: str) -> Draft | None:
        """Load an ingest, its parts apart."""
        rows = await self._engine.query(_GET, tenant, ingest)
        if not rows:
            return None
        return struct_of(Draft, rows[0])

    async def add_part(self, ingest: str, number: int, first: int, packed: bytes) -> None:
        """Keep a part, as `pack` made it."""
        await self._engine.command(_INSERT_PART, ingest, number, first, len(packed), packed)

    async def parts(self, ingest: str, phase: int) -> list[int]:
        """List the parts in a phase."""
        return [_number(row) for row in await self._engine.query(_PARTS, ingest, phase)]

    async def unfinished(self, ingest: str) -> bool:
        """Tell whether some parts are not in the graph yet."""
        return bool(await self.parts(ingest, 0) or await self.parts(ingest, 1))

    async def part(self, ingest: str, number: int) -> Part | None:
        """Load a part, still packed; None where it is in the graph."""
        rows = await self._engine.query(_PART, ingest, number)
        return struct_of(Part, rows[0]) if rows else None

    async def half(self, ingest: str, number: int) -> None:
        """Note that a part's nodes are in the graph."""
        await self._engine.command(_HALF, ingest, number)

    async def whole(self, ingest: str, number: int) -> None:
        """Forget a part that is in the graph."""
        await self._engine.command(_WHOLE, ingest, number)

    async def refuse(self, ingest: str, refusals: Sequence[Refusal]) -> None:
        """Keep refused lines; one that is kept already stays as it is."""
        waiting = iter(refusals)
        while some := list(islice(waiting, TOGETHER)):
            values = [value for one in some for value in (one.line, one.reason, one.content)]
            given = (f"($1, ${n}, ${n + 1}, ${n + 2})" for n in range(2, 3 * len(some) + 2, 3))
            await self._engine.command(_REFUSE.format(given=", ".join(given)), ingest, *values)

    async def refusals(self, ingest: str, after: int, limit: int) -> list[Refusal]:
        """List refused lines after one, in their order."""
        rows = await self._engine.query(_REFUSALS, ingest, after, limit)
        return [struct_of(Refusal, row) for row in rows]

    async def refused(self, ingest: str) -> int:
        """Count refused lines."""
        return _number((await self._engine.query(_REFUSED, ingest))[0])

    async def pending(self) -> int:
        """Tell how many bytes wait, of all tenants."""
        return _number((await self._engine.query(_PENDING))[0])

    async def forget(self, ingest: str) -> None:
        """Forget an ingest with all that belongs to it."""
        await self._engine.command(_FORGET, ingest)

    async def prune(self, before: int) -> None:
        """Forget ingests that nobody waits for and that were begun before a moment."""
        await self._engine.command(_PRUNE, before)


def pack(content: bytes) -> bytes:
    """Compress a part; JSON lines take a tenth of their size then."""
    return zlib.compress(content, 1)


def unpack(part: Part) -> bytes:
    """Read a part's lines."""
    return zlib.decompress(part.content)


def _number(row: Row) -> int:
    # PostgreSQL sums to a decimal.
    return int(str(row[0]))
