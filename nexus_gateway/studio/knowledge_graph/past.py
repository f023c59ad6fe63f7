"""A tenant's graph as it was known at a moment, made anew for a question about it.

What is now is in the graph, and what was before in the versions beside it: a query reads the one
and not the other. So where they differ, what was then is copied into a graph of its own, embedded
and in a temporary folder, whichever engine keeps the tenant's.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

from nexus_gateway.studio.knowledge_graph.edits import Change
from nexus_gateway.studio.knowledge_graph.errors import BadQuery
from nexus_gateway.studio.knowledge_graph.explore import Explorer
from nexus_gateway.studio.knowledge_graph.models import EdgeSelection, NodeSelection, Stamp
from nexus_gateway.studio.knowledge_graph.store import GraphStore
from nexus_gateway.studio.storage.graph_embedded import EmbeddedGraph

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from datetime import datetime

MOST = 20_000
"""Nodes and edges of a graph that is made anew; it takes a second or two."""
PIECE = 250
"""Of them that are copied at a time: others have their turn in between."""

T = TypeVar("T")


@asynccontextmanager
async def past(store: GraphStore, tenant: str, at: datetime) -> AsyncGenerator[GraphStore]:
    """Make the graph of a moment, for as long as it is asked.

    Raises:
        BadQuery: it has more than `MOST` nodes and edges.
        StorageError: what was then cannot be read, or not be written anew.
    """
    with TemporaryDirectory(prefix="nexus-past-") as folder:
        async with EmbeddedGraph(Path(folder) / "past.kgl", readers=1) as graph:
            made = GraphStore(graph)
            await _copy(Explorer(store), made, tenant, at)
            yield made


async def _copy(explorer: Explorer, made: GraphStore, tenant: str, at: datetime) -> None:
    stamp = Stamp(at, "past")
    total = 0
    ids: set[str] = set()
    nodes = explorer.all_nodes(tenant, NodeSelection(as_of=at, limit=PIECE))
    async for some in _pieces(nodes):
        total = _counted(total + len(some))
        ids |= {node.entity_id for node in some}
        await made.apply(tenant, stamp, nodes=[Change(None, node) for node in some])
    edges = explorer.all_edges(tenant, EdgeSelection(as_of=at, limit=PIECE))
    async for found in _pieces(edges):
        # An edge may have held while a node of it did not: no query meets it then.
        between = [edge for edge in found if edge.source in ids and edge.target in ids]
        total = _counted(total + len(between))
        await made.apply(tenant, stamp, edges=[Change(None, edge) for edge in between])


def _counted(total: int) -> int:
    if total > MOST:
        message = (
            f"the graph has changed since, and what it was has more than {MOST:,} nodes and edges:"
            " ask with valid_at, or the paths that take as_of"
        )
        raise BadQuery("as_of", message, location="body")
    return total


async def _pieces(items: AsyncIterator[T]) -> AsyncGenerator[list[T], None]:
    piece: list[T] = []
    async for item in items:
        piece.append(item)
        if len(piece) == PIECE:
            yield piece
            piece = []
    if piece:
        yield piece
