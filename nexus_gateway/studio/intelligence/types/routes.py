"""`/api/intelligence/entity-types`: the chains above, what they call below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_gateway import Claims, Code, Response, auth, body, delete, get, param, put, query
from nexus_gateway.studio.fields import AskedType
from nexus_gateway.studio.intelligence.routes import refuse, room, tenant_of
from nexus_gateway.studio.intelligence.types.models import (
    Declaration,
    DeclaredType,
    DeclaredTypes,
    TypeSelection,
)

if TYPE_CHECKING:
    from nexus_gateway import Filter, Routes
    from nexus_gateway.studio.intelligence.types.service import Types

BYTES = 128 << 10
"""Of a declaration; the schema itself is held to half of it."""

types = room / "entity-types"
NAME = param("name", AskedType)


def routes(service: Types, limited: Filter[()]) -> Routes:
    """List the routes of types; `limited` is asked of every caller once it is known."""
    on = EntityTypes(service)
    read = auth(scope="intelligence:read") & limited
    write = auth(scope="intelligence:write") & limited
    down: Code = "database_error"
    return (
        (types & get() & read & query(TypeSelection)).then(on.page, raises=[down])
        | (types / NAME & get() & read).then(on.show, raises=["not_found", down])
        | (types / NAME & put() & write & body(Declaration, max_bytes=BYTES)).then(
            on.declare, also=[201], raises=["validation_error", down]
        )
        | (types / NAME & delete() & write).then(on.remove, raises=["not_found", down])
    ).recover(refuse)


class EntityTypes:
    """The handlers: what HTTP says, as the service takes it, and back."""

    def __init__(self, service: Types) -> None:
        self._service = service

    async def page(self, claims: Claims, selection: TypeSelection) -> DeclaredTypes:
        """List the declared types by name."""
        after = selection.cursor or ""
        return await self._service.page(tenant_of(claims), after, selection.limit)

    async def show(self, name: str, claims: Claims) -> DeclaredType:
        """Get a declared type."""
        return await self._service.get(tenant_of(claims), name)

    async def declare(
        self, name: str, claims: Claims, declaration: Declaration
    ) -> Response[DeclaredType]:
        """Declare a type: what the attributes of its entities must be from now on.

        Entities that exist stay as they are until they are changed.
        """
        declared = await self._service.declare(tenant_of(claims), name, declaration, claims.subject)
        return Response(declared, 201 if declared.revision == 1 else 200)

    async def remove(self, name: str, claims: Claims) -> None:
        """Let entities of a type have any attributes again."""
        await self._service.remove(tenant_of(claims), name)
