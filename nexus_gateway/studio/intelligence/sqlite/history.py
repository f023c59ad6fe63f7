"""What entities were: reads of the history, the newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from nexus_gateway.studio.intelligence.sqlite.rows import COLUMNS, Row, entity_of
from nexus_gateway.studio.intelligence.store import Archived

if TYPE_CHECKING:
    import sqlite3

    from nexus_gateway.studio.intelligence.models import Entity

_PAST = COLUMNS.replace("entity.", "entity_history.")
_HISTORY = " ".join(
    (
        "SELECT * FROM (SELECT",
        COLUMNS,
        ", 0 AS deleted FROM entity WHERE tenant = :tenant AND entity_id = :entity_id",
        "UNION ALL SELECT",
        _PAST,
        ", deleted FROM entity_history WHERE tenant = :tenant AND entity_id = :entity_id)",
        "WHERE (number, revision) <= (:number, :revision)",
        "ORDER BY number DESC, revision DESC LIMIT :limit",
    )
)
_LAST = " ".join(
    (
        "SELECT",
        _PAST,
        "FROM entity_history WHERE tenant = ? AND entity_id = ? AND deleted = 1",
        "ORDER BY number DESC, revision DESC LIMIT 1",
    )
)
ENDLESS = (1 << 63) - 1
"""A number beyond all others."""


def last(connection: sqlite3.Connection, tenant: str, entity_id: str) -> tuple[int, Entity] | None:
    """Load what was deleted last under an id, with its number."""
    row: Row | None = connection.execute(_LAST, (tenant, entity_id)).fetchone()
    return None if row is None else (row[0], entity_of(row))


def past(
    connection: sqlite3.Connection,
    tenant: str,
    entity_id: str,
    start: tuple[int, int] | None,
    limit: int,
) -> list[Archived]:
    """Load states from a number and revision on, backwards."""
    number, revision = (ENDLESS, ENDLESS) if start is None else start
    names = {
        "tenant": tenant,
        "entity_id": entity_id,
        "number": number,
        "revision": revision,
        "limit": limit,
    }
    rows = connection.execute(_HISTORY, names)
    return [Archived(row[0], entity_of(cast("Row", row)), bool(row[13])) for row in rows]
