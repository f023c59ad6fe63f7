"""`/api/intelligence`: the chains above, what they call below.

Entities belong to the tenant of the caller's token. An entity's `ETag` names its state; `If-Match`
and `If-None-Match` make a change depend on it (RFC 9110, section 13).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from nexus_gateway import (
    Claims,
    Code,
    Detail,
    Reject,
    Response,
    auth,
    body,
    delete,
    get,
    header,
    param,
    patch,
    path,
    post,
    put,
    query,
    query_method,
)
from nexus_gateway.studio.etags import etag, expected, known
from nexus_gateway.studio.fields import EntityId
from nexus_gateway.studio.intelligence import errors
from nexus_gateway.studio.intelligence.models import (
    Batch,
    Draft,
    Entity,
    Found,
    Imported,
    Page,
    Patch,
    Recommendations,
    Replacement,
    Report,
    Search,
    Selection,
    Wanted,
    Window,
    version_of,
)
from nexus_gateway.studio.refusals import refuse_storage

if TYPE_CHECKING:
    from nexus_gateway import Filter, Routes
    from nexus_gateway.studio.intelligence.service import Entities

BATCH_BYTES = 8 << 20

ID = param("entity_id", EntityId)
room = path("api") / "intelligence"
entities = room / "entities"


def routes(service: Entities, limited: Filter[()]) -> Routes:
    """List the routes of intelligence; `limited` is asked of every caller once it is known."""
    on = Intelligence(service)
    read = auth(scope="intelligence:read") & limited
    write = auth(scope="intelligence:write") & limited
    if_match = header("if-match").optional()
    if_none_match = header("if-none-match").optional()
    down: Code = "database_error"
    return (
        (entities & post() & write & body(Draft)).then(
            on.create, status=201, raises=["conflict", down]
        )
        | (entities & get() & read & query(Selection)).then(on.page, raises=[down])
        | (room / "entities:batch" & post() & write & body(Batch, max_bytes=BATCH_BYTES)).then(
            on.put_all, raises=[down]
        )
        | (entities / "search" & get() & read & query(Search)).then(on.search, raises=[down])
        | (entities / "search" & query_method() & read & body(Search)).then(
            on.search, name="Intelligence.search_by_body", raises=[down]
        )
        | (entities / ID & get() & read & if_none_match).then(
            on.show, also=[304], raises=["not_found", down]
        )
        | (entities / ID & put() & write & if_match & if_none_match & body(Replacement)).then(
            on.put, also=[201], raises=["precondition_failed", down]
        )
        | (entities / ID & patch() & write & if_match & body(Patch)).then(
            on.patch, raises=["not_found", "precondition_failed", down]
        )
        | (entities / ID & delete() & write & if_match).then(
            on.remove, raises=["not_found", "precondition_failed", down]
        )
        | (room / "recommendations" / ID & get() & read & query(Wanted)).then(
            on.recommend, raises=["not_found", down]
        )
        | (room / "comprehensive-report" & get() & read & query(Window)).then(
            on.report, raises=[down]
        )
    ).recover(refuse)


class Intelligence:
    """The handlers: what HTTP says, as the service takes it, and back."""

    def __init__(self, service: Entities) -> None:
        self._service = service

    async def create(self, claims: Claims, draft: Draft) -> Response[Entity]:
        """Create an entity."""
        entity = await self._service.create(_tenant(claims), draft)
        return _created(entity)

    async def page(self, claims: Claims, selection: Selection) -> Page:
        """List entities in the order in which they were made."""
        return await self._service.page(_tenant(claims), selection)

    async def put_all(self, claims: Claims, batch: Batch) -> Imported:
        """Create or replace up to 1,000 entities, all or none."""
        return await self._service.put_all(_tenant(claims), batch.items)

    async def search(self, claims: Claims, search: Search) -> Found:
        """Search entities by words, type and tags."""
        return await self._service.search(_tenant(claims), search)

    async def show(
        self, entity_id: str, claims: Claims, if_none_match: str | None
    ) -> Response[Entity | None]:
        """Get an entity."""
        entity = await self._service.get(_tenant(claims), entity_id)
        if known(if_none_match, version_of(entity)):
            return Response(None, 304, _etag(entity))
        return Response(entity, 200, _etag(entity))

    async def put(
        self,
        entity_id: str,
        claims: Claims,
        if_match: str | None,
        if_none_match: str | None,
        content: Replacement,
    ) -> Response[Entity]:
        """Create or replace an entity."""
        if content.entity_id not in (None, entity_id):
            raise _other_id(entity_id)
        found = expected(if_match, if_none_match)
        entity, new = await self._service.put(_tenant(claims), entity_id, content, found)
        return _created(entity) if new else Response(entity, 200, _etag(entity))

    async def patch(
        self, entity_id: str, claims: Claims, if_match: str | None, patch: Patch
    ) -> Response[Entity]:
        """Change parts of an entity with a merge patch (RFC 7396)."""
        found = expected(if_match)
        entity = await self._service.patch(_tenant(claims), entity_id, patch, found)
        return Response(entity, 200, _etag(entity))

    async def remove(self, entity_id: str, claims: Claims, if_match: str | None) -> None:
        """Delete an entity."""
        await self._service.remove(_tenant(claims), entity_id, expected(if_match))

    async def recommend(self, entity_id: str, claims: Claims, wanted: Wanted) -> Recommendations:
        """Recommend entities that share tags with one, and say why."""
        return await self._service.recommend(_tenant(claims), entity_id, wanted.limit)

    async def report(self, claims: Claims, window: Window) -> Report:
        """Sum up everything: totals, types, tags, growth, the newest."""
        return await self._service.report(_tenant(claims), window)


async def refuse(error: Exception) -> NoReturn:
    """Turn what the service refuses into what HTTP says."""
    match error:
        case errors.NotFound():
            raise Reject("not_found", str(error)) from error
        case errors.AlreadyExists():
            raise Reject("conflict", str(error)) from error
        case errors.RevisionMismatch():
            raise Reject("precondition_failed", str(error)) from error
        case errors.BadQuery():
            detail = Detail("query", error.field, "str", str(error))
            raise Reject("validation_error", str(error), status=400, details=[detail]) from error
        case _:
            await refuse_storage(error)


def _other_id(entity_id: str) -> Reject:
    message = f"expected the path's {entity_id!r} or nothing"
    detail = Detail("body", "entity_id", "str", message)
    return Reject("validation_error", f"body entity_id: {message}", details=[detail])


def _created(entity: Entity) -> Response[Entity]:
    location = f"/api/intelligence/entities/{entity.entity_id}"
    return Response(entity, 201, (("location", location), *_etag(entity)))


def _etag(entity: Entity) -> tuple[tuple[str, str], ...]:
    return etag(version_of(entity))


def _tenant(claims: Claims) -> str:
    return claims.tenant or ""
