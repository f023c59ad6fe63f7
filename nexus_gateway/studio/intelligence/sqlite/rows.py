"""Entities as rows: how one is read, written, and indexed by its tags and words.

These are jobs: they run on the database's threads, within its transactions.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias, cast

import msgspec

from nexus_gateway.studio.intelligence.models import Entity

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from nexus_gateway.studio.intelligence.store import Edit

Row: TypeAlias = "tuple[int, str, str, str | None, str, str, int, int, int]"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BODY = 4096
"""Characters of an entity's attributes that search sees."""

_tags_of = msgspec.json.Decoder(tuple[str, ...])
_attributes_of = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode

COLUMNS = (
    "entity.number, entity.entity_id, entity.entity_type, entity.name, entity.tags,"
    " entity.attributes, entity.created_at, entity.updated_at, entity.revision"
)
SELECT = " ".join(("SELECT", COLUMNS, "FROM entity"))
GET = " ".join((SELECT, "WHERE tenant = ? AND entity_id = ?"))
_INSERT = (
    "INSERT INTO entity (tenant, entity_id, entity_type, name, tags, attributes,"
    " created_at, updated_at, revision) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_UPDATE = (
    "UPDATE entity SET entity_type = ?, name = ?, tags = ?, attributes = ?, updated_at = ?,"
    " revision = ? WHERE number = ?"
)
_INSERT_TAG = "INSERT INTO entity_tag (tenant, tag, number) VALUES (?, ?, ?)"
_DELETE_TAGS = "DELETE FROM entity_tag WHERE number = ?"
_ADD_TOTAL = (
    "INSERT INTO tag_total (tenant, tag, total) VALUES (?, ?, ?)"
    " ON CONFLICT DO UPDATE SET total = total + excluded.total"
)
_DELETE_TOTAL = "DELETE FROM tag_total WHERE tenant = ? AND tag = ? AND total = 0"
_INSERT_TEXT = "INSERT INTO entity_text (rowid, entity_id, name, tags, body) VALUES (?, ?, ?, ?, ?)"
_DELETE_TEXT = "DELETE FROM entity_text WHERE rowid = ?"
_NUMBERED = " ".join(
    (SELECT, "JOIN json_each(?) AS wanted ON entity.number = wanted.value ORDER BY wanted.key")
)


def numbered(connection: sqlite3.Connection, numbers: Iterable[int]) -> list[tuple[int, Entity]]:
    """Load entities by number, in the order of the numbers."""
    rows = connection.execute(_NUMBERED, (_encode(list(numbers)).decode(),))
    return [(row[0], entity_of(row)) for row in rows]


def change(
    connection: sqlite3.Connection, tenant: str, edits: Sequence[tuple[str, Edit]]
) -> list[tuple[Entity | None, Entity | None]]:
    """Apply edits in order: read, edit, and write back where it is another; before and after."""
    tags: Counter[str] = Counter()
    changes = [_change(connection, tenant, entity_id, edit, tags) for entity_id, edit in edits]
    _count(connection, tenant, tags)
    return changes


def _change(
    connection: sqlite3.Connection, tenant: str, entity_id: str, edit: Edit, tags: Counter[str]
) -> tuple[Entity | None, Entity | None]:
    row: Row | None = connection.execute(GET, (tenant, entity_id)).fetchone()
    before = None if row is None else entity_of(row)
    after = edit(before)
    if after is before:
        return before, after
    if row is not None and before is not None:
        connection.execute(_DELETE_TEXT, (row[0],))
        connection.execute(_DELETE_TAGS, (row[0],))
        tags.subtract(before.tags)
    if after is not None:
        number = _insert(connection, tenant, after) if row is None else row[0]
        if row is not None:
            _update(connection, number, after)
        _index(connection, tenant, number, after)
        tags.update(after.tags)
    elif row is not None:
        connection.execute("DELETE FROM entity WHERE number = ?", (row[0],))
    return before, after


def _count(connection: sqlite3.Connection, tenant: str, tags: Counter[str]) -> None:
    """Keep the totals of tags, once for all edits: a batch names most tags many times."""
    connection.executemany(_ADD_TOTAL, [(tenant, tag, more) for tag, more in tags.items() if more])
    fewer = [(tenant, tag) for tag, more in tags.items() if more < 0]
    connection.executemany(_DELETE_TOTAL, fewer)


def _insert(connection: sqlite3.Connection, tenant: str, entity: Entity) -> int:
    cursor = connection.execute(
        _INSERT,
        (
            tenant,
            entity.entity_id,
            entity.entity_type,
            entity.name,
            _encode(entity.tags).decode(),
            bytes(entity.attributes).decode(),
            micros(entity.created_at),
            micros(entity.updated_at),
            entity.revision,
        ),
    )
    return cursor.lastrowid or 0


def _update(connection: sqlite3.Connection, number: int, entity: Entity) -> None:
    connection.execute(
        _UPDATE,
        (
            entity.entity_type,
            entity.name,
            _encode(entity.tags).decode(),
            bytes(entity.attributes).decode(),
            micros(entity.updated_at),
            entity.revision,
            number,
        ),
    )


def _index(connection: sqlite3.Connection, tenant: str, number: int, entity: Entity) -> None:
    connection.executemany(_INSERT_TAG, [(tenant, tag, number) for tag in entity.tags])
    connection.execute(
        _INSERT_TEXT,
        (
            number,
            entity.entity_id,
            entity.name,
            " ".join(entity.tags),
            " ".join(_words(_attributes_of.decode(entity.attributes)))[:BODY],
        ),
    )


def _words(value: object) -> Iterable[str]:
    """Yield the texts within a JSON value; numbers and keys are not searched."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in cast("dict[str, object]", value).values():
            yield from _words(item)
    elif isinstance(value, list):
        for item in cast("list[object]", value):
            yield from _words(item)


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
    )


def micros(moment: datetime) -> int:
    """Write a time as it is stored: microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)
