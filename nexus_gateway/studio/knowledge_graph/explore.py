"""What is read of the graph: things and their history, what is around them, ways between them."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.knowledge_graph import walk
from nexus_gateway.studio.knowledge_graph.edits import missing
from nexus_gateway.studio.knowledge_graph.errors import BadQuery, Moved
from nexus_gateway.studio.knowledge_graph.models import (
    Edge,
    EdgeHistory,
    EdgePage,
    EdgeSelection,
    EdgeVersion,
    Group,
    Neighbour,
    Neighbours,
    Node,
    NodeHistory,
    NodePage,
    NodeSelection,
    NodeVersion,
    PathQuery,
    Subgraph,
    SubgraphQuery,
    Walk,
    Way,
    Ways,
    source_of,
)
from nexus_gateway.studio.knowledge_graph.rows import NODE, own_value, property_of
from nexus_gateway.studio.knowledge_graph.store import ROWS
from nexus_gateway.studio.storage import cursor
from nexus_gateway.studio.storage.errors import GraphTimeout

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Sequence
    from datetime import datetime

    from nexus_gateway.studio.knowledge_graph.models import Direction
    from nexus_gateway.studio.knowledge_graph.store import GraphStore

SECONDS = 8.0
"""Seconds that one question may take, however many statements it needs."""
CHUNK = 2_000
"""Nodes that are loaded with one statement."""


class Explorer:
    """Answers one tenant's questions about its graph."""

    def __init__(self, store: GraphStore) -> None:
        self._store = store

    async def node(self, tenant: str, entity_id: str, at: datetime | None = None) -> Node:
        """Load a node.

        Raises:
            Moved: it was merged into another.
            NotFound: there is none, or was none then.
        """
        found = await self._store.nodes(tenant, [entity_id], at)
        if not found:
            await self._refuse_moved(tenant, entity_id)
            raise missing("node", entity_id)
        return found[entity_id]

    async def edge(self, tenant: str, edge_id: str, at: datetime | None = None) -> Edge:
        """Load an edge.

        Raises:
            NotFound: there is none, or was none then.
        """
        found = await self._store.edges(tenant, [edge_id], at)
        if not found:
            raise missing("edge", edge_id)
        return found[edge_id]

    async def node_history(self, tenant: str, entity_id: str) -> NodeHistory:
        """List all versions of a node, also of one that is no more.

        Raises:
            NotFound: there never was one.
        """
        now = await self._store.nodes(tenant, [entity_id])
        versions = await self._store.node_versions(tenant, entity_id)
        items = (*(NodeVersion(node) for node in now.values()), *versions)
        if not items:
            raise missing("node", entity_id)
        return NodeHistory(entity_id, items)

    async def edge_history(self, tenant: str, edge_id: str) -> EdgeHistory:
        """List all versions of an edge, also of one that is no more.

        Raises:
            NotFound: there never was one.
        """
        now = await self._store.edges(tenant, [edge_id])
        versions = await self._store.edge_versions(tenant, edge_id)
        items = (*(EdgeVersion(edge) for edge in now.values()), *versions)
        if not items:
            raise missing("edge", edge_id)
        return EdgeHistory(edge_id, items)

    # --- lists ---

    async def node_page(self, tenant: str, selection: NodeSelection) -> NodePage:
        """List nodes in the order of their ids.

        Raises:
            BadQuery: the cursor was not given out for this list.
        """
        asked = _asked("nodes", tenant, selection)
        after = _position(selection.cursor, asked)
        nodes = await self._store.node_page(tenant, selection, after, selection.limit + 1)
        more = len(nodes) > selection.limit
        nodes = nodes[: selection.limit]
        following = cursor.write_text(nodes[-1].entity_id, asked) if more else None
        return NodePage(tuple(nodes), following)

    async def edge_page(self, tenant: str, selection: EdgeSelection) -> EdgePage:
        """List edges in the order of their sources, and then of their ids.

        Raises:
            BadQuery: the cursor was not given out for this list.
        """
        asked = _asked("edges", tenant, selection)
        after = _position(selection.cursor, asked)
        async with _deadline():
            edges = await self._edges_after(tenant, selection, after)
        more = len(edges) > selection.limit
        edges = edges[: selection.limit]
        following = cursor.write_text(edges[-1].edge_id, asked) if more else None
        return EdgePage(tuple(edges), following)

    async def all_nodes(self, tenant: str, selection: NodeSelection) -> AsyncGenerator[Node, None]:
        """Go through a list of nodes from its cursor to its end, a page at a time."""
        while True:
            page = await self.node_page(tenant, selection)
            for node in page.items:
                yield node
            if page.next_cursor is None:
                return
            selection = msgspec.structs.replace(selection, cursor=page.next_cursor)

    async def all_edges(self, tenant: str, selection: EdgeSelection) -> AsyncGenerator[Edge, None]:
        """Go through a list of edges from its cursor to its end, a page at a time."""
        if selection.source is not None or selection.target is not None:
            selection = msgspec.structs.replace(selection, limit=ROWS)
        while True:
            page = await self.edge_page(tenant, selection)
            for edge in page.items:
                yield edge
            if page.next_cursor is None:
                return
            selection = msgspec.structs.replace(selection, cursor=page.next_cursor)

    async def _edges_after(self, tenant: str, selection: EdgeSelection, after: str) -> list[Edge]:
        """Load edges after one, a few sources at a time, until there are enough for a page."""
        place = (source_of(after), after)
        if selection.source is not None or selection.target is not None:
            edges = await self._edges_at(tenant, selection)
            return [edge for edge in edges if _place(edge) > place]
        found: list[Edge] = []
        first, size, gone = place[0], 64, selection.as_of is not None
        while len(found) <= selection.limit:
            sources = await self._store.sources(tenant, first, size, gone=gone)
            edges = await self._store.incident(
                tenant,
                sources,
                direction="out",
                types=() if selection.type is None else (selection.type,),
                at=selection.as_of,
            )
            found += sorted((edge for edge in edges if _place(edge) > place), key=_place)
            if len(sources) < size:
                break
            # The last source once more, which is harmless: its edges are behind `place` then.
            first = sources[-1]
            place = max([place, *map(_place, found[-1:])])
            size = min(size * 2, CHUNK)
        return found

    async def _edges_at(self, tenant: str, selection: EdgeSelection) -> list[Edge]:
        end = selection.source if selection.source is not None else selection.target
        edges = await self._store.incident(
            tenant,
            [end or ""],
            direction="in" if selection.source is None else "out",
            types=() if selection.type is None else (selection.type,),
            at=selection.as_of,
        )
        fit = (edge for edge in edges if selection.target in (None, edge.target))
        return sorted(fit, key=_place)

    # --- walks ---

    async def neighbours(self, tenant: str, entity_id: str, asked: Walk) -> Neighbours:
        """List the nodes around one, the nearest first.

        Raises:
            Moved: the node was merged into another.
            NotFound: there is no such node.
        """
        async with _deadline():
            await self.node(tenant, entity_id, asked.as_of)
            step = self._step(tenant, asked.type, asked.as_of)
            found = await walk.reach(entity_id, step, asked.direction, asked.depth)
            ids = list(found.distances)
            shown = await self._load(tenant, ids[: asked.limit], asked.as_of)
            groups = None
            if asked.group_by is not None:
                groups = await self._grouped(tenant, ids, asked.group_by, asked.as_of)
        items = (
            Neighbour(shown[name], distance)
            for name, distance in found.distances.items()
            if name in shown
        )
        truncated = found.truncated
        return Neighbours(entity_id, tuple(items), len(ids), groups, truncated)

    async def ways(self, tenant: str, asked: PathQuery) -> Ways:
        """Find the shortest way between two nodes, or all simple ones.

        Raises:
            Moved: a node was merged into another.
            NotFound: a node is not there.
        """
        async with _deadline():
            for name in (asked.source, asked.target):
                await self.node(tenant, name, asked.as_of)
            step = self._step(tenant, asked.type, asked.as_of)
            ends = asked.source, asked.target, step, asked.direction, asked.max_depth
            if asked.all:
                found = await walk.simple_ways(*ends, asked.limit)
            else:
                found = await walk.shortest(*ends)
            paths = await self._told(tenant, found.ways, asked)
        return Ways(asked.source, asked.target, paths, found.truncated)

    async def subgraph(self, tenant: str, asked: SubgraphQuery) -> Subgraph:
        """Take a part out of the graph: nodes, and the edges between them.

        Raises:
            Moved: the root was merged into another.
            NotFound: the root is not there.
        """
        async with _deadline():
            ids, cut = await self._part(tenant, asked)
            nodes = await self._load(tenant, ids, asked.as_of)
            edges = await self._store.incident(
                tenant, nodes, direction="out", types=asked.type, at=asked.as_of
            )
        within = sorted((edge for edge in edges if edge.target in nodes), key=_place)
        most = asked.limit * 10
        ordered = tuple(nodes[name] for name in ids if name in nodes)
        return Subgraph(ordered, tuple(within[:most]), cut or len(within) > most)

    async def _part(self, tenant: str, asked: SubgraphQuery) -> tuple[list[str], bool]:
        if asked.root is None:
            selection = NodeSelection(as_of=asked.as_of)
            nodes = await self._store.node_page(tenant, selection, "", asked.limit + 1)
            ids = [node.entity_id for node in nodes]
            return ids[: asked.limit], len(ids) > asked.limit
        await self.node(tenant, asked.root, asked.as_of)
        step = self._step(tenant, asked.type, asked.as_of)
        found = await walk.reach(asked.root, step, asked.direction, asked.depth)
        ids = [asked.root, *found.distances]
        return ids[: asked.limit], found.truncated or len(ids) > asked.limit

    def _step(self, tenant: str, types: Sequence[str], at: datetime | None) -> walk.Step:
        async def step(ids: Collection[str], direction: Direction) -> list[tuple[str, str]]:
            return await self._store.steps(tenant, ids, direction, types, at)

        return step

    async def _told(
        self, tenant: str, ways: Sequence[tuple[str, ...]], asked: PathQuery
    ) -> tuple[Way, ...]:
        """Tell ways with their nodes, and the first edge of each step."""
        ids = {name for way in ways for name in way}
        nodes = await self._load(tenant, list(ids), asked.as_of)
        edges = await self._store.incident(
            tenant,
            # The target's own edges are needed by no step that leaves it.
            {name for way in ways for name in (way if asked.direction == "both" else way[:-1])},
            direction=asked.direction,
            types=asked.type,
            at=asked.as_of,
        )
        links: dict[tuple[str, str], Edge] = {}
        for edge in sorted(edges, key=_place):
            if asked.direction != "in":
                links.setdefault((edge.source, edge.target), edge)
            if asked.direction != "out":
                links.setdefault((edge.target, edge.source), edge)
        return tuple(
            Way(
                len(way) - 1,
                tuple(nodes[name] for name in way),
                tuple(links[pair] for pair in pairwise(way)),
            )
            for way in ways
        )

    async def _load(self, tenant: str, ids: Sequence[str], at: datetime | None) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for start in range(0, len(ids), CHUNK):
            found |= await self._store.nodes(tenant, ids[start : start + CHUNK], at)
        return found

    async def _grouped(
        self, tenant: str, ids: Sequence[str], name: str, at: datetime | None
    ) -> tuple[Group, ...]:
        """Count nodes by a value, the largest first; lists and maps count as none."""
        if name in NODE and name != "entity_type":
            raise BadQuery("group_by", f"nodes are not counted by {name!r}, only by attributes")
        if at is None:
            kept = name if name == "entity_type" else property_of(name)
            counts = await self._store.grouped(tenant, ids, str(kept))
        else:
            nodes = (await self._load(tenant, ids, at)).values()
            counts = Counter(
                node.entity_type if name == "entity_type" else own_value(node.attributes, name)
                for node in nodes
            )
        order = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
        return tuple(Group(value, count) for value, count in order)

    async def _refuse_moved(self, tenant: str, entity_id: str) -> None:
        led = await self._store.aliases(tenant, [entity_id])
        if entity_id in led:
            raise Moved(entity_id, led[entity_id])


@asynccontextmanager
async def _deadline() -> AsyncGenerator[None, None]:
    try:
        async with asyncio.timeout(SECONDS):
            yield
    except TimeoutError:
        raise GraphTimeout(f"the question was not answered within {SECONDS:g} s") from None


def _place(edge: Edge) -> tuple[str, str]:
    return edge.source, edge.edge_id


def _asked(kind: str, tenant: str, selection: NodeSelection | EdgeSelection) -> object:
    return kind, tenant, msgspec.structs.replace(selection, cursor=None, limit=1)


def _position(text: str | None, asked: object) -> str:
    if text is None:
        return ""
    try:
        return cursor.read_text(text, asked)
    except cursor.BadCursor as exc:
        raise BadQuery("cursor", str(exc)) from exc
