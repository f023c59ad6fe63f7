"""How large a graph is, for estimates: nodes by type, edges by type and what they join."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.knowledge_graph.models import EdgeKind

if TYPE_CHECKING:
    from collections.abc import Collection

    from nexus_gateway.studio.knowledge_graph.cypher.tree import Direction


class Figures(msgspec.Struct, frozen=True):
    """Counts of one tenant's graph; `node_types` by type."""

    node_types: dict[str, int]
    edges: tuple[EdgeKind, ...]

    def nodes(self, types: Collection[str] = ()) -> float:
        """Count the nodes of some types, or all."""
        if not types:
            return float(sum(self.node_types.values()))
        return float(sum(self.node_types.get(name, 0) for name in types))

    def degree(
        self,
        kinds: Collection[str],
        direction: Direction,
        start: Collection[str] = (),
        end: Collection[str] = (),
    ) -> float:
        """Tell how many edges a node has on average: of some kinds, to nodes of some types."""
        found = 0.0
        for edge in self.edges:
            if kinds and edge.type not in kinds:
                continue
            if direction != "in" and _fit(edge.source_type, start, edge.target_type, end):
                found += edge.count
            if direction != "out" and _fit(edge.target_type, start, edge.source_type, end):
                found += edge.count
        return found / max(self.nodes(start), 1.0)


def _fit(one: str, start: Collection[str], other: str, end: Collection[str]) -> bool:
    return (not start or one in start) and (not end or other in end)
