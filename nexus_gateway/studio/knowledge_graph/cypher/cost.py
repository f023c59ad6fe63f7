"""What a query will cost, by the figures of the graph, before it runs.

Work is counted in rows and steps that an engine has to go through, from the cheapest end of each
pattern on, as engines do; a value's width in characters. Both are means, so a query may cost more
than its estimate where it meets the few nodes that have most edges: then its time ends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

from nexus_gateway.studio.knowledge_graph.cypher import tree
from nexus_gateway.studio.knowledge_graph.cypher.lookups import Lookups, conjuncts, lookups
from nexus_gateway.studio.knowledge_graph.cypher.projections import aggregates
from nexus_gateway.studio.knowledge_graph.cypher.widths import NUMBER, THING, Size, Widths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexus_gateway.studio.knowledge_graph.cypher.figures import Figures
    from nexus_gateway.studio.storage.graph import Value

_EQUAL, _OTHER = 0.1, 0.5
"""Of the rows, how many an equality is thought to keep, and any other condition."""


_Subquery: TypeAlias = tree.Exists | tree.CountOf | tree.PatternList


class Estimate(msgspec.Struct, frozen=True):
    """What is thought to be needed: rows and steps, rows answered, characters held at once."""

    work: float
    rows: float
    held: float


def estimate(
    query: tree.Query, figures: Figures, given: Mapping[str, Value], most: int
) -> Estimate:
    """Estimate a query on a graph of such figures, with its parameters and the rows wanted."""
    found = [_Estimator(figures, given, most).single(single) for single in query.singles]
    return Estimate(
        sum(one.work for one in found),
        sum(one.rows for one in found),
        max(one.held for one in found),
    )


class _Estimator:
    """Goes through the clauses of one query, with the rows that each hands to the next."""

    def __init__(self, figures: Figures, given: Mapping[str, Value], most: int = 0) -> None:
        self._most = most
        self._figures = figures
        self._given = given
        self._types: dict[str, tuple[str, ...]] = {}
        self._sizes: dict[str, Size] = {}
        self._work = 0.0
        self._rows = 1.0
        self._held = 0.0
        self._subqueries: dict[int, tuple[float, float]] = {}

    def single(self, single: tree.Single) -> Estimate:
        for clause in single.clauses:
            match clause:
                case tree.Match():
                    self._match(clause)
                case tree.Unwind():
                    self._unwind(clause)
                case tree.With() | tree.Return():
                    self._project(clause)
        return Estimate(self._work, self._rows, self._held)

    def _match(self, clause: tree.Match) -> None:
        found = lookups(clause.patterns, clause.where, self._given)
        before = self._rows
        for pattern in clause.patterns:
            self._rows = self._pattern(pattern, found, self._rows)
        self._spend(clause.where, self._rows)
        for one in conjuncts(clause.where):
            if not found.uses(one):
                is_equal = isinstance(one, tree.Binary) and one.sign == "="
                self._rows *= _EQUAL if is_equal else _OTHER
        if clause.optional:
            self._rows = max(self._rows, before)

    def _pattern(self, pattern: tree.Pattern, found: Lookups, rows: float) -> float:
        """Add the work of a pattern from its cheapest end on; tell how many rows it gives."""
        ways = [self._from(start, pattern, found, rows) for start in range(len(pattern.nodes))]
        work, after = min(ways)
        self._work += work
        for node in pattern.nodes:
            if node.name is not None:
                self._types.setdefault(node.name, node.labels)
        steps = sum(edge.steps[1] if edge.steps else 1 for edge in pattern.edges)
        for edge in pattern.edges:
            if edge.name is not None and edge.steps is not None:
                self._sizes[edge.name] = Size(edge.steps[1], 64.0 * edge.steps[1])
        if pattern.name is not None:
            self._sizes[pattern.name] = Size(steps + 1, 64.0 * (steps + 1))
        return after

    def _from(
        self, start: int, pattern: tree.Pattern, found: Lookups, rows: float
    ) -> tuple[float, float]:
        node = pattern.nodes[start]
        rows *= self._found(node, found)
        work = rows
        order = [(at, at + 1) for at in range(start, len(pattern.edges))]
        order += [(at, at - 1) for at in range(start, 0, -1)]
        for here, there in order:
            edge = pattern.edges[min(here, there)]
            spent, rows = self._step(pattern, (here, there), edge, rows)
            work += spent
            # Of what is known already there is one.
            known = self._found(pattern.nodes[there], found)
            everything = self._figures.nodes(self._typed(pattern.nodes[there]))
            rows *= min(1.0, known / max(everything, 1.0))
        return work, rows

    def _step(
        self, pattern: tree.Pattern, way: tuple[int, int], edge: tree.EdgePattern, rows: float
    ) -> tuple[float, float]:
        here, there = pattern.nodes[way[0]], pattern.nodes[way[1]]
        direction = edge.direction
        if way[1] < way[0] and direction != "both":
            direction = "in" if direction == "out" else "out"
        start, end = self._typed(here), self._typed(there)
        if edge.steps is None:
            whole = self._figures.degree(edge.types, direction, start)
            return rows * whole, rows * self._figures.degree(edge.types, direction, start, end)
        if pattern.shortest:
            edges = self._figures.degree(edge.types, direction) * self._figures.nodes()
            return rows * edges, rows
        degree = self._figures.degree(edge.types, direction)
        first = self._figures.degree(edge.types, direction, start)
        reached = [1.0, *(first * degree**step for step in range(edge.steps[1]))]
        kept = sum(reached[edge.steps[0] :])
        return rows * sum(reached), rows * kept

    def _found(self, node: tree.NodePattern, found: Lookups) -> float:
        """Tell among how many nodes one is looked for."""
        if node.name is not None and (node.name in self._types or node.name in self._sizes):
            return 1.0
        everything = self._figures.nodes(node.labels)
        number = found.of(node)
        return everything if number is None else min(number, everything)

    def _typed(self, node: tree.NodePattern) -> tuple[str, ...]:
        return node.labels or self._types.get(node.name or "", ())

    def _unwind(self, clause: tree.Unwind) -> None:
        size = self._widths().of(clause.list)
        self._spend(clause.list, self._rows)
        self._hold(size.width)
        self._rows *= max(size.items, 0.0)
        self._work += self._rows
        self._sizes[clause.name] = size.item

    def _project(self, clause: tree.With | tree.Return) -> None:
        projection = clause.projection
        self._work += self._rows
        for part in (*projection.items, *projection.order):
            self._spend(part, self._rows)
        counted = [item for item in projection.items if any(aggregates(item.value))]
        sizes: dict[str, Size] = dict(self._sizes) if projection.star else {}
        for item in projection.items:
            size = self._widths().of(item.value)
            self._hold(size.width)
            sizes[item.name or item.said] = size
        if counted or projection.distinct or projection.order:
            self._hold(self._rows * sum(size.width for size in sizes.values() if size.each))
        each = self._answered(projection) if isinstance(clause, tree.Return) else 0.0
        if counted and len(counted) == len(projection.items):
            self._rows = 1.0
        self._rows = min(self._rows, self._limit(projection.limit))
        self._hold(min(self._rows, self._most) * each)
        self._rename(projection, sizes)
        if isinstance(clause, tree.With):
            self._spend(clause.where, self._rows)

    def _answered(self, projection: tree.Projection) -> float:
        """Measure a row of what is answered: there a node is all that it has."""
        widths = self._widths(THING)
        named = len(self._types) if projection.star else 0
        return sum(widths.of(item.value).width for item in projection.items) + named * THING

    def _rename(self, projection: tree.Projection, sizes: dict[str, Size]) -> None:
        types = dict(self._types) if projection.star else {}
        for item in projection.items:
            if isinstance(item.value, tree.Variable) and item.value.name in self._types:
                types[item.name or item.value.name] = self._types[item.value.name]
        self._types = types
        self._sizes = {name: size for name, size in sizes.items() if name not in types}

    def _limit(self, limit: tree.Expression | None) -> float:
        match limit:
            case tree.Constant(value=int() as number):
                return float(number)
            case tree.Parameter(name=name):
                given = self._given.get(name)
                return float(given) if isinstance(given, int) else float("inf")
            case _:
                return float("inf")

    def _spend(self, node: object, rows: float) -> None:
        """Add the work of what stands in an expression: subqueries, and lists gone through."""
        match node:
            case tree.Exists() | tree.CountOf() | tree.PatternList():
                self._work += rows * self._inside(node)[0]
            case tree.Comprehension() | tree.Quantifier():
                items = self._widths().of(node.list).items
                self._work += rows * items
                self._spend(node.list, rows)
                inner = rows * max(items, 1.0)
                for part in tree.parts(node):
                    if part is not node.list:
                        self._spend(part, inner)
            case _:
                for part in tree.parts(node):
                    self._spend(part, rows)

    def _inside(self, node: _Subquery) -> tuple[float, float]:
        """Estimate a subquery for one row, once: its work, and the rows that it gives."""
        if id(node) not in self._subqueries:
            patterns = (node.pattern,) if isinstance(node, tree.PatternList) else node.patterns
            inner = _Estimator(self._figures, self._given)
            inner._types, inner._sizes = dict(self._types), dict(self._sizes)
            inner._subqueries = self._subqueries
            inner._match(tree.Match(patterns=patterns, where=node.where, optional=False, at=0))
            if isinstance(node, tree.PatternList):
                inner._spend(node.result, inner._rows)
            self._subqueries[id(node)] = (inner._work, inner._rows)
        return self._subqueries[id(node)]

    def _hold(self, width: float) -> None:
        self._held = max(self._held, width)

    def _widths(self, thing: float = NUMBER) -> Widths:
        return Widths(self._sizes, self._given, self._rows, self._fan_out, thing)

    def _fan_out(self, node: tree.PatternList) -> float:
        return self._inside(node)[1]
