"""Counts of a tenant's nodes, edges and versions, which each change of the graph keeps up to date.

They are counted once by the engine, when they are first asked for, and changed with each change
after it. That needs one process that makes all changes, as the embedded graph has.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

from nexus_gateway.studio.knowledge_graph.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from nexus_gateway.studio.knowledge_graph.edits import Change
    from nexus_gateway.studio.knowledge_graph.models import Edge, Node

TALLIES_MAX = 1024
"""Tenants whose counts are in memory; those of the others are counted again when asked for."""


class Tally:
    """What one tenant has: nodes and edges by type, and versions of both."""

    def __init__(self, nodes: Counter[str], edges: Counter[str], versions: int) -> None:
        self.nodes = nodes
        self.edges = edges
        self.versions = versions

    def change(self, nodes: Sequence[Change[Node]], edges: Sequence[Change[Edge]]) -> None:
        """Count changes that were made."""
        for node in nodes:
            if node.before is not node.after:
                self.nodes[node.kept.entity_type] += node.after is not None
                if node.before is not None:
                    self.nodes[node.before.entity_type] -= 1
                    self.versions += 1
        for edge in edges:
            if edge.before is not edge.after:
                self.edges[edge.kept.type] += edge.after is not None
                if edge.before is not None:
                    self.edges[edge.before.type] -= 1
                    self.versions += 1
        # Types of which there are none any more.
        self.nodes, self.edges = +self.nodes, +self.edges


class Tallies:
    """The counts of every tenant."""

    def __init__(self) -> None:
        self._turns = Turns()
        self._tallies: OrderedDict[str, Tally] = OrderedDict()

    async def get(self, tenant: str, count: Callable[[], Awaitable[Tally]]) -> Tally:
        """Give a tenant's counts; `count` asks the engine, while the tenant changes nothing."""
        async with self._turns.of(tenant):
            found = self._tallies.get(tenant)
            if found is None:
                found = self._tallies[tenant] = await count()
                while len(self._tallies) > TALLIES_MAX:
                    self._tallies.popitem(last=False)
            self._tallies.move_to_end(tenant)
            return found

    async def apply(
        self,
        tenant: str,
        nodes: Sequence[Change[Node]],
        edges: Sequence[Change[Edge]],
        write: Callable[[], Awaitable[object]],
    ) -> None:
        """Make changes, and count them."""
        async with self._turns.of(tenant):
            try:
                await write()
            except BaseException:
                # It may have been made nevertheless, as after a timeout.
                self._tallies.pop(tenant, None)
                raise
            tally = self._tallies.get(tenant)
            if tally is not None:
                tally.change(nodes, edges)
