"""Which nodes of a pattern are found by their id, rather than by looking at many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.knowledge_graph.cypher import tree

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nexus_gateway.studio.storage.graph import Value

FEW = 10.0
"""Items that a list is thought to have of which nothing is known."""
_ID = "entity_id"


class Lookups(msgspec.Struct, frozen=True):
    """How many nodes each name stands for at most, and by which conditions."""

    numbers: dict[str, float]
    conditions: tuple[tree.Expression, ...]

    def of(self, node: tree.NodePattern) -> float | None:
        """Tell among how many nodes one is found by its id; none where it is not."""
        if any(key == _ID for key, _ in (node.properties.entries if node.properties else ())):
            return 1.0
        return self.numbers.get(node.name or "")

    def uses(self, condition: tree.Expression) -> bool:
        """Say whether a condition is one of those."""
        return any(one is condition for one in self.conditions)


def lookups(
    patterns: Sequence[tree.Pattern], where: tree.Expression | None, given: Mapping[str, Value]
) -> Lookups:
    """Find the nodes of patterns that a condition names by their ids."""
    names = {node.name for pattern in patterns for node in pattern.nodes if node.name}
    numbers: dict[str, float] = {}
    used: list[tree.Expression] = []
    for one in conjuncts(where):
        if not isinstance(one, tree.Binary) or one.sign not in ("=", "IN"):
            continue
        sides = [(one.left, one.right)]
        if one.sign == "=":
            sides.append((one.right, one.left))
        for side, other in sides:
            if (name := _named(side)) in names:
                number = 1.0 if one.sign == "=" else _items(other, given)
                numbers[name] = min(number, numbers.get(name, number))
                used.append(one)
    return Lookups(numbers, tuple(used))


def conjuncts(where: tree.Expression | None) -> Iterator[tree.Expression]:
    """Go through the conditions that all must hold."""
    if isinstance(where, tree.Binary) and where.sign == "AND":
        yield from conjuncts(where.left)
        yield from conjuncts(where.right)
    elif where is not None:
        yield where


def _named(node: tree.Expression) -> str:
    if isinstance(node, tree.Property) and node.name == _ID and isinstance(node.of, tree.Variable):
        return node.of.name
    return ""


def _items(node: tree.Expression, given: Mapping[str, Value]) -> float:
    if isinstance(node, tree.ListOf):
        return float(len(node.items))
    if isinstance(node, tree.Parameter) and isinstance(found := given.get(node.name), list):
        return float(len(found))
    return FEW
