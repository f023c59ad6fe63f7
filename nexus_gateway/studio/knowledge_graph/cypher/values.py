"""Writes expressions anew, each with its kind; what is between two values is put in brackets."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from nexus_gateway.studio.knowledge_graph import rows
from nexus_gateway.studio.knowledge_graph.cypher import properties, tree
from nexus_gateway.studio.knowledge_graph.cypher.functions import AGGREGATES
from nexus_gateway.studio.knowledge_graph.cypher.graphs import GraphWriter
from nexus_gateway.studio.knowledge_graph.cypher.kinds import (
    DATA,
    EDGE,
    NODE,
    NULL,
    TIME,
    Kind,
    called,
    join,
    list_of,
    map_of,
)
from nexus_gateway.studio.knowledge_graph.cypher.misread import Misread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_gateway.studio.knowledge_graph.cypher.scope import Scope

Written: TypeAlias = tuple[str, Kind]

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_LOGIC = frozenset(("AND", "OR", "XOR"))
_ORDERED = frozenset(("<", "<=", ">", ">="))
_EQUAL = frozenset(("=", "<>"))
_ARITHMETIC = frozenset(("-", "*", "/", "%", "^"))


def moment(text: str) -> int | None:
    """Read a time with its zone, as the graph keeps it; none where it is not one."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if found.tzinfo is None else rows.micros(found)


class ValueWriter(GraphWriter):
    """Writes expressions of one statement."""

    def write(  # noqa: PLR0911  # one for each form
        self, node: tree.Expression, scope: Scope
    ) -> Written:
        """Write an expression.

        Raises:
            Misread: it cannot be answered, or not by both engines alike.
        """
        match node:
            case tree.Constant():
                return self._constant(node)
            case tree.Parameter():
                return self.names.parameter(node.name), DATA
            case tree.Variable():
                known = scope.of(node)
                return known.text, known.kind
            case tree.Property():
                return self._property(node, scope)
            case tree.Index() | tree.Slice():
                return self._part(node, scope)
            case tree.ListOf() | tree.MapOf():
                return self._collection(node, scope)
            case tree.Unary():
                return self._unary(node, scope)
            case tree.Binary():
                return self._binary(node, scope)
            case tree.Case():
                return self._case(node, scope)
            case _:
                return self.composed(node, scope)

    def composed(self, node: tree.Expression, scope: Scope) -> Written:
        """Write what is made of more than values: calls, lists made of lists, subqueries."""
        raise NotImplementedError

    def data(self, node: tree.Expression, scope: Scope) -> str:
        """Write what must be plain data.

        Raises:
            Misread: it is not.
        """
        text, kind = self.write(node, scope)
        if not kind.is_data:
            refuse(node, "a value", kind)
        return text

    def fitting(self, kind: Kind, value: tree.Expression, scope: Scope) -> str:
        """Write a value that something of a kind is compared with.

        Raises:
            Misread: the two are never equal, or not comparable.
        """
        text, found = self.write(value, scope)
        if kind == TIME:
            return self._as_time(value, (text, found))
        if kind.is_data and found.is_data:
            return text
        if join(kind, found) is None or "json" in (kind.sort, found.sort):
            refuse(value, f"what {called(kind)} can be compared with", found)
        return text

    def _as_time(self, value: tree.Expression, written: Written) -> str:
        """Write what is compared with a time; texts and parameters are read as times."""
        if isinstance(value, tree.Parameter):
            return self.names.time(value.name)
        if isinstance(value, tree.Constant) and isinstance(value.value, str):
            found = moment(value.value)
            if found is None:
                raise Misread(value.at, "expected a time such as '2026-01-01T00:00:00Z'")
            return self.names.constant(found)
        if join(TIME, written[1]) != TIME:
            refuse(value, "a time, as a text or a parameter", written[1])
        return written[0]

    def _constant(self, node: tree.Constant) -> Written:
        if node.value is None:
            return "null", NULL
        if isinstance(node.value, bool):
            return str(node.value).lower(), DATA
        return self.names.constant(node.value), DATA

    # --- parts of values ---

    def _property(self, node: tree.Property, scope: Scope) -> Written:
        inner = node.of
        if not isinstance(inner, tree.Property) or inner.name != "attributes":
            return self._property_of(self.write(inner, scope), node, scope)
        written = self.write(inner.of, scope)
        if written[1] in (NODE, EDGE):
            return f"{written[0]}.{properties.attribute(node.name, node.at)}", DATA
        return self._property_of(self._property_of(written, inner, scope), node, scope)

    def _property_of(self, written: Written, node: tree.Property, scope: Scope) -> Written:
        text, kind = written
        if kind in (NODE, EDGE):
            return properties.read(text, kind.sort, node)
        if kind.sort == "map" and (found := kind.field(node.name)) is not None:
            return f"{text}.{key(node.name, node.at)}", found
        if not kind.is_data or not _may_be_map(node.of, scope):
            what = "a value that is no map" if kind.is_data else called(kind)
            raise Misread(node.at, f"{what} has no property {node.name!r}")
        # One engine answers `5.a` with 5; by its name in brackets, both take maps alone.
        return f"{text}['{key(node.name, node.at)[1:-1]}']", DATA

    def _part(self, node: tree.Index | tree.Slice, scope: Scope) -> Written:
        text, kind = self.write(node.of, scope)
        if not kind.is_data and kind.item is None:
            raise Misread(node.at, f"{called(kind)} has no parts by number: expected a list")
        if isinstance(node, tree.Slice):
            return self._slice(text, node, scope), kind
        return f"{text}[{self.data(node.key, scope)}]", kind.item or DATA

    def _slice(self, text: str, node: tree.Slice, scope: Scope) -> str:
        """Write a slice, which is null if an end is: one engine refuses such an end."""
        ends = ["" if end is None else self.data(end, scope) for end in (node.first, node.end)]
        nulls = [
            f"{end} IS NULL"
            for end, of in zip(ends, (node.first, node.end), strict=True)
            if of is not None and not _is_number(of)
        ]
        written = f"{text}[{'..'.join(ends)}]"
        return f"CASE WHEN {' OR '.join(nulls)} THEN null ELSE {written} END" if nulls else written

    def condition(self, node: tree.Expression, scope: Scope) -> str:
        """Write what must be true, false or null.

        The embedded engine takes any value for a truth value. A value of which the text does not
        tell whether it is one is therefore checked when the query runs.

        Raises:
            Misread: it is never a truth value.
        """
        if isinstance(node, tree.Exists):
            return self.exists(node, scope)
        text = self.data(node, scope)
        known = _is_condition(node)
        if known is False:
            raise Misread(node.at, "expected a condition, which is true, false or null")
        if known:
            return text
        if isinstance(node, tree.Variable | tree.Parameter | tree.Property) or _is_extreme(node):
            return self._checked(text)
        # Named, so that nested checks do not multiply the text.
        name = self.names.variable()
        return f"head([{name} IN [{text}] | {self._checked(name)}])"

    def exists(self, node: tree.Exists, scope: Scope) -> str:
        """Write whether a pattern is found."""
        raise NotImplementedError

    def _checked(self, text: str) -> str:
        return (
            f"(CASE WHEN {text} IS NULL THEN null WHEN {text} = true THEN true"
            f" WHEN {text} = false THEN false ELSE {self._failing(text)} = 1 END)"
        )

    def _failing(self, text: str) -> str:
        # Both engines refuse a division by zero; it names the value so as not to run before.
        zero = self.names.constant(0)
        return f"(1 / CASE WHEN {text} IS NULL THEN 1 ELSE {zero} END)"

    def _operand(self, node: tree.Expression, scope: Scope) -> str:
        """Write an operand of arithmetic.

        The embedded engine makes null of what is no number. A value of which the text does not
        tell whether it is one is therefore checked when the query runs.

        Raises:
            Misread: it is never a number.
        """
        text = self.data(node, scope)
        if _is_never_number(node):
            raise Misread(node.at, "expected a number")
        if isinstance(node, tree.Variable | tree.Parameter | tree.Property):
            return f"(CASE {self._numbers(text)} ELSE {self._failing(text)} END)"
        return text

    def _numbers(self, text: str) -> str:
        # Only numbers are on either side of a number.
        one = self.names.constant(1)
        return f"WHEN {text} IS NULL THEN null WHEN {text} < {one} OR {text} >= {one} THEN {text}"

    def _divisor(self, node: tree.Expression, scope: Scope) -> str:
        """Write a divisor; the embedded engine makes null of a fraction divided by zero.

        Raises:
            Misread: it is never a number, or is zero.
        """
        text = self.data(node, scope)
        if _is_never_number(node):
            raise Misread(node.at, "expected a number")
        if isinstance(node, tree.Constant):
            if isinstance(node.value, float) and node.value == 0.0:
                raise Misread(node.at, "expected a divisor other than zero")
            return text
        if isinstance(node, tree.Variable | tree.Parameter | tree.Property):
            return self._not_zero(text)
        if _has_aggregate(node):
            # One engine evaluates no aggregate within CASE or a list comprehension.
            return text
        name = self.names.variable()
        return f"head([{name} IN [{text}] | {self._not_zero(name)}])"

    def _not_zero(self, text: str) -> str:
        fails = self._failing(text)
        zero = self.names.constant(0)
        return f"(CASE WHEN {text} = {zero} THEN {fails} {self._numbers(text)} ELSE {fails} END)"

    def convertible(self, node: tree.Expression, scope: Scope, *, function: str) -> str:
        """Write what a function makes a text or a number of.

        Raises:
            Misread: it is never such a value.
        """
        text = self.data(node, scope)
        if isinstance(node, tree.ListOf | tree.MapOf | tree.Comprehension):
            raise Misread(node.at, f"expected what {function} takes, found a list or a map")
        if not isinstance(node, tree.Variable | tree.Parameter | tree.Property):
            return text
        empty = self.names.constant("")
        more = f"WHEN {text} < {empty} OR {text} >= {empty} THEN {text}"
        if function != "toFloat":
            more += f" WHEN {text} = true OR {text} = false THEN {text}"
        return f"(CASE {self._numbers(text)} {more} ELSE {self._failing(text)} END)"

    def _collection(self, node: tree.ListOf | tree.MapOf, scope: Scope) -> Written:
        if isinstance(node, tree.MapOf):
            entries = {name: self.write(value, scope) for name, value in node.entries}
            text = ", ".join(
                f"{key(name, node.at)}: {value}" for name, (value, _) in entries.items()
            )
            return f"{{{text}}}", map_of({name: kind for name, (_, kind) in entries.items()})
        items = [self.write(item, scope) for item in node.items]
        kind = self.joined(node.items, [kind for _, kind in items])
        return f"[{', '.join(text for text, _ in items)}]", list_of(kind)

    # --- operators ---

    def _unary(self, node: tree.Unary, scope: Scope) -> Written:
        if node.sign in ("IS NULL", "IS NOT NULL"):
            return f"({self.write(node.of, scope)[0]} {node.sign})", DATA
        if node.sign == "NOT":
            return f"(NOT {self.condition(node.of, scope)})", DATA
        return f"(-{_apart(self._operand(node.of, scope))})", DATA

    def _binary(self, node: tree.Binary, scope: Scope) -> Written:
        sign = node.sign
        if sign in _EQUAL or sign in _ORDERED:
            return self._comparison(node, scope)
        if sign == "IN":
            return self._within(node, scope)
        if sign in _LOGIC:
            left, right = self.condition(node.left, scope), self.condition(node.right, scope)
            return f"({left} {sign} {right})", DATA
        if sign != "+":
            read = self._operand if sign in _ARITHMETIC else self.data
            left = read(node.left, scope)
            right = self._divisor(node.right, scope) if sign in "/%" else read(node.right, scope)
            return f"({left} {sign} {_apart(right)})", DATA
        (left, one), (right, other) = self.write(node.left, scope), self.write(node.right, scope)
        kind = DATA
        if not (one.is_data and other.is_data):
            item = join(one.item or one, other.item or other)
            if item is None or (one.item is None and other.item is None):
                refuse(node.right, f"what {called(one)} can be added to", other)
            kind = list_of(item)
        return f"({left} + {right})", kind

    def _comparison(self, node: tree.Binary, scope: Scope) -> Written:
        left, right = self.write(node.left, scope), self.write(node.right, scope)
        (one, other), kinds = (left[0], right[0]), (left[1], right[1])
        if TIME in kinds:
            one, other = self._as_time(node.left, left), self._as_time(node.right, right)
        elif not (kinds[0].is_data and kinds[1].is_data):
            both = join(*kinds)
            if both is None:
                refuse(node.right, f"what {called(kinds[0])} can be compared with", kinds[1])
            if node.sign in _ORDERED or both not in (NODE, EDGE):
                refuse(node.left, f"a value before {node.sign}", both)
        return f"({one} {node.sign} {other})", DATA

    def _within(self, node: tree.Binary, scope: Scope) -> Written:
        listed, kind = self.write(node.right, scope)
        if not kind.is_data and (kind.item is None or kind.item not in (NODE, EDGE, TIME)):
            refuse(node.right, "a list of values, nodes or edges", kind)
        left = self.fitting(DATA if kind.is_data else kind.item or DATA, node.left, scope)
        if not isinstance(node.right, tree.Parameter | tree.Variable | tree.Property | tree.ListOf):
            # One engine reads a bracket behind IN as a list of values, and nothing after it.
            listed = f"({listed})"
        return f"({left} IN {listed})", DATA

    def _case(self, node: tree.Case, scope: Scope) -> Written:
        parts = ["CASE"]
        if node.of is not None:
            parts.append(self.data(node.of, scope))
        results: list[tree.Expression] = []
        kinds: list[Kind] = []
        for condition, result in node.branches:
            text, kind = self.write(result, scope)
            read = self.condition if node.of is None else self.data
            parts.append(f"WHEN {read(condition, scope)} THEN {text}")
            results.append(result)
            kinds.append(kind)
        if node.otherwise is not None:
            text, kind = self.write(node.otherwise, scope)
            parts.append(f"ELSE {text}")
            results.append(node.otherwise)
            kinds.append(kind)
        return f"{' '.join(parts)} END", self.joined(results, kinds)

    def joined(self, nodes: Sequence[tree.Expression], kinds: Sequence[Kind]) -> Kind:
        """Tell the kind that several have together.

        Raises:
            Misread: they have none.
        """
        found = NULL
        for node, kind in zip(nodes, kinds, strict=True):
            both = join(found, kind)
            if both is None:
                refuse(node, f"{called(found)} as before", kind)
            found = both
        return found


def refuse(node: tree.Expression, expected: str, found: Kind) -> NoReturn:
    """Say of which kind an expression must be."""
    raise Misread(node.at, f"expected {expected}, found {called(found)}")


_CONDITIONS = _LOGIC | _ORDERED | _EQUAL | {"IN", "CONTAINS", "STARTS WITH", "ENDS WITH"}
_OF_ANYTHING = frozenset(("coalesce", "head", "last", "min", "max"))


def _is_condition(  # noqa: PLR0911  # one for each form
    node: tree.Expression,
) -> bool | None:
    """Tell whether a value is true, false or null; none where only a run can tell."""
    match node:
        case tree.Constant(value=value):
            return value is None or isinstance(value, bool)
        case tree.Unary(sign=sign):
            return sign != "-"
        case tree.Binary(sign=sign):
            return sign in _CONDITIONS
        case tree.HasLabel() | tree.Quantifier() | tree.Exists():
            return True
        case tree.Call(name=name):
            return None if name.lower() in _OF_ANYTHING else False
        case tree.Variable() | tree.Parameter() | tree.Property() | tree.Index() | tree.Case():
            return None
        case _:
            return False


def _is_extreme(node: tree.Expression) -> bool:
    """Tell whether it is an aggregate, which cannot stand within a list comprehension."""
    return isinstance(node, tree.Call) and node.name.lower() in ("min", "max")


def _is_never_number(node: tree.Expression) -> bool:
    match node:
        case tree.Constant(value=value):
            return isinstance(value, bool | str)
        case tree.ListOf() | tree.MapOf() | tree.Comprehension() | tree.PatternList():
            return True
        case _:
            return _is_condition(node) is True


def _has_aggregate(node: object) -> bool:
    if isinstance(node, tree.Call) and node.name.lower() in AGGREGATES:
        return True
    return any(map(_has_aggregate, tree.parts(node)))


def _is_number(node: tree.Expression) -> bool:
    return isinstance(node, tree.Constant) and node.value is not None


def _apart(text: str) -> str:
    """Keep a list from a sign before it: one engine reads `-[` as an edge."""
    return f"({text})" if text.startswith("[") else text


def key(name: str, at: int) -> str:
    """Write a key of a map.

    Raises:
        Misread: it is no plain word.
    """
    if _KEY.fullmatch(name) is None:
        raise Misread(at, f"expected a plain word as a map's key, found {name[:40]!r}")
    return f"`{name}`"


def _may_be_map(node: tree.Expression, scope: Scope) -> bool:
    """Tell whether data may be a map: not what is made by operators, nor of a node or an edge."""
    base = node
    while isinstance(base, tree.Property | tree.Index):
        base = base.of
    if isinstance(base, tree.Variable):
        return scope.of(base).kind.is_data
    return isinstance(base, tree.Parameter | tree.MapOf | tree.ListOf)
