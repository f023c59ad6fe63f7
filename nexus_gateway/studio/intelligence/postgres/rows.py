"""Entities as rows of PostgreSQL: what is loaded, locked and written with one statement a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from nexus_gateway.studio.intelligence.models import Entity
from nexus_gateway.studio.intelligence.postgres.words import vector
from nexus_gateway.studio.intelligence.sqlite.rows import COLUMNS, SELECT, entity_of, micros
from nexus_gateway.studio.storage.engine import Value
from nexus_gateway.studio.storage.postgres import MET, Raced

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable

    from nexus_gateway.studio.storage.postgres import Postgres, Session

_encode = msgspec.json.Encoder().encode

Past: TypeAlias = "tuple[int, Entity, bool]"
"""A state for the history: the number, what it was, and whether it says that it was deleted."""


class New(msgspec.Struct, frozen=True):
    """A new entity, and its record for the outbox, whose key is its id."""

    tenant: str
    entity: Entity
    told: Sequence[Value]


GET = " ".join((SELECT, "WHERE tenant = $1 AND entity_id = $2"))
_LOCK = " ".join(
    (SELECT, "WHERE tenant = $1 AND entity_id = ANY($2) ORDER BY entity_id FOR UPDATE")
)
_GIVEN = """
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
        $7::bigint[], $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::text[],
        $13::text[], $14::text[])
        WITH ORDINALITY AS given(tenant, entity_id, entity_type, name, tags, attributes, created_at,
        updated_at, revision, aliases, source, created_by, updated_by, words, place)
"""
# Not where an alias has its id, nor where its type says what it has to be.
_FREE = """
    WHERE NOT EXISTS (SELECT FROM entity_alias
            WHERE entity_alias.tenant = given.tenant AND alias = given.entity_id)
        AND NOT EXISTS (SELECT FROM entity_type AS declared
            WHERE declared.tenant = given.tenant AND declared.name = given.entity_type)
"""
# In one statement, since each costs a round trip: new entities, their tags, what search is to hear
# of them, and the totals of their tags. The totals come of what was made, so they are written after
# it.
_MADE = """
    made AS (
        INSERT INTO entity (tenant, entity_id, entity_type, name, tags, attributes, created_at,
            updated_at, revision, aliases, source, created_by, updated_by, words)
        SELECT tenant, entity_id, entity_type, name, tags, attributes, created_at, updated_at,
            revision, aliases, source, created_by, updated_by, words::tsvector
        FROM given ORDER BY place
        ON CONFLICT (tenant, entity_id) DO NOTHING
        RETURNING tenant, number, entity_id, tags
    ), worn AS (
        SELECT tenant, tag, number FROM made, json_array_elements_text(tags::json) AS tag
    ), tagged AS (
        INSERT INTO entity_tag (tenant, tag, number) SELECT tenant, tag, number FROM worn
    ), told AS (
        INSERT INTO entity_vector (tenant, number) SELECT tenant, number FROM made
    ), counted AS (
        INSERT INTO tag_total (tenant, tag, total)
        SELECT tenant, tag, count(*) FROM worn WHERE $15 GROUP BY tenant, tag ORDER BY tenant, tag
        ON CONFLICT (tenant, tag) DO UPDATE SET total = tag_total.total + excluded.total
    )
"""
_INSERT = f"WITH given AS ({_GIVEN}), {_MADE} SELECT number, entity_id FROM made"  # noqa: S608
_CREATE = f"""
    WITH given AS ({_GIVEN} {_FREE}), {_MADE}, announced AS (
        INSERT INTO outbox (topic, tenant, kind, row_key, payload, at)
        SELECT record.* FROM made JOIN unnest($16::text[], $17::text[], $18::text[], $19::text[],
            $20::text[], $21::bigint[]) AS record(topic, tenant, kind, row_key, payload, at)
            ON record.tenant = made.tenant AND record.row_key = made.entity_id
        ORDER BY made.number
    )
    SELECT tenant, entity_id FROM made
"""  # noqa: S608 - texts of ours
_RESTORE = """
    INSERT INTO entity (number, tenant, entity_id, entity_type, name, tags, attributes, created_at,
        updated_at, revision, aliases, source, created_by, updated_by, words)
    OVERRIDING SYSTEM VALUE
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15::text::tsvector)
    ON CONFLICT (tenant, entity_id) DO NOTHING
    RETURNING number
"""
_UPDATE = """
    UPDATE entity SET entity_type = given.entity_type, name = given.name, tags = given.tags,
        attributes = given.attributes, updated_at = given.updated_at, revision = given.revision,
        aliases = given.aliases, source = given.source, updated_by = given.updated_by,
        words = given.words::tsvector
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[],
        $7::bigint[], $8::text[], $9::text[], $10::text[], $11::text[]) AS given(number,
        entity_type, name, tags, attributes, updated_at, revision, aliases, source, updated_by,
        words)
    WHERE entity.number = given.number
"""
_REINDEX = """
    UPDATE entity SET words = given.words::tsvector
    FROM unnest($1::bigint[], $2::text[]) AS given(number, words)
    WHERE entity.number = given.number
"""
_ARCHIVE = """
    INSERT INTO entity_history (tenant, number, entity_id, entity_type, name, tags, attributes,
        created_at, updated_at, revision, aliases, source, created_by, updated_by, deleted)
    SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
        $7::text[], $8::bigint[], $9::bigint[], $10::bigint[], $11::text[], $12::text[],
        $13::text[], $14::text[], $15::int[])
"""
_INSERT_TAGS = """
    INSERT INTO entity_tag (tenant, tag, number)
    SELECT $1, tag, number FROM unnest($2::text[], $3::bigint[]) AS given(tag, number)
"""
_INSERT_ALIASES = """
    INSERT INTO entity_alias (tenant, alias, number)
    SELECT $1, alias, number FROM unnest($2::text[], $3::bigint[]) AS given(alias, number)
    ON CONFLICT DO NOTHING RETURNING alias
"""
_ADD_TOTALS = """
    INSERT INTO tag_total (tenant, tag, total)
    SELECT $1, tag, more FROM unnest($2::text[], $3::bigint[]) AS given(tag, more) ORDER BY tag
    ON CONFLICT (tenant, tag) DO UPDATE SET total = tag_total.total + excluded.total
"""
_DELETE_TOTALS = "DELETE FROM tag_total WHERE tenant = $1 AND tag = ANY($2) AND total = 0"
_RENEW = """
    INSERT INTO entity_vector (tenant, number)
    SELECT $1, number FROM unnest($2::bigint[]) AS given(number)
    ON CONFLICT (number) DO UPDATE SET version = excluded.version, model = NULL, vector = NULL
"""
_RETIRE = """
    UPDATE entity_vector
    SET version = pg_current_xact_id()::text::bigint, model = NULL, vector = ''
    WHERE number = ANY($1)
"""
_HISTORY = " ".join(
    (
        "SELECT * FROM (SELECT",
        COLUMNS,
        ", 0 AS deleted FROM entity WHERE tenant = $1 AND entity_id = $2",
        "UNION ALL SELECT",
        COLUMNS.replace("entity.", "entity_history."),
        ", deleted FROM entity_history WHERE tenant = $1 AND entity_id = $2) AS state",
    )
)
HISTORY = " ".join(
    (
        _HISTORY,
        "WHERE (number, revision) <= ($3, $4) ORDER BY number DESC, revision DESC LIMIT $5",
    )
)


async def lock(session: Session, tenant: str, ids: Iterable[str]) -> dict[str, tuple[int, Entity]]:
    """Load entities with their numbers, and keep others from changing them.

    In the order of the ids, so that no two batches wait for each other.
    """
    rows = await session.fetch(_LOCK, tenant, sorted(set(ids)))
    return {row[1]: (row[0], entity_of(tuple(row))) for row in rows}


async def insert(
    session: Session, tenant: str, entities: Sequence[Entity], *, counted: bool
) -> dict[str, int]:
    """Write new entities with their tags, and what search is to hear of.

    With `counted` also the totals of the tags: late in a transaction then, since others with these
    tags wait from here on, and where `count` does not follow, since they might wait for each other.

    Returns:
        their numbers.

    Raises:
        Raced: another transaction made one of them meanwhile.
    """
    new = _new([tenant] * len(entities), entities)
    rows = await session.fetch(_INSERT, *new, counted)
    if len(rows) < len(entities):
        raise Raced
    return {row[1]: row[0] for row in rows}


async def create(database: Postgres, new: Sequence[New]) -> list[bool]:
    """Write new entities and their records for the outbox in one statement; whether each was kept.

    One is not where anything has its id or says what it has to be: then it takes a transaction.
    This way takes none: others with these tags wait for one statement only, and not until we hear
    of it and commit.

    Raises:
        StorageUnavailable: as with `Postgres.write`.
    """
    # Of two with one id the second is not kept, and its record must not be either.
    first: dict[tuple[str, str], New] = {}
    for one in new:
        first.setdefault((one.tenant, one.entity.entity_id), one)
    tenants = [tenant for tenant, _ in first]
    entities = [one.entity for one in first.values()]
    told = [list(column) for column in zip(*(one.told for one in first.values()), strict=True)]
    counted = True
    try:
        rows = await database.fetch(_CREATE, *_new(tenants, entities), counted, *told)
    except MET:
        return [False] * len(new)
    kept = {id(first[row[0], row[1]]) for row in rows}
    return [id(one) in kept for one in new]


def _new(tenants: list[str], entities: Sequence[Entity]) -> tuple[object, ...]:
    return (tenants, *_columns(entities), [vector(one) for one in entities])


async def insert_numbered(session: Session, tenant: str, number: int, entity: Entity) -> None:
    """Write an entity under the number that it had.

    Raises:
        Raced: another transaction made one of its id meanwhile.
    """
    values = [column[0] for column in _columns([entity])]
    if not await session.fetch(_RESTORE, number, tenant, *values, vector(entity)):
        raise Raced


async def update(session: Session, numbers: dict[str, int], entities: Sequence[Entity]) -> None:
    """Put states in the place of others."""
    _, types, names, tags, attributes, _, updated, revisions, aliases, sources, _, by = _columns(
        entities
    )
    owners = [numbers[entity.entity_id] for entity in entities]
    words = [vector(entity) for entity in entities]
    await session.execute(
        _UPDATE, owners, types, names, tags, attributes, updated, revisions, aliases, sources, by,
        words,
    )  # fmt: skip


async def reindex(session: Session, entities: Sequence[tuple[int, Entity]]) -> None:
    """Replace the terms of entities that are found by older ones."""
    numbers = [number for number, _ in entities]
    words = [vector(entity) for _, entity in entities]
    await session.execute(_REINDEX, numbers, words)


async def archive(session: Session, tenant: str, states: Sequence[Past]) -> None:
    """Write states into the history."""
    columns = _columns([entity for _, entity, _ in states])
    numbers = [number for number, _, _ in states]
    deleted = [int(buried) for _, _, buried in states]
    await session.execute(_ARCHIVE, tenant, numbers, *columns, deleted)


async def unindex(session: Session, numbers: Sequence[int]) -> None:
    """Forget the tags and aliases of entities."""
    await session.execute("DELETE FROM entity_tag WHERE number = ANY($1)", numbers)
    await session.execute("DELETE FROM entity_alias WHERE number = ANY($1)", numbers)


async def index(
    session: Session, tenant: str, numbers: dict[str, int], entities: Sequence[Entity]
) -> None:
    """Let entities be found by their tags.

    Those that are new are already: `insert` sees to it.
    """
    pairs = [(tag, numbers[one.entity_id]) for one in entities for tag in one.tags]
    if pairs:
        await session.execute(_INSERT_TAGS, tenant, *zip(*pairs, strict=True))


async def lead(
    session: Session, tenant: str, numbers: dict[str, int], entities: Sequence[Entity]
) -> None:
    """Let the aliases of entities lead to them.

    Raises:
        Raced: another transaction took one of the aliases meanwhile.
    """
    pairs = [(alias, numbers[one.entity_id]) for one in entities for alias in one.aliases]
    if pairs:
        kept = await session.fetch(_INSERT_ALIASES, tenant, *zip(*pairs, strict=True))
        if len(kept) < len(pairs):
            raise Raced


async def renew(session: Session, tenant: str, numbers: Sequence[int]) -> None:
    """Let search hear of entities that are new or changed."""
    if numbers:
        await session.execute(_RENEW, tenant, numbers)


async def retire(session: Session, numbers: Sequence[int]) -> None:
    """Let search hear of entities that are gone."""
    await session.execute(_RETIRE, numbers)


async def count(session: Session, tenant: str, totals: Counter[str]) -> None:
    """Keep the totals of tags; last, since other transactions with these tags wait from here on."""
    changed = {tag: more for tag, more in totals.items() if more}
    if changed:
        await session.execute(_ADD_TOTALS, tenant, list(changed), list(changed.values()))
    fewer = [tag for tag, more in changed.items() if more < 0]
    if fewer:
        await session.execute(_DELETE_TOTALS, tenant, fewer)


def _columns(entities: Sequence[Entity]) -> tuple[list[object], ...]:
    """Turn entities into columns, in the order of `_INSERT`."""
    return (
        [entity.entity_id for entity in entities],
        [entity.entity_type for entity in entities],
        [entity.name for entity in entities],
        [_encode(entity.tags).decode() for entity in entities],
        [bytes(entity.attributes).decode() for entity in entities],
        [micros(entity.created_at) for entity in entities],
        [micros(entity.updated_at) for entity in entities],
        [entity.revision for entity in entities],
        [_encode(entity.aliases).decode() for entity in entities],
        [entity.source for entity in entities],
        [entity.created_by for entity in entities],
        [entity.updated_by for entity in entities],
    )
