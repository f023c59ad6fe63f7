"""The edges at some nodes, a bounded number of each node's: what other rooms ask of the graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nexus_gateway.studio.knowledge_graph.statements import owned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_gateway.studio.knowledge_graph.store import GraphStore

MOST = 500
"""Edges that are told of all nodes together, in each direction."""
SECONDS = 1.0

_OUT = (
    "UNWIND $ids AS id MATCH (a:Entity {entity_id: id})-[r]->(b:Entity)"
    f" RETURN a.entity_id, type(r), b.entity_id LIMIT {MOST}"
)
_IN = (
    "UNWIND $ids AS id MATCH (b:Entity {entity_id: id})<-[r]-(a:Entity)"
    f" RETURN a.entity_id, type(r), b.entity_id LIMIT {MOST}"
)


class Edge(NamedTuple):
    """An edge as others see it."""

    source: str
    type: str
    target: str


async def links(store: GraphStore, tenant: str, ids: Sequence[str]) -> list[Edge]:
    """Tell edges that begin or end at any of the nodes.

    Raises:
        StorageError: the graph does not answer.
    """
    found: list[Edge] = []
    for text in (_OUT, _IN):
        statement = owned(text, tenant, ids=list(ids))
        answer = await store.graph.read(statement, rows=MOST, seconds=SECONDS)
        found += [Edge(str(row[0]), str(row[1]), str(row[2])) for row in answer.rows]
    return found
