"""`/api/intelligence`: the chains above, what they call below.

Entities belong to the tenant of the caller's token. An entity's `ETag` names its state; `If-Match`
and `If-None-Match` make a change depend on it (RFC 9110, section 13).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_gateway import (
    Chunks,
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
)
from nexus_gateway.studio.conditions import Condition
from nexus_gateway.studio.etags import AnyTag, EntityTags, cached_tags, etag, expected, is_cached
from nexus_gateway.studio.fields import EntityId
from nexus_gateway.studio.intelligence import errors
from nexus_gateway.studio.intelligence.models import (
    Batch,
    Draft,
    Entity,
    History,
    Imported,
    Page,
    Past,
    Patch,
    Removal,
    Replacement,
    Selection,
    version_of,
)
from nexus_gateway.studio.ndjson import NDJSON, lines, takes
from nexus_gateway.studio.refusals import refuse_storage

if TYPE_CHECKING:
    from nexus_gateway import Filter, Routes
    from nexus_gateway.studio.intelligence.service import Entities

BATCH_BYTES = 8 << 20

ADMIN = "intelligence:admin"
PLACE = "/api/intelligence/entities"

ID = param("entity_id", EntityId)
room = path("api") / "intelligence"
entities = room / "entities"


def routes(service: Entities, limited: Filter[()]) -> Routes:
    """List the routes of intelligence; `limited` is asked of every caller once it is known."""
    on = Intelligence(service)
    read = auth(scope="intelligence:read") & limited
    write = auth(scope="intelligence:write") & limited
    if_match = header("if-match", EntityTags).optional()
    if_none_match = header("if-none-match", EntityTags).optional()
    if_absent = header("if-none-match", AnyTag).optional()
    accept = header("accept").optional()
    down: Code = "database_error"
    wrong: list[Code] = ["validation_error"]
    return (
        (entities & post() & write & body(Draft)).then(
            on.create, status=201, also=[200], raises=["conflict", *wrong, down]
        )
        | (entities & get() & read & accept & query(Selection)).then(
            on.page, streams={NDJSON: Entity}, raises=[down]
        )
        | (room / "entities:batch" & post() & write & body(Batch, max_bytes=BATCH_BYTES)).then(
            on.put_all, raises=["conflict", *wrong, down]
        )
        | (entities / ID & get() & read & if_none_match).then(
            on.show, also=[304, 308], raises=["not_found", down]
        )
        | (entities / ID & put() & write & if_match & if_absent & body(Replacement)).then(
            on.put, also=[201, 308], raises=["conflict", "precondition_failed", *wrong, down]
        )
        | (entities / ID & patch() & write & if_match & body(Patch)).then(
            on.patch,
            also=[308],
            raises=["not_found", "conflict", "precondition_failed", *wrong, down],
        )
        | (entities / ID & delete() & write & if_match & query(Removal)).then(
            on.remove,
            also=[308],
            raises=["permission_denied", "not_found", "precondition_failed", down],
        )
        | (entities / ID / "restore" & post() & write).then(
            on.restore, raises=["not_found", "conflict", down]
        )
        | (entities / ID / "history" & get() & read & query(Past)).then(
            on.history, also=[308], raises=["not_found", down]
        )
    ).recover(refuse)


class Intelligence:
    """The handlers: what HTTP says, as the service takes it, and back."""

    def __init__(self, service: Entities) -> None:
        self._service = service

    async def create(self, claims: Claims, draft: Draft) -> Response[Entity]:
        """Create an entity; under a key of its source, create or replace it.

        A draft with a `key` instead of an `entity_id` gets the same id each time: repeated, it
        answers 200 with what is there.
        """
        tenant, by = tenant_of(claims), claims.subject
        if draft.key is None:
            return _created(await self._service.create(tenant, draft, by=by))
        entity, new = await self._service.put(tenant, draft.entity_id, draft, Condition(), by=by)
        return _created(entity) if new else Response(entity, 200, _etag(entity))

    async def page(
        self, claims: Claims, accept: str | None, selection: Selection
    ) -> Response[Page | Chunks]:
        """List entities in the order in which they were made.

        As `application/x-ndjson` the whole list is streamed, an entity in each line, from the
        cursor on; `limit` then says how many are read at once.
        """
        if not takes(accept, NDJSON):
            return Response(await self._service.page(tenant_of(claims), selection))
        pages = self._service.pages(tenant_of(claims), selection)
        return Response(await lines(pages), content_type=NDJSON)

    async def put_all(self, claims: Claims, batch: Batch) -> Imported:
        """Create or replace up to 1,000 entities, all or none."""
        return await self._service.put_all(tenant_of(claims), batch.items, by=claims.subject)

    async def show(
        self, entity_id: str, claims: Claims, if_none_match: str | None
    ) -> Response[Entity | None]:
        """Get an entity; an alias leads to it with 308."""
        tags = cached_tags(if_none_match)
        entity = await self._service.get(tenant_of(claims), entity_id)
        if is_cached(tags, version_of(entity)):
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
        entity, new = await self._service.put(
            tenant_of(claims), entity_id, content, found, by=claims.subject
        )
        return _created(entity) if new else Response(entity, 200, _etag(entity))

    async def patch(
        self, entity_id: str, claims: Claims, if_match: str | None, patch: Patch
    ) -> Response[Entity]:
        """Change parts of an entity with a merge patch (RFC 7396)."""
        found = expected(if_match)
        entity = await self._service.patch(
            tenant_of(claims), entity_id, patch, found, by=claims.subject
        )
        return Response(entity, 200, _etag(entity))

    async def remove(
        self, entity_id: str, claims: Claims, if_match: str | None, removal: Removal
    ) -> None:
        """Delete an entity; its history is kept, and it can be restored.

        With `purge` nothing is kept, also of one that is deleted already. That needs the scope
        `intelligence:admin`.
        """
        if removal.purge and not claims.allows(ADMIN):
            raise Reject("permission_denied", f"to purge takes the scope {ADMIN}")
        remove = self._service.purge if removal.purge else self._service.remove
        await remove(tenant_of(claims), entity_id, expected(if_match), by=claims.subject)

    async def restore(self, entity_id: str, claims: Claims) -> Response[Entity]:
        """Bring a deleted entity back as it was."""
        entity = await self._service.restore(tenant_of(claims), entity_id, by=claims.subject)
        return Response(entity, 200, _etag(entity))

    async def history(self, entity_id: str, claims: Claims, past: Past) -> History:
        """List an entity's revisions, the newest first: who changed what, and when."""
        return await self._service.history(tenant_of(claims), entity_id, past)


async def refuse(error: Exception) -> Response[None]:
    """Turn what the service refuses into what HTTP says."""
    match error:
        case errors.Moved():
            place = f"{PLACE}/{error.entity_id}"
            return Response(None, 308, (("location", place),))
        case errors.AttributesRefused() | errors.BadSchema():
            raise Reject("validation_error", str(error), details=details_of(error)) from error
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
            return await refuse_storage(error)


def details_of(error: errors.AttributesRefused | errors.BadSchema) -> list[Detail]:
    """Tell what is wrong with a body beyond its shape."""
    return [Detail("body", one.path, one.kind, one.message) for one in error.problems[:100]]


def _other_id(entity_id: str) -> Reject:
    message = f"expected the path's {entity_id!r} or nothing"
    detail = Detail("body", "entity_id", "str", message)
    return Reject("validation_error", f"body entity_id: {message}", details=[detail])


def _created(entity: Entity) -> Response[Entity]:
    location = f"{PLACE}/{entity.entity_id}"
    return Response(entity, 201, (("location", location), *_etag(entity)))


def _etag(entity: Entity) -> tuple[tuple[str, str], ...]:
    return etag(version_of(entity))


def tenant_of(claims: Claims) -> str:
    """Tell whose entities a caller's are."""
    return claims.tenant or ""
