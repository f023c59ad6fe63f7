"""Declared types in either engine: single statements, written once for both."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

import msgspec

from nexus_gateway.studio.intelligence.errors import BadSchema, Problem
from nexus_gateway.studio.intelligence.types.models import TYPES, DeclaredType

if TYPE_CHECKING:
    from nexus_gateway.studio.intelligence.models import Stamp
    from nexus_gateway.studio.intelligence.types.models import Declaration
    from nexus_gateway.studio.storage.engine import Engine, Row

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = "name, description, attributes, revision, created_at, updated_at, updated_by"
_SELECT = " ".join(("SELECT", _COLUMNS, "FROM entity_type WHERE tenant = $1"))
_GET = " ".join((_SELECT, "AND name = $2"))
_PAGE = " ".join((_SELECT, "AND name > $2 ORDER BY name LIMIT $3"))
_DECLARE = f"""
    INSERT INTO entity_type (tenant, name, description, attributes, digest, revision,
        created_at, updated_at, updated_by)
    SELECT $1, $2, CAST($3 AS TEXT), $4, $5, 1, CAST($6 AS BIGINT), CAST($6 AS BIGINT), $7
    WHERE (SELECT count(*) FROM entity_type WHERE tenant = $1 AND name <> $2)
        < CAST($8 AS BIGINT)
    ON CONFLICT (tenant, name) DO UPDATE SET description = excluded.description,
        attributes = excluded.attributes, digest = excluded.digest,
        revision = entity_type.revision + 1,
        updated_at = excluded.updated_at, updated_by = excluded.updated_by
    WHERE entity_type.digest <> excluded.digest
        OR coalesce(entity_type.description, '') <> coalesce(excluded.description, '')
    RETURNING {_COLUMNS}
"""  # noqa: S608 - joined from constants
_UNDECLARE = "DELETE FROM entity_type WHERE tenant = $1 AND name = $2 RETURNING name"


class EngineTypes:
    """The `TypeStore` of a database, which its owner opens and closes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def declare(
        self, tenant: str, name: str, declaration: Declaration, digest: str, stamp: Stamp
    ) -> DeclaredType:
        """Keep a type as declared; one that is the same already stays as it is."""
        rows = await self._engine.command(
            _DECLARE,
            tenant,
            name,
            declaration.description,
            msgspec.json.encode(declaration.attributes).decode(),
            digest,
            (stamp.at - _EPOCH) // timedelta(microseconds=1),
            stamp.by,
            TYPES,
        )
        found = _type_of(rows[0]) if rows else await self.declared(tenant, name)
        if found is None:
            raise BadSchema([Problem("name", "count", f"a tenant declares at most {TYPES} types")])
        return found

    async def declared(self, tenant: str, name: str) -> DeclaredType | None:
        """Load a type."""
        rows = await self._engine.query(_GET, tenant, name)
        return _type_of(rows[0]) if rows else None

    async def declarations(self, tenant: str, after: str, limit: int) -> list[DeclaredType]:
        """Load types by name, from after a name on."""
        return [_type_of(row) for row in await self._engine.query(_PAGE, tenant, after, limit)]

    async def undeclare(self, tenant: str, name: str) -> bool:
        """Forget a type; whether there was one."""
        return bool(await self._engine.command(_UNDECLARE, tenant, name))


def _type_of(row: Row) -> DeclaredType:
    name, description, attributes, revision, created, updated, by = row
    return DeclaredType(
        name=str(name),
        description=None if description is None else str(description),
        attributes=msgspec.Raw(str(attributes).encode()),
        revision=cast("int", revision),
        created_at=_EPOCH + timedelta(microseconds=cast("int", created)),
        updated_at=_EPOCH + timedelta(microseconds=cast("int", updated)),
        updated_by=str(by),
    )
