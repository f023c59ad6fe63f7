"""How large values become, before they are made: items of lists, characters altogether."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.knowledge_graph.cypher import tree
from nexus_gateway.studio.knowledge_graph.cypher.lookups import FEW

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nexus_gateway.studio.storage.graph import Value

NUMBER = 8.0
"""Characters that a number, or a property of one, counts for."""
PROPERTY = 64.0
"""Characters that a property is thought to have."""
THING = 640.0
"""Characters that a whole node or edge is thought to have, once it is answered."""


class Size(msgspec.Struct, frozen=True):
    """How many items, and how many characters; `each` is false of what is one for many rows."""

    items: float
    width: float
    each: bool = True

    @property
    def item(self) -> Size:
        """The size of one item."""
        return Size(FEW, self.width / max(self.items, 1.0))


_ONE = Size(1.0, NUMBER)


class Widths:
    """Measures expressions of a clause.

    Args:
        sizes: of what names stand for; others are nodes and edges.
        given: the parameters.
        rows: that the clause goes through.
        fan_out: tells how many items a list made of a pattern has.
        thing: how wide a node or an edge is.
    """

    def __init__(
        self,
        sizes: Mapping[str, Size],
        given: Mapping[str, Value],
        rows: float,
        fan_out: Callable[[tree.PatternList], float],
        thing: float = NUMBER,
    ) -> None:
        self._sizes = dict(sizes)
        self._given = given
        self._rows = rows
        self._fan_out = fan_out
        self._thing = thing

    def of(  # noqa: C901, PLR0911, PLR0912  # one for each form
        self, node: tree.Expression
    ) -> Size:
        """Measure an expression."""
        match node:
            case tree.Constant():
                return of_value(node.value)
            case tree.Parameter():
                return of_value(self._given.get(node.name))
            case tree.Variable():
                return self._sizes.get(node.name, Size(1.0, self._thing))
            case tree.Property() | tree.Index():
                return self._part(node)
            case tree.Slice():
                return self.of(node.of)
            case tree.ListOf():
                sizes = [self.of(item) for item in node.items]
                return Size(len(sizes), sum(size.width for size in sizes) + NUMBER)
            case tree.MapOf():
                return Size(1.0, sum(self.of(value).width + NUMBER for _, value in node.entries))
            case tree.Binary(sign="+"):
                one, other = self.of(node.left), self.of(node.right)
                return Size(one.items + other.items, one.width + other.width)
            case tree.Case():
                options = [result for _, result in node.branches]
                options += [node.otherwise] if node.otherwise is not None else []
                return _largest([self.of(option) for option in options])
            case tree.Comprehension():
                return self._comprehension(node)
            case tree.PatternList():
                items = self._fan_out(node)
                return Size(items, items * self.of(node.result).width)
            case tree.Call():
                return self._call(node)
            case _:
                return _ONE

    def _part(self, node: tree.Property | tree.Index) -> Size:
        whole = self.of(node.of)
        known = isinstance(node.of, tree.Variable) and node.of.name not in self._sizes
        if isinstance(node, tree.Property):
            return Size(FEW, PROPERTY) if known else Size(max(whole.items, FEW), whole.width)
        return whole.item if whole.items > 1 else whole

    def _comprehension(self, node: tree.Comprehension) -> Size:
        listed = self.of(node.list)
        if node.result is None:
            return listed
        sizes = {**self._sizes, node.name: listed.item}
        inner = Widths(sizes, self._given, 1.0, self._fan_out, self._thing)
        return Size(listed.items, listed.items * inner.of(node.result).width)

    def _call(self, node: tree.Call) -> Size:  # noqa: C901, PLR0911  # one for each function
        name = node.name.lower()
        sizes = [self.of(argument) for argument in node.arguments]
        if not sizes:
            return Size(1.0, NUMBER, each=False)
        first = sizes[0]
        match name:
            case "collect":
                return Size(self._rows, self._rows * first.width, each=False)
            case "min" | "max":
                return Size(first.items, first.width, each=False)
            case "count" | "sum" | "avg":
                return Size(1.0, NUMBER, each=False)
            case "size" | "length" | "tointeger" | "tofloat":
                return _ONE
            case "replace":
                return Size(1.0, first.width * max(1.0, sizes[-1].width))
            case "range":
                items = self._range(node)
                return Size(items, items * NUMBER)
            case "split":
                return Size(max(first.width, 1.0), first.width * 2)
            case "head" | "last":
                return first.item
            case "nodes" | "relationships":
                return first
            case "coalesce":
                return _largest(sizes)
            case _:
                return Size(first.items, first.width)

    def _range(self, node: tree.Call) -> float:
        ends = [self._number(argument) for argument in node.arguments]
        step = ends[2] if len(ends) > 2 and ends[2] else 1.0
        return max(0.0, (ends[1] - ends[0]) / step + 1)

    def _number(self, node: tree.Expression) -> float:
        match node:
            case tree.Constant(value=int() | float() as number):
                return float(number)
            case tree.Parameter():
                given = self._given.get(node.name)
                return float(given) if isinstance(given, int | float) else 0.0
            case tree.Binary(sign="+"):
                return self._number(node.left) + self._number(node.right)
            case tree.Binary(sign="-"):
                return self._number(node.left) - self._number(node.right)
            case tree.Call() if node.arguments:
                size = self.of(node.arguments[0])
                return max(size.items, size.width if size.items <= 1 else 0.0)
            case _:
                return 0.0


def of_value(value: Value) -> Size:
    """Measure a value that is there."""
    match value:
        case str():
            return Size(1.0, len(value))
        case list():
            return Size(len(value), sum(of_value(one).width for one in value) + NUMBER)
        case dict():
            sizes = (of_value(one).width + len(name) for name, one in value.items())
            return Size(1.0, sum(sizes) + NUMBER)
        case _:
            return _ONE


def _largest(sizes: list[Size]) -> Size:
    return Size(max(size.items for size in sizes), max(size.width for size in sizes))
