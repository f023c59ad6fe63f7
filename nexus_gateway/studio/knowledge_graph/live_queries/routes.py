"""`/api/knowledge-graph/live-queries`: queries whose answers are told on a channel of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_gateway import Claims, Code, Response, auth, body, delete, get, param, path, post
from nexus_gateway.studio.knowledge_graph.callers import ROOM, author, refuse
from nexus_gateway.studio.knowledge_graph.live_queries.models import (
    Begun,
    LiveQuery,
    LiveQueryPage,
    LiveQuestion,
    QueryId,
)
from nexus_gateway.studio.knowledge_graph.query import SECONDS

if TYPE_CHECKING:
    from nexus_gateway import Filter, Routes
    from nexus_gateway.studio.knowledge_graph.live_queries.service import LiveQueries

queries = path("api") / "knowledge-graph" / "live-queries"
QUERY = param("query_id", QueryId)


def routes(service: LiveQueries, limited: Filter[()]) -> Routes:
    """List the routes of live queries; `limited` is asked of every caller once it is known."""
    read = auth(scope="knowledge-graph:read") & limited
    write = auth(scope="knowledge-graph:write") & limited
    on = Handlers(service)
    down: Code = "database_error"
    wrong: list[Code] = ["permission_denied", "validation_error", "deadline_exceeded", down]
    return (
        (queries & post() & read & body(LiveQuestion)).then(
            on.begin, status=201, also=[200], timeout=2 * SECONDS, raises=wrong
        )
        | (queries & get() & read).then(on.page, raises=[down])
        | (queries / QUERY & get() & read).then(on.show, raises=["not_found", down])
        | (queries / QUERY & delete() & write).then(on.end, status=204, raises=["not_found", down])
    ).recover(refuse)


class Handlers:
    """What HTTP says, as the service takes it, and back."""

    def __init__(self, service: LiveQueries) -> None:
        self._service = service

    async def begin(self, claims: Claims, question: LiveQuestion) -> Response[Begun]:
        """Tell the answers of a query on a channel, from now on.

        Answers with what the answer is now, the channel, and the position in it: who subscribes
        with that position misses no later answer. To ask the same again is the same live query,
        prolonged; answers are told until its lease is over.
        """
        begun, new = await self._service.begin(author(claims), question)
        location = f"{ROOM}/live-queries/{begun.live_query.query_id}"
        return Response(begun, 201 if new else 200, (("location", location),))

    async def page(self, claims: Claims) -> LiveQueryPage:
        """List the live queries of the tenant."""
        return await self._service.page(author(claims))

    async def show(self, query_id: str, claims: Claims) -> LiveQuery:
        """Tell what a live query asks, where it is told and for how long."""
        return await self._service.get(author(claims), query_id)

    async def end(self, query_id: str, claims: Claims) -> None:
        """Tell a query's answers no longer; those who listen are told so."""
        await self._service.end(author(claims), query_id)
