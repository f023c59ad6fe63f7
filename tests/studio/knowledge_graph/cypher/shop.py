"""The graph on which queries are tried: packages, libraries and an application, in two tenants."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nexus_gateway.studio.knowledge_graph.models import Bulk, EdgeDraft, NodeDraft
from nexus_gateway.studio.knowledge_graph.service import Author, KnowledgeGraph
from nexus_gateway.studio.knowledge_graph.store import GraphStore

if TYPE_CHECKING:
    from nexus_gateway.studio.storage.graph import Graph

MADE = datetime(2026, 1, 1, 12, tzinfo=UTC)
SPRING = datetime(2026, 4, 1, tzinfo=UTC)

NODES = (
    NodeDraft(
        entity_id="a",
        entity_type="pkg",
        name="Alpha",
        tags=("x", "y"),
        attributes={"size": 10, "price": 1.5, "ok": True, "parts": [1, 2, 3], "version": "1.0"},
    ),
    NodeDraft(
        entity_id="b",
        entity_type="pkg",
        name="Beta",
        tags=("y",),
        attributes={"size": 20, "price": 2.5, "tenant": "mine", "deep": {"er": 1}},
    ),
    NodeDraft(
        entity_id="c", entity_type="pkg", name="Gamma", attributes={"size": 30, "label": "née"}
    ),
    NodeDraft(entity_id="d", entity_type="lib", name="delta", tags=("x",), attributes={"size": 5}),
    NodeDraft(entity_id="e", entity_type="lib", attributes={"size": 20, "ok": False}),
    NodeDraft(
        entity_id="f", entity_type="app", name="Zeta", tags=("z",), valid_from=SPRING, origin="hand"
    ),
)
EDGES = (
    EdgeDraft(source="a", target="b", type="depends", attributes={"w": 1}),
    EdgeDraft(source="b", target="c", type="depends", attributes={"w": 2}),
    EdgeDraft(source="c", target="d", type="depends", attributes={"w": 3}),
    EdgeDraft(source="a", target="d", type="suggests", attributes={"w": 4}, valid_to=SPRING),
    EdgeDraft(source="d", target="e", type="depends"),
    EdgeDraft(source="e", target="a", type="depends", attributes={"w": 6}),
    EdgeDraft(source="f", target="a", type="uses", attributes={"w": 7}),
    EdgeDraft(source="f", target="f", type="uses"),
)
PARAMETERS: dict[str, object] = {
    "id": "a",
    "ids": ["a", "b"],
    "list": [1, 2, 2],
    "map": {"k": 1, "l": "x", "in": {"to": [7]}},
    "text": "Alpha",
    "one": 1,
    "when": "2026-01-01T12:00:00Z",
    "tenant": "other",
}


async def fill(graph: Graph, tenant: str, mark: str = "") -> None:
    """Load it for a tenant; a mark is put to every name, so that a leak would show."""
    nodes = tuple(
        NodeDraft(
            entity_id=node.entity_id,
            entity_type=node.entity_type,
            name=None if node.name is None else mark + node.name,
            tags=(*node.tags, *([mark] if mark else [])),
            attributes={**node.attributes, **({"mark": mark} if mark else {})},
            valid_from=node.valid_from,
            origin=node.origin,
        )
        for node in NODES
    )
    service = KnowledgeGraph(GraphStore(graph), clock=lambda: MADE)
    await service.load(Author(tenant, f"{mark}alice"), Bulk(nodes, EDGES))
