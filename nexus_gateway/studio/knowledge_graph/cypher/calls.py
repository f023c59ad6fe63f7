"""Writes what is made of more than values: functions, lists out of lists, subqueries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_gateway.studio.knowledge_graph.cypher import tree
from nexus_gateway.studio.knowledge_graph.cypher.functions import (
    AGGREGATES,
    NAMES,
    OF_DATA,
    OF_GRAPH,
    OF_LISTS,
)
from nexus_gateway.studio.knowledge_graph.cypher.kinds import (
    DATA,
    EDGE,
    NODE,
    PATH,
    TIME,
    Kind,
    called,
    list_of,
)
from nexus_gateway.studio.knowledge_graph.cypher.misread import Misread
from nexus_gateway.studio.knowledge_graph.cypher.scope import Known, Names, Scope
from nexus_gateway.studio.knowledge_graph.cypher.values import ValueWriter, Written, refuse

if TYPE_CHECKING:
    from nexus_gateway.studio.knowledge_graph.cypher.graphs import Moment


class CallWriter(ValueWriter):
    """Writes calls and subqueries of one statement."""

    def __init__(self, names: Names, moment: Moment | None) -> None:
        super().__init__(names, moment)
        self._aggregates = False

    def item(self, node: tree.Expression, scope: Scope) -> Written:
        """Write an expression in which rows may be counted, summed up or collected."""
        self._aggregates = True
        try:
            return self.write(node, scope)
        finally:
            self._aggregates = False

    def composed(self, node: tree.Expression, scope: Scope) -> Written:
        """Write what is made of more than values."""
        match node:
            case tree.Call():
                return self._call(node, scope)
            case tree.HasLabel():
                return self._label(node, scope)
            case tree.Comprehension():
                return self._comprehension(node, scope)
            case tree.Quantifier():
                known, listed = self.item_of(node.list, scope)
                where = self._inner(node.where, scope.within({node.name: known}))
                return f"{node.kind}({known.text} IN {listed} WHERE {where})", DATA
            case tree.Exists(bare=True):
                message = "expected a value, found a pattern: use EXISTS {...} or COUNT {...}"
                raise Misread(node.at, message)
            case tree.Exists() | tree.CountOf():
                return self._subquery(node, scope)
            case tree.PatternList():
                return self._pattern_list(node, scope)
            case _:  # pragma: no cover - `write` takes the others
                raise Misread(node.at, "expected a value")

    def exists(self, node: tree.Exists, scope: Scope) -> str:
        """Write whether a pattern is found."""
        return self._subquery(node, scope)[0]

    # --- functions ---

    def _call(self, node: tree.Call, scope: Scope) -> Written:
        name = node.name.lower()
        if name in AGGREGATES:
            return self._aggregate(node, AGGREGATES[name], scope)
        if node.star or node.distinct:
            raise Misread(node.at, f"expected values as the arguments of {node.name!r}")
        if name in OF_DATA:
            return self._of_data(node, scope)
        if name == "coalesce" and node.arguments:
            return self._coalesce(node, scope)
        if name not in OF_GRAPH and name not in OF_LISTS and name != "length":
            names = ", ".join(NAMES)
            raise Misread(node.at, f"expected one of the functions {names}, found {node.name!r}")
        if len(node.arguments) != 1:
            raise Misread(node.at, f"expected one argument of {node.name!r}")
        text, kind = self.write(node.arguments[0], scope)
        if name == "length":
            return self._graph("length", (PATH, DATA), node, (text, kind))
        if name in OF_GRAPH:
            written, taken, given = OF_GRAPH[name]
            return self._graph(written, (taken, given), node, (text, kind))
        if not kind.is_data and kind.item is None:
            refuse(node.arguments[0], "a list", kind)
        given = {"size": DATA, "tail": kind, "reverse": kind}.get(name, kind.item or DATA)
        return f"{OF_LISTS[name]}({text})", given

    def _graph(
        self, name: str, kinds: tuple[Kind, Kind], node: tree.Call, argument: Written
    ) -> Written:
        if argument[1] != kinds[0]:
            refuse(node.arguments[0], called(kinds[0]), argument[1])
        return f"{name}({argument[0]})", kinds[1]

    def _of_data(self, node: tree.Call, scope: Scope) -> Written:
        function = OF_DATA[node.name.lower()]
        if not function.least <= len(node.arguments) <= function.most:
            raise Misread(
                node.at,
                f"expected {function.least} to {function.most} arguments of {function.name},"
                f" found {len(node.arguments)}",
            )
        if function.name == "range":
            for argument in node.arguments:
                _check_bounded(argument)
                if isinstance(argument, tree.Parameter):
                    self.names.whole_numbers.add(argument.name)
        if function.name in ("toString", "toInteger", "toFloat"):
            text = self.convertible(node.arguments[0], scope, function=function.name)
            return f"{function.name}({text})", DATA
        texts = [self.data(argument, scope) for argument in node.arguments]
        if function.text:
            return f"{function.text.format(*texts)}", DATA
        return f"{function.name}({', '.join(texts)})", DATA

    def _coalesce(self, node: tree.Call, scope: Scope) -> Written:
        written = [self.write(argument, scope) for argument in node.arguments]
        kind = self.joined(node.arguments, [kind for _, kind in written])
        return f"coalesce({', '.join(text for text, _ in written)})", kind

    def _aggregate(self, node: tree.Call, name: str, scope: Scope) -> Written:
        if not self._aggregates:
            raise Misread(node.at, f"{name} stands in WITH or RETURN, and in no other aggregate")
        if node.star and name != "count":
            raise Misread(node.at, f"expected a value as the argument of {name}")
        if node.star:
            return "count(*)", DATA
        if len(node.arguments) != 1:
            raise Misread(node.at, f"expected one argument of {name}")
        argument = node.arguments[0]
        self._aggregates = False
        text, kind = self.write(argument, scope)
        self._aggregates = True
        distinct = "DISTINCT " if node.distinct else ""
        written = f"{name}({distinct}{text})"
        if name == "collect":
            return written, list_of(kind)
        if name == "count":
            return written, DATA
        if kind == TIME and name in ("min", "max"):
            return written, TIME
        if not kind.is_data:
            refuse(argument, "a value", kind)
        return written, DATA

    # --- lists and subqueries ---

    def _label(self, node: tree.HasLabel, scope: Scope) -> Written:
        known = scope.of(node.of)
        if known.kind not in (NODE, EDGE):
            refuse(node.of, "a node or an edge before ':'", known.kind)
        if not node.labels:
            return f"({known.text} IS NOT NULL)", DATA
        listed = ", ".join(self.names.constant(label) for label in node.labels)
        own = f"type({known.text})" if known.kind == EDGE else f"{known.text}.entity_type"
        return f"({own} IN [{listed}])", DATA

    def _comprehension(self, node: tree.Comprehension, scope: Scope) -> Written:
        known, listed = self.item_of(node.list, scope)
        inner = scope.within({node.name: known})
        text, kind = f"{known.text} IN {listed}", known.kind
        if node.where is not None:
            text += f" WHERE {self._inner(node.where, inner)}"
        if node.result is not None:
            outer, self._aggregates = self._aggregates, False
            result, kind = self.write(node.result, inner)
            self._aggregates = outer
            text += f" | {result}"
        return f"[{text}]", list_of(kind)

    def item_of(self, node: tree.Expression, scope: Scope) -> tuple[Known, str]:
        """Write a list, and name an item of it."""
        listed, kind = self.write(node, scope)
        if not kind.is_data and kind.item is None:
            refuse(node, "a list", kind)
        return Known(self.names.variable(), kind.item or DATA), listed

    def _inner(self, where: tree.Expression, scope: Scope) -> str:
        outer, self._aggregates = self._aggregates, False
        text = self.condition(where, scope)
        self._aggregates = outer
        return text

    def _subquery(self, node: tree.Exists | tree.CountOf, scope: Scope) -> Written:
        matched = self.matched(node.patterns, scope)
        if isinstance(node, tree.Exists) and node.bare:
            for name in matched.scope.keys() - scope.keys():
                raise Misread(node.at, f"the name {name!r} is not known here: use EXISTS {{...}}")
        more = [] if node.where is None else [self._inner(node.where, matched.scope)]
        inner = f"{{ MATCH {matched.where(*more)} }}"
        if isinstance(node, tree.Exists):
            return f"EXISTS {inner}", DATA
        # Behind a bracket alone, one engine takes COUNT for the name of a node.
        return f"(0 + COUNT {inner})", DATA

    def _pattern_list(self, node: tree.PatternList, scope: Scope) -> Written:
        if node.pattern.shortest:
            raise Misread(node.at, "a shortest path stands in MATCH")
        matched = self.matched([node.pattern], scope)
        more = [] if node.where is None else [self._inner(node.where, matched.scope)]
        outer, self._aggregates = self._aggregates, False
        result, kind = self.write(node.result, matched.scope)
        self._aggregates = outer
        return f"[{matched.where(*more)} | {result}]", list_of(kind)


def _check_bounded(node: tree.Expression) -> None:
    """Refuse an end of a range that is only known when the query runs.

    Raises:
        Misread: it is neither a number, a parameter nor a size.
    """
    match node:
        case tree.Constant(value=value) if type(value) is not int:
            raise Misread(node.at, "expected a whole number as an end or a step of range")
        case tree.Constant() | tree.Parameter():
            return
        case tree.Binary(sign="+" | "-"):
            _check_bounded(node.left)
            _check_bounded(node.right)
        case tree.Call(name=name) if name.lower() in ("size", "length"):
            return
        case _:
            raise Misread(node.at, "expected a number, a parameter or a size as an end of range")
