"""Entities as rows: how they are written, and indexed by their tags, aliases and words.

Each function writes many rows at once: one statement for all of them costs a fraction of one each.
These are parts of jobs: they run on the writer's thread, within its transaction.
"""

from __future__ import annotations

from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from nexus_gateway.studio.intelligence.search.document import document
from nexus_gateway.studio.intelligence.sqlite.rows import micros

if TYPE_CHECKING:
    import sqlite3
    from collections import Counter
    from collections.abc import Mapping, Sequence

    from nexus_gateway.studio.intelligence.models import Entity, Stamp

Numbered: TypeAlias = "tuple[int, Entity]"

TOGETHER = 100
"""Rows that one statement inserts."""

_encode = msgspec.json.Encoder().encode

_INSERT = (
    "INSERT INTO entity (number, tenant, entity_id, entity_type, name, tags, attributes,"
    " created_at, updated_at, revision, aliases, source, created_by, updated_by)"
)
_UPDATE = (
    "UPDATE entity SET entity_type = ?, name = ?, tags = ?, attributes = ?, updated_at = ?,"
    " revision = ?, aliases = ?, source = ?, updated_by = ? WHERE number = ?"
)
_INSERT_TAG = "INSERT INTO entity_tag (tenant, tag, number)"
_INSERT_ALIAS = "INSERT INTO entity_alias (tenant, alias, number) VALUES (?, ?, ?)"
_ADD_TOTAL = (
    "INSERT INTO tag_total (tenant, tag, total) VALUES (?, ?, ?)"
    " ON CONFLICT DO UPDATE SET total = total + excluded.total"
)
_DELETE_TOTAL = "DELETE FROM tag_total WHERE tenant = ? AND tag = ? AND total = 0"
_INSERT_TEXT = "INSERT INTO entity_terms (rowid, keys, names, tags, body) VALUES (?, ?, ?, ?, ?)"
_INSERT_VECTOR = "INSERT INTO entity_vector (number, tenant, version, vector)"
_INSERT_NEW_VECTORS = (
    "INSERT INTO entity_vector (number, tenant, version)"
    " SELECT number, tenant, ? FROM entity WHERE number >= ? AND tenant = ? ORDER BY number"
)
_RENEW = (
    " ON CONFLICT (number) DO UPDATE SET version = excluded.version, model = NULL,"
    " vector = excluded.vector"
)
_VERSION = "SELECT coalesce(max(version), 0) + 1 FROM entity_vector WHERE tenant = ?"
_DELETE_TEXT = "DELETE FROM entity_terms WHERE rowid = ?"
_UNINDEX = (
    _DELETE_TEXT,
    "DELETE FROM entity_alias WHERE number = ?",
)
_DELETE_TAG = "DELETE FROM entity_tag WHERE tenant = ? AND tag = ? AND number = ?"
_ARCHIVE = """
    INSERT INTO entity_history (number, revision, tenant, entity_id, entity_type, name, tags,
        attributes, created_at, updated_at, aliases, source, created_by, updated_by, deleted)
    SELECT number, revision, tenant, entity_id, entity_type, name, tags,
        attributes, created_at, updated_at, aliases, source, created_by, updated_by, 0
    FROM entity WHERE number = ?
"""
_BURY = """
    INSERT INTO entity_history (number, revision, tenant, entity_id, entity_type, name, tags,
        attributes, created_at, updated_at, aliases, source, created_by, updated_by, deleted)
    SELECT number, revision + 1, tenant, entity_id, entity_type, name, tags,
        attributes, created_at, ?, aliases, source, created_by, ?, 1
    FROM entity WHERE number = ?
"""


def next_number(connection: sqlite3.Connection) -> int:
    """Tell the number of the next entity; only the transaction that asks uses it."""
    statement = "SELECT seq FROM sqlite_sequence WHERE name = 'entity'"
    row = connection.execute(statement).fetchone()
    return 1 if row is None else int(row[0]) + 1


def next_version(connection: sqlite3.Connection, tenant: str) -> int:
    """Tell the version of what a transaction changes for search."""
    return int(connection.execute(_VERSION, (tenant,)).fetchone()[0])


def renew(
    connection: sqlite3.Connection, tenant: str, version: int, changed: Mapping[int, bool]
) -> None:
    """Let search hear of entities by number: of those that are there, and that others are gone."""
    values = [
        (number, tenant, version, None if there else b"") for number, there in changed.items()
    ]
    _insert_all(connection, _INSERT_VECTOR, values, _RENEW)


def renew_new(connection: sqlite3.Connection, tenant: str, version: int, first: int) -> None:
    """Let search hear of all entities from a number on: those that this transaction has made.

    One statement reads the numbers where they are; a value for each would cost twice the time.
    """
    connection.execute(_INSERT_NEW_VECTORS, (version, first, tenant))


def insert(connection: sqlite3.Connection, tenant: str, entities: Sequence[Numbered]) -> None:
    """Write entities that are not there yet, and index them."""
    _insert_all(connection, _INSERT, [_inserted(tenant, *entity) for entity in entities])
    index(connection, tenant, entities)


def update(
    connection: sqlite3.Connection, tenant: str, number: int, before: Entity, entity: Entity
) -> None:
    """Put a state in the place of another, which goes to the history."""
    connection.execute(_ARCHIVE, (number,))
    values = (
        entity.entity_type,
        entity.name,
        _encode(entity.tags).decode(),
        bytes(entity.attributes).decode(),
        micros(entity.updated_at),
        entity.revision,
        _encode(entity.aliases).decode(),
        entity.source,
        entity.updated_by,
        number,
    )
    connection.execute(_UPDATE, values)
    _unindex(connection, tenant, number, before)
    index(connection, tenant, [(number, entity)])


def bury(
    connection: sqlite3.Connection, tenant: str, number: int, before: Entity, stamp: Stamp
) -> None:
    """Delete an entity; the history keeps what it was, and that it was deleted."""
    connection.execute(_ARCHIVE, (number,))
    connection.execute(_BURY, (micros(stamp.at), stamp.by, number))
    erase(connection, tenant, number, before)


def erase(connection: sqlite3.Connection, tenant: str, number: int, before: Entity) -> None:
    """Delete an entity, whatever the history has."""
    _unindex(connection, tenant, number, before)
    connection.execute("DELETE FROM entity WHERE number = ?", (number,))


def index(connection: sqlite3.Connection, tenant: str, entities: Sequence[Numbered]) -> None:
    """Let entities be found by their tags, aliases and words."""
    # In the order of the index: neighbours are written together.
    tags = sorted((tenant, tag, number) for number, entity in entities for tag in entity.tags)
    _insert_all(connection, _INSERT_TAG, tags)
    aliases = [(tenant, alias, number) for number, entity in entities for alias in entity.aliases]
    if aliases:
        connection.executemany(_INSERT_ALIAS, aliases)
    # FTS5 is flushed before each statement of several rows: one row each is cheaper there.
    connection.executemany(_INSERT_TEXT, [_text(*entity) for entity in entities])


def reindex(connection: sqlite3.Connection, entities: Sequence[Numbered]) -> None:
    """Replace the terms of entities that are found by older ones."""
    connection.executemany(_DELETE_TEXT, [(number,) for number, _ in entities])
    connection.executemany(_INSERT_TEXT, [_text(*entity) for entity in entities])


def count(connection: sqlite3.Connection, tenant: str, tags: Counter[str]) -> None:
    """Keep the totals of tags, once for all changes: a batch names most tags many times."""
    connection.executemany(_ADD_TOTAL, [(tenant, tag, more) for tag, more in tags.items() if more])
    fewer = [(tenant, tag) for tag, more in tags.items() if more < 0]
    connection.executemany(_DELETE_TOTAL, fewer)


def _insert_all(
    connection: sqlite3.Connection,
    head: str,
    rows: Sequence[tuple[object, ...]],
    tail: str = "",
) -> None:
    """Insert rows, many by one statement.

    With a statement for each, the interpreter's lock would be let go and waited for with each row,
    and an import's reading and writing would keep each other waiting.
    """
    whole = len(rows) - len(rows) % TOGETHER
    for start in range(0, whole, TOGETHER):
        part = rows[start : start + TOGETHER]
        statement = _several(head, len(part[0]), TOGETHER, tail)
        connection.execute(statement, list(chain.from_iterable(part)))
    if whole < len(rows):
        connection.executemany(_several(head, len(rows[0]), 1, tail), rows[whole:])


@cache
def _several(head: str, columns: int, rows: int, tail: str) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"{head} VALUES {', '.join([row] * rows)}{tail}"


def _unindex(connection: sqlite3.Connection, tenant: str, number: int, before: Entity) -> None:
    connection.executemany(_DELETE_TAG, [(tenant, tag, number) for tag in before.tags])
    for statement in _UNINDEX:
        connection.execute(statement, (number,))


def _inserted(tenant: str, number: int, entity: Entity) -> tuple[object, ...]:
    created = micros(entity.created_at)
    same = entity.updated_at is entity.created_at
    return (
        number,
        tenant,
        entity.entity_id,
        entity.entity_type,
        entity.name,
        _encode(entity.tags).decode(),
        bytes(entity.attributes).decode(),
        created,
        created if same else micros(entity.updated_at),
        entity.revision,
        _encode(entity.aliases).decode() if entity.aliases else "[]",
        entity.source,
        entity.created_by,
        entity.updated_by,
    )


def _text(number: int, entity: Entity) -> tuple[object, ...]:
    made = document(entity)
    return (number, made.keys, made.names, made.tags, made.body)
