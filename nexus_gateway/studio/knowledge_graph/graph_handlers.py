"""The handlers of the whole graph: loads, ways, parts of it, counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus_gateway import Claims, Response
from nexus_gateway.studio.knowledge_graph.callers import ROOM, author, query_of
from nexus_gateway.studio.knowledge_graph.errors import Moved
from nexus_gateway.studio.knowledge_graph.export import graphml, mermaid
from nexus_gateway.studio.knowledge_graph.models import (
    Bulk,
    Loaded,
    PathQuery,
    Schema,
    Stats,
    Subgraph,
    SubgraphQuery,
    Ways,
)

if TYPE_CHECKING:
    from nexus_gateway.studio.knowledge_graph.explore import Explorer
    from nexus_gateway.studio.knowledge_graph.service import KnowledgeGraph
    from nexus_gateway.studio.knowledge_graph.stats import Statistics


class Whole:
    """Handlers of what is more than one node or edge."""

    def __init__(self, service: KnowledgeGraph, explorer: Explorer, statistics: Statistics) -> None:
        self._service = service
        self._explorer = explorer
        self._statistics = statistics

    async def bulk(self, claims: Claims, bulk: Bulk) -> Loaded:
        """Create or replace up to 2,000 nodes and 5,000 edges, all or none."""
        return await self._service.load(author(claims), bulk)

    async def paths(self, claims: Claims, asked: PathQuery) -> Response[Ways | None]:
        """Find the shortest way from a node to another, or all simple ones."""
        try:
            return Response(await self._explorer.ways(author(claims).tenant, asked))
        except Moved as error:
            ends = {
                name: error.new
                for name in ("source", "target")
                if getattr(asked, name) == error.old
            }
            there = query_of(msgspec.structs.replace(asked, **ends))
            return Response(None, 308, (("location", f"{ROOM}/paths{there}"),))

    async def subgraph(
        self, claims: Claims, asked: SubgraphQuery
    ) -> Response[Subgraph | str | None]:
        """Export a part of the graph as JSON, GraphML or Mermaid."""
        try:
            part = await self._explorer.subgraph(author(claims).tenant, asked)
        except Moved as error:
            there = query_of(msgspec.structs.replace(asked, root=error.new))
            return Response(None, 308, (("location", f"{ROOM}/subgraph{there}"),))
        if asked.format == "graphml":
            return Response(graphml(part), content_type="application/graphml+xml")
        if asked.format == "mermaid":
            return Response(mermaid(part), content_type="text/vnd.mermaid; charset=utf-8")
        return Response(part)

    async def stats(self, claims: Claims) -> Stats:
        """Count nodes, edges, and what is kept of earlier times."""
        return await self._statistics.stats(author(claims).tenant)

    async def schema(self, claims: Claims) -> Schema:
        """Tell the types, their attributes and how they hang together; up to 5 s old."""
        return await self._statistics.schema(author(claims).tenant)
