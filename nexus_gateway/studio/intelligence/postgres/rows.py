"""Entities as rows of PostgreSQL: how many are changed with few statements.

All that edits touch is loaded and locked at once, in the order of the ids, so that no two batches
wait for each other; edits run upon it in memory; what is left at the end is written by one
statement a table, however many entities there are.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.intelligence.postgres.words import vector
from nexus_gateway.studio.intelligence.sqlite.rows import SELECT, entity_of, micros
from nexus_gateway.studio.storage.postgres import Raced

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nexus_gateway.studio.intelligence.models import Entity
    from nexus_gateway.studio.intelligence.store import Edit
    from nexus_gateway.studio.storage.postgres import Session

_encode = msgspec.json.Encoder().encode

GET = " ".join((SELECT, "WHERE tenant = $1 AND entity_id = $2"))
_LOCK = " ".join(
    (SELECT, "WHERE tenant = $1 AND entity_id = ANY($2) ORDER BY entity_id FOR UPDATE")
)
_NUMBERED = " ".join(
    (
        SELECT,
        "JOIN unnest($1::bigint[]) WITH ORDINALITY AS wanted(number, place) USING (number)",
        "ORDER BY wanted.place",
    )
)
_INSERT = """
    INSERT INTO entity (tenant, entity_id, entity_type, name, tags, attributes, created_at,
        updated_at, revision, words)
    SELECT $1, entity_id, entity_type, name, tags, attributes, created_at, updated_at, revision,
        words::tsvector
    FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[],
        $8::bigint[], $9::bigint[], $10::text[]) WITH ORDINALITY AS given(entity_id, entity_type,
        name, tags, attributes, created_at, updated_at, revision, words, place)
    ORDER BY place
    ON CONFLICT (tenant, entity_id) DO NOTHING
    RETURNING number, entity_id
"""
_UPDATE = """
    UPDATE entity SET entity_type = given.entity_type, name = given.name, tags = given.tags,
        attributes = given.attributes, updated_at = given.updated_at, revision = given.revision,
        words = given.words::tsvector
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[],
        $7::bigint[], $8::text[]) AS given(number, entity_type, name, tags, attributes,
        updated_at, revision, words)
    WHERE entity.number = given.number
"""
_INSERT_TAGS = """
    INSERT INTO entity_tag (tenant, tag, number)
    SELECT $1, tag, number FROM unnest($2::text[], $3::bigint[]) AS given(tag, number)
"""
_ADD_TOTALS = """
    INSERT INTO tag_total (tenant, tag, total)
    SELECT $1, tag, more FROM unnest($2::text[], $3::bigint[]) AS given(tag, more) ORDER BY tag
    ON CONFLICT (tenant, tag) DO UPDATE SET total = tag_total.total + excluded.total
"""
_DELETE_TOTALS = "DELETE FROM tag_total WHERE tenant = $1 AND tag = ANY($2) AND total = 0"


async def numbered(session: Session, numbers: Iterable[int]) -> list[tuple[int, Entity]]:
    """Load entities by number, in the order of the numbers."""
    rows = await session.fetch(_NUMBERED, list(numbers))
    return [(row[0], entity_of(tuple(row))) for row in rows]


async def change(
    session: Session, tenant: str, edits: Sequence[tuple[str, Edit]]
) -> list[tuple[Entity | None, Entity | None]]:
    """Apply edits in order: read, edit, and write back where it is another; before and after.

    Raises:
        Raced: another transaction made one of the entities meanwhile.
    """
    rows = await session.fetch(_LOCK, tenant, sorted({entity_id for entity_id, _ in edits}))
    numbers = {row[1]: row[0] for row in rows}
    stored = {row[1]: entity_of(tuple(row)) for row in rows}
    current: dict[str, Entity | None] = dict(stored)
    changes: list[tuple[Entity | None, Entity | None]] = []
    for entity_id, edit in edits:
        before = current.get(entity_id)
        current[entity_id] = after = edit(before)
        changes.append((before, after))
    await _write(session, tenant, numbers, stored, current)
    return changes


async def _write(
    session: Session,
    tenant: str,
    numbers: dict[str, int],
    stored: dict[str, Entity],
    wanted: dict[str, Entity | None],
) -> None:
    """Write what differs from what is stored."""
    changed = {key: entity for key, entity in wanted.items() if entity is not stored.get(key)}
    made = [entity for key, entity in changed.items() if entity and key not in stored]
    kept = [entity for key, entity in changed.items() if entity and key in stored]
    old = [key for key in changed if key in stored]
    if old:
        await session.execute(
            "DELETE FROM entity_tag WHERE number = ANY($1)", [numbers[key] for key in old]
        )
    if made:
        numbers = numbers | await _insert(session, tenant, made)
    if kept:
        await _update(session, numbers, kept)
    gone = [numbers[key] for key in old if changed[key] is None]
    if gone:
        await session.execute("DELETE FROM entity WHERE number = ANY($1)", gone)
    await _tag(session, tenant, numbers, [*made, *kept])
    totals = Counter(tag for entity in (*made, *kept) for tag in entity.tags)
    totals.subtract(tag for key in old for tag in stored[key].tags)
    await _count(session, tenant, totals)


async def _insert(session: Session, tenant: str, entities: list[Entity]) -> dict[str, int]:
    rows = await session.fetch(
        _INSERT,
        tenant,
        [entity.entity_id for entity in entities],
        [entity.entity_type for entity in entities],
        [entity.name for entity in entities],
        [_encode(entity.tags).decode() for entity in entities],
        [bytes(entity.attributes).decode() for entity in entities],
        [micros(entity.created_at) for entity in entities],
        [micros(entity.updated_at) for entity in entities],
        [entity.revision for entity in entities],
        [vector(entity) for entity in entities],
    )
    if len(rows) < len(entities):
        raise Raced
    return {row[1]: row[0] for row in rows}


async def _update(session: Session, numbers: dict[str, int], entities: list[Entity]) -> None:
    await session.execute(
        _UPDATE,
        [numbers[entity.entity_id] for entity in entities],
        [entity.entity_type for entity in entities],
        [entity.name for entity in entities],
        [_encode(entity.tags).decode() for entity in entities],
        [bytes(entity.attributes).decode() for entity in entities],
        [micros(entity.updated_at) for entity in entities],
        [entity.revision for entity in entities],
        [vector(entity) for entity in entities],
    )


async def _tag(
    session: Session, tenant: str, numbers: dict[str, int], entities: list[Entity]
) -> None:
    pairs = [(tag, numbers[entity.entity_id]) for entity in entities for tag in entity.tags]
    if pairs:
        tags, owners = zip(*pairs, strict=True)
        await session.execute(_INSERT_TAGS, tenant, tags, owners)


async def _count(session: Session, tenant: str, totals: Counter[str]) -> None:
    """Keep the totals of tags; last, since other transactions with these tags wait from here on."""
    changed = {tag: more for tag, more in totals.items() if more}
    if changed:
        await session.execute(_ADD_TOTALS, tenant, list(changed), list(changed.values()))
    fewer = [tag for tag, more in changed.items() if more < 0]
    if fewer:
        await session.execute(_DELETE_TOTALS, tenant, fewer)
