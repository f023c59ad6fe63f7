"""The handlers of edges: what HTTP says, as the room takes it, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus_gateway import Claims, Response
from nexus_gateway.describe.reply import Chunks
from nexus_gateway.studio.etags import cached_tags, etag, expected, is_cached
from nexus_gateway.studio.knowledge_graph.callers import (
    NDJSON,
    ROOM,
    author,
    lines,
    wants_lines,
)
from nexus_gateway.studio.knowledge_graph.models import (
    Edge,
    EdgeDraft,
    EdgeHistory,
    EdgePage,
    EdgePatch,
    EdgeSelection,
    Moment,
    version_of,
)

if TYPE_CHECKING:
    from nexus_gateway.studio.knowledge_graph.explore import Explorer
    from nexus_gateway.studio.knowledge_graph.service import KnowledgeGraph

LINES = 1000
"""Edges that are read at a time for an answer of lines."""


class Edges:
    """Handlers of one edge, and of lists of them."""

    def __init__(self, service: KnowledgeGraph, explorer: Explorer) -> None:
        self._service = service
        self._explorer = explorer

    async def create(self, claims: Claims, draft: EdgeDraft) -> Response[Edge]:
        """Create an edge between two nodes that are there."""
        return _created(await self._service.create_edge(author(claims), draft))

    async def page(
        self, claims: Claims, selection: EdgeSelection, accept: str | None
    ) -> Response[EdgePage | Chunks]:
        """List edges in the order of their sources; as NDJSON the whole list, whatever `limit`."""
        tenant = author(claims).tenant
        if wants_lines(accept):
            whole = msgspec.structs.replace(selection, limit=LINES)
            return Response(lines(self._explorer.all_edges(tenant, whole)), content_type=NDJSON)
        return Response(await self._explorer.edge_page(tenant, selection))

    async def show(
        self, edge_id: str, claims: Claims, moment: Moment, if_none_match: str | None
    ) -> Response[Edge | None]:
        """Get an edge."""
        tags = cached_tags(if_none_match)
        edge = await self._explorer.edge(author(claims).tenant, edge_id, moment.as_of)
        version = version_of(edge)
        if is_cached(tags, version):
            return Response(None, 304, etag(version))
        return Response(edge, 200, etag(version))

    async def put(
        self,
        edge_id: str,
        claims: Claims,
        if_match: str | None,
        if_none_match: str | None,
        draft: EdgeDraft,
    ) -> Response[Edge]:
        """Create or replace an edge; the body says the same identity as the path."""
        found = expected(if_match, if_none_match)
        edge, new = await self._service.put_edge(author(claims), edge_id, draft, found)
        return _created(edge) if new else Response(edge, 200, etag(version_of(edge)))

    async def patch(
        self, edge_id: str, claims: Claims, if_match: str | None, patch: EdgePatch
    ) -> Response[Edge]:
        """Change parts of an edge with a merge patch (RFC 7396)."""
        found = expected(if_match)
        edge = await self._service.patch_edge(author(claims), edge_id, patch, found)
        return Response(edge, 200, etag(version_of(edge)))

    async def remove(self, edge_id: str, claims: Claims, if_match: str | None) -> None:
        """Delete an edge; its history stays."""
        await self._service.remove_edge(author(claims), edge_id, expected(if_match))

    async def history(self, edge_id: str, claims: Claims) -> EdgeHistory:
        """List all versions of an edge: what was known, from when to when, by whom."""
        return await self._explorer.edge_history(author(claims).tenant, edge_id)


def _created(edge: Edge) -> Response[Edge]:
    location = f"{ROOM}/edges/{edge.edge_id}"
    return Response(edge, 201, (("location", location), *etag(version_of(edge))))
