"""Writes WITH and RETURN: what is passed on under which name, sorted and cut how."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.knowledge_graph.cypher import tree
from nexus_gateway.studio.knowledge_graph.cypher.calls import CallWriter
from nexus_gateway.studio.knowledge_graph.cypher.functions import AGGREGATES
from nexus_gateway.studio.knowledge_graph.cypher.kinds import Kind
from nexus_gateway.studio.knowledge_graph.cypher.misread import Misread
from nexus_gateway.studio.knowledge_graph.cypher.scope import Known, Names, Scope
from nexus_gateway.studio.knowledge_graph.cypher.shapes import projected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexus_gateway.studio.knowledge_graph.cypher.graphs import Moment

COLUMNS = 64
"""Columns of one answer."""


class _Column(msgspec.Struct, frozen=True):
    """A column: the caller's name, what it is made of, of which kind, and our name."""

    name: str
    value: str
    kind: Kind
    text: str

    @property
    def known(self) -> Known:
        """What its name stands for behind the projection."""
        return Known(self.text, self.kind)


class ProjectionWriter(CallWriter):
    """Writes projections of one statement; those of its last RETURN are kept."""

    def __init__(self, names: Names, moment: Moment | None) -> None:
        super().__init__(names, moment)
        self.columns: tuple[str, ...] = ()
        self.kinds: tuple[Kind, ...] = ()
        self.counts: set[str] = set()

    def passed_on(self, clause: tree.With, scope: Scope) -> tuple[str, Scope]:
        """Write a WITH, and tell what is known behind it."""
        columns = self._columns(clause.projection, scope, last=False)
        text = f"WITH {self._projection(clause.projection, columns, scope)}"
        behind = Scope({column.name: column.known for column in columns})
        if clause.where is not None:
            text += f" WHERE {self.condition(clause.where, behind)}"
        return text, behind

    def returned(self, projection: tree.Projection, scope: Scope) -> str:
        """Write a RETURN; where it is of more than data, as a WITH and the properties of that."""
        columns = self._columns(projection, scope, last=True)
        self.columns = tuple(column.name for column in columns)
        self.kinds = tuple(column.kind for column in columns)
        text = self._projection(projection, columns, scope)
        if all(map(_is_flat, self.kinds)):
            return f"RETURN {text}"
        shown = (
            f"{projected(column.text, column.kind, self.names)} AS r{number}"
            for number, column in enumerate(columns, 1)
        )
        return f"WITH {text} RETURN {', '.join(shown)}"

    def _columns(self, projection: tree.Projection, scope: Scope, *, last: bool) -> list[_Column]:
        found: list[tuple[str, str, Kind]] = []
        if projection.star:
            found = [(name, scope[name].text, scope[name].kind) for name in sorted(scope)]
            if not found:
                raise Misread(projection.at, "expected something that is known before '*'")
        for item in projection.items:
            if any(aggregates(item.value)):
                _check_mixed(item)
            found.append((_called(item, last=last), *self.item(item.value, scope)))
        names = [name for name, _, _ in found]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise Misread(projection.at, f"two columns are called {twice!r}")
        if len(found) > COLUMNS:
            raise Misread(projection.at, f"expected no more than {COLUMNS} columns")
        return self._named_anew(found, scope, last=last)

    def _named_anew(
        self, found: list[tuple[str, str, Kind]], scope: Scope, *, last: bool
    ) -> list[_Column]:
        # Parts of a UNION must call their columns alike.
        flat = last and all(_is_flat(kind) for _, _, kind in found)
        passed: set[str] = set() if flat else {known.text for known in scope.values()}
        columns: list[_Column] = []
        for number, (name, value, kind) in enumerate(found, 1):
            text = value if value in passed else f"r{number}" if flat else self.names.variable()
            # A name that is passed on twice is passed on under two.
            passed.discard(value)
            columns.append(_Column(name, value, kind, text))
        return columns

    def _projection(self, projection: tree.Projection, columns: list[_Column], scope: Scope) -> str:
        grouped = any(any(aggregates(item.value)) for item in projection.items)
        listed = ", ".join(
            one.value if one.value == one.text else f"{one.value} AS {one.text}" for one in columns
        )
        parts = [f"DISTINCT {listed}" if projection.distinct else listed]
        if projection.order:
            kept = not grouped and not projection.distinct
            keys = (self._order(key, columns, scope, kept=kept) for key in projection.order)
            parts.append(f"ORDER BY {', '.join(keys)}")
        if projection.skip is not None:
            parts.append(f"SKIP {self._number(projection.skip)}")
        if projection.limit is not None:
            parts.append(f"LIMIT {self._number(projection.limit)}")
        return " ".join(parts)

    def _order(self, order: tree.Order, columns: list[_Column], scope: Scope, *, kept: bool) -> str:
        """Write a key of ORDER BY: a column, or what was known before where rows are kept."""
        column = self._column_of(order, columns, scope)
        if column is not None:
            text, kind = column.text, column.kind
        else:
            # One engine does not know a column's name within CASE; what it is made of, it does.
            behind = Scope(
                {
                    column.name: Known(column.value, column.kind) if kept else column.known
                    for column in columns
                }
            )
            text, kind = self._key(order, scope.within(behind) if kept else behind, kept=kept)
        if not kind.is_data and kind.sort != "time":
            raise Misread(order.at, "expected a value to sort by, such as n.name")
        return f"{text} DESC" if order.descending else text

    def _column_of(self, order: tree.Order, columns: list[_Column], scope: Scope) -> _Column | None:
        """Find the column that is called as a key is, or that is made of the same."""
        if isinstance(order.key, tree.Variable):
            name = order.key.name
            return next((column for column in columns if column.name == name), None)
        try:
            text, _ = self.item(order.key, scope)
        except Misread:
            return None
        return next((column for column in columns if column.value == text), None)

    def _key(self, order: tree.Order, scope: Scope, *, kept: bool) -> tuple[str, Kind]:
        try:
            return self.write(order.key, scope)
        except Misread as exc:
            if kept:
                raise
            message = "expected a column to sort by, as rows are grouped or made distinct"
            raise Misread(order.at, message) from exc

    def _number(self, node: tree.Expression) -> str:
        """Write how many rows to skip or to take.

        Raises:
            Misread: it is neither a whole number nor a parameter.
        """
        if isinstance(node, tree.Parameter):
            self.counts.add(node.name)
            return self.names.parameter(node.name)
        if (
            isinstance(node, tree.Constant)
            and type(node.value) is int
            and 0 <= node.value < 1 << 31
        ):
            return str(node.value)
        raise Misread(node.at, "expected a whole number from 0 on, or a parameter")


def _is_flat(kind: Kind) -> bool:
    """Tell whether an engine answers it as it is."""
    return kind.is_data or kind.sort in ("time", "json")


def _called(item: tree.Item, *, last: bool) -> str:
    """Tell how a column is called: by its name, or as it is written."""
    if item.name is not None:
        return item.name
    if not last and not isinstance(item.value, tree.Variable):
        raise Misread(item.at, f"expected a name for {item.said}, with AS")
    return item.value.name if isinstance(item.value, tree.Variable) else item.said


def aggregates(node: object) -> Iterator[tree.Call]:
    """Find the aggregates of an expression."""
    if isinstance(node, tree.Call) and node.name.lower() in AGGREGATES:
        yield node
        return
    for part in tree.parts(node):
        yield from aggregates(part)


def _check_mixed(item: tree.Item) -> None:
    """Refuse what is counted and also of each row: the two say differently what a group is."""
    for name, at in _loose(item.value, frozenset()):
        raise Misread(
            at, f"{name!r} stands beside an aggregate: take it as a column of its own, or in a WITH"
        )


def _loose(node: object, own: frozenset[str]) -> Iterator[tuple[str, int]]:
    match node:
        case tree.Call(name=name) if name.lower() in AGGREGATES:
            return
        case tree.Variable(name=name, at=at):
            if name not in own:
                yield name, at
            return
        case tree.NodePattern(name=str(name), at=at) | tree.EdgePattern(name=str(name), at=at):
            yield name, at
        case tree.Comprehension(name=name) | tree.Quantifier(name=name):
            own |= {name}
        case _:
            pass
    for part in tree.parts(node):
        yield from _loose(part, own)
