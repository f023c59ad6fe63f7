"""The handlers of nodes: what HTTP says, as the room takes it, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_gateway import Claims, Detail, Reject, Response
from nexus_gateway.describe.reply import Chunks
from nexus_gateway.studio.etags import cached_tags, etag, expected, is_cached
from nexus_gateway.studio.knowledge_graph.callers import (
    NDJSON,
    ROOM,
    author,
    lines,
    moved,
    wants_lines,
)
from nexus_gateway.studio.knowledge_graph.errors import Moved
from nexus_gateway.studio.knowledge_graph.models import (
    Merge,
    Merged,
    Moment,
    Neighbours,
    Node,
    NodeDraft,
    NodeHistory,
    NodePage,
    NodePatch,
    NodeReplacement,
    NodeSelection,
    Walk,
    version_of,
)

if TYPE_CHECKING:
    from nexus_gateway.studio.knowledge_graph.explore import Explorer
    from nexus_gateway.studio.knowledge_graph.service import KnowledgeGraph

LINES = 1000
"""Nodes that are read at a time for an answer of lines."""


class Nodes:
    """Handlers of one thing of the graph, and of lists of them."""

    def __init__(self, service: KnowledgeGraph, explorer: Explorer) -> None:
        self._service = service
        self._explorer = explorer

    async def create(self, claims: Claims, draft: NodeDraft) -> Response[Node]:
        """Create a node."""
        return _created(await self._service.create_node(author(claims), draft))

    async def page(
        self, claims: Claims, selection: NodeSelection, accept: str | None
    ) -> Response[NodePage | Chunks]:
        """List nodes in the order of their ids; as NDJSON the whole list, whatever `limit`."""
        tenant = author(claims).tenant
        if wants_lines(accept):
            whole = NodeSelection(
                as_of=selection.as_of,
                type=selection.type,
                tag=selection.tag,
                limit=LINES,
                cursor=selection.cursor,
            )
            chunks = lines(self._explorer.all_nodes(tenant, whole))
            return Response(chunks, content_type=NDJSON)
        return Response(await self._explorer.node_page(tenant, selection))

    async def show(
        self, entity_id: str, claims: Claims, moment: Moment, if_none_match: str | None
    ) -> Response[Node | None]:
        """Get a node; one that was merged leads to the other."""
        tags = cached_tags(if_none_match)
        try:
            node = await self._explorer.node(author(claims).tenant, entity_id, moment.as_of)
        except Moved as error:
            return moved(error, asked=moment)
        version = version_of(node)
        if is_cached(tags, version):
            return Response(None, 304, etag(version))
        return Response(node, 200, etag(version))

    async def put(
        self,
        entity_id: str,
        claims: Claims,
        if_match: str | None,
        if_none_match: str | None,
        content: NodeReplacement,
    ) -> Response[Node | None]:
        """Create or replace a node."""
        if content.entity_id not in (None, entity_id):
            raise _other_id(entity_id)
        found = expected(if_match, if_none_match)
        try:
            node, new = await self._service.put_node(author(claims), entity_id, content, found)
        except Moved as error:
            return moved(error)
        return _created(node) if new else Response(node, 200, etag(version_of(node)))

    async def patch(
        self, entity_id: str, claims: Claims, if_match: str | None, patch: NodePatch
    ) -> Response[Node | None]:
        """Change parts of a node with a merge patch (RFC 7396)."""
        found = expected(if_match)
        try:
            node = await self._service.patch_node(author(claims), entity_id, patch, found)
        except Moved as error:
            return moved(error)
        return Response(node, 200, etag(version_of(node)))

    async def remove(self, entity_id: str, claims: Claims, if_match: str | None) -> Response[None]:
        """Delete a node and the edges at it; its history stays."""
        try:
            await self._service.remove_node(author(claims), entity_id, expected(if_match))
        except Moved as error:
            return moved(error)
        return Response(None, 204)

    async def history(self, entity_id: str, claims: Claims) -> Response[NodeHistory | None]:
        """List all versions of a node: what was known, from when to when, by whom."""
        found = await self._explorer.node_history(author(claims).tenant, entity_id)
        return Response(found)

    async def merge(
        self, entity_id: str, claims: Claims, if_match: str | None, merge: Merge
    ) -> Response[Merged | None]:
        """Merge another node into this one: its edges come along, its id leads here."""
        found = expected(if_match)
        try:
            done = await self._service.merge(author(claims), entity_id, merge.duplicate, found)
        except Moved as error:
            return moved(error, "/merge")
        return Response(done, 200, etag(version_of(done.node)))

    async def neighbours(
        self, entity_id: str, claims: Claims, asked: Walk
    ) -> Response[Neighbours | None]:
        """List the nodes around one, the nearest first, or count them by an attribute."""
        try:
            found = await self._explorer.neighbours(author(claims).tenant, entity_id, asked)
        except Moved as error:
            return moved(error, "/neighbours", asked)
        return Response(found)


def _created(node: Node) -> Response[Node]:
    location = f"{ROOM}/nodes/{node.entity_id}"
    return Response(node, 201, (("location", location), *etag(version_of(node))))


def _other_id(entity_id: str) -> Reject:
    message = f"expected the path's {entity_id!r} or nothing"
    detail = Detail("body", "entity_id", "str", message)
    return Reject("validation_error", f"body entity_id: {message}", details=[detail])
