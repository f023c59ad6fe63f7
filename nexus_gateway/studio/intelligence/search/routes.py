"""`/api/intelligence/entities/search` and `.../recommendations`: chains above, handlers below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_gateway import (
    Chunks,
    Claims,
    Code,
    Response,
    auth,
    body,
    get,
    header,
    query,
    query_method,
)
from nexus_gateway.studio.intelligence.errors import Moved
from nexus_gateway.studio.intelligence.routes import ID, entities, refuse, room, tenant_of
from nexus_gateway.studio.intelligence.search.models import (
    Found,
    Hit,
    Recommendations,
    Search,
    Wanted,
)
from nexus_gateway.studio.ndjson import NDJSON, lines, takes

if TYPE_CHECKING:
    from nexus_gateway import Filter, Routes
    from nexus_gateway.studio.intelligence.search.opening import Opening
    from nexus_gateway.studio.intelligence.service import Entities


def routes(opening: Opening, service: Entities, limited: Filter[()]) -> Routes:
    """List the routes of search; `limited` is asked of every caller once it is known."""
    on = Searching(opening, service)
    read = auth(scope="intelligence:read") & limited
    accept = header("accept").optional()
    down: Code = "database_error"
    return (
        (entities / "search" & get() & read & accept & query(Search)).then(
            on.search, streams={NDJSON: Hit}, raises=["not_found", down]
        )
        | (entities / "search" & query_method() & read & accept & body(Search)).then(
            on.search,
            name="Searching.search_by_body",
            streams={NDJSON: Hit},
            raises=["not_found", down],
        )
        | (room / "recommendations" / ID & get() & read & query(Wanted)).then(
            on.recommend, raises=["not_found", down]
        )
    ).recover(refuse)


class Searching:
    """The handlers: what HTTP says, as the services take it, and back."""

    def __init__(self, opening: Opening, service: Entities) -> None:
        self._opening = opening
        self._service = service

    async def search(
        self, claims: Claims, accept: str | None, search: Search
    ) -> Response[Found | Chunks]:
        """Search entities by words, likeness and the graph around the best, in one order.

        As `application/x-ndjson` all that is found is streamed, an entity in each line, the first
        before the last is looked up; `limit` then says how many are read at once.
        """
        searches = self._opening.searches()
        if not takes(accept, NDJSON):
            return Response(await searches.search(tenant_of(claims), search))
        pages = searches.pages(tenant_of(claims), search)
        return Response(await lines(pages), content_type=NDJSON)

    async def recommend(self, entity_id: str, claims: Claims, wanted: Wanted) -> Recommendations:
        """Recommend entities that are like one by tags, graph and text, and say why."""
        tenant = tenant_of(claims)
        try:
            entity = await self._service.get(tenant, entity_id)
        except Moved as moved:
            entity = await self._service.get(tenant, moved.entity_id)
        return await self._opening.recommender().recommend(tenant, entity, wanted.limit)
