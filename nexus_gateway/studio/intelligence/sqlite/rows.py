"""Entities as rows: how one is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TypeAlias

import msgspec

from nexus_gateway.studio.intelligence.models import Entity

Row: TypeAlias = (
    "tuple[int, str, str, str | None, str, str, int, int, int, str, str | None, str, str]"
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_tags_of = msgspec.json.Decoder(tuple[str, ...])
_encode = msgspec.json.Encoder().encode

COLUMNS = (
    "entity.number, entity.entity_id, entity.entity_type, entity.name, entity.tags,"
    " entity.attributes, entity.created_at, entity.updated_at, entity.revision, entity.aliases,"
    " entity.source, entity.created_by, entity.updated_by"
)
SELECT = " ".join(("SELECT", COLUMNS, "FROM entity"))
GET = " ".join((SELECT, "WHERE tenant = ? AND entity_id = ?"))


def entity_of(row: Row) -> Entity:
    """Read an entity out of a row with `COLUMNS`."""
    return Entity(
        entity_id=row[1],
        entity_type=row[2],
        name=row[3],
        tags=_tags_of.decode(row[4]),
        attributes=msgspec.Raw(row[5]),
        created_at=EPOCH + timedelta(microseconds=row[6]),
        updated_at=EPOCH + timedelta(microseconds=row[7]),
        revision=row[8],
        aliases=() if row[9] == "[]" else _tags_of.decode(row[9]),
        source=row[10],
        created_by=row[11],
        updated_by=row[12],
    )


@lru_cache(maxsize=64)
def micros(moment: datetime) -> int:
    """Write a time as it is stored: microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)
