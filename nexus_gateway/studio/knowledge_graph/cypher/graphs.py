"""Writes patterns anew: every node and every edge of them is held to the tenant, and to a time.

Whose data a statement reads is decided here alone: a node or an edge that is not known from before
gets the tenant, all edges along a path do, and what is known from before came through here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from nexus_gateway.studio.knowledge_graph.cypher import properties, tree
from nexus_gateway.studio.knowledge_graph.cypher.kinds import EDGE, NODE, PATH, Kind, list_of
from nexus_gateway.studio.knowledge_graph.cypher.misread import Misread
from nexus_gateway.studio.knowledge_graph.cypher.patterns import LABEL
from nexus_gateway.studio.knowledge_graph.cypher.scope import Known, Names, Scope
from nexus_gateway.studio.knowledge_graph.store import held, live
from nexus_gateway.studio.storage.graph import EDGE_TYPE

if TYPE_CHECKING:
    from collections.abc import Sequence

Moment: TypeAlias = Literal["valid", "known"]
"""Which time a query is of: when things hold, or also when they were known as they are."""

_ARROWS = {"out": ("-", "->"), "in": ("<-", "-"), "both": ("-", "-")}
_FOUND_BY = ("entity_id", "name")
"""Properties by which nodes are found; one engine refuses a pattern with one that no node has."""
_PLACED = (tree.Constant, tree.Parameter, tree.Variable)


class Matched(msgspec.Struct, frozen=True):
    """Patterns as text, what else must hold, and the names that are known with them."""

    text: str
    conditions: tuple[str, ...]
    scope: Scope

    def where(self, *more: str) -> str:
        """Write everything, with a condition of the caller's."""
        conditions = [*self.conditions, *more]
        return f"{self.text} WHERE {' AND '.join(conditions)}" if conditions else self.text


class GraphWriter(ABC):
    """Writes patterns of one statement.

    Args:
        names: of the statement.
        moment: which time it is of; none for what is.
    """

    def __init__(self, names: Names, moment: Moment | None) -> None:
        self.names = names
        self._moment = moment

    @abstractmethod
    def fitting(self, kind: Kind, value: tree.Expression, scope: Scope) -> str:
        """Write a value that something of a kind is compared with."""

    def matched(self, patterns: Sequence[tree.Pattern], scope: Scope) -> Matched:
        """Write the patterns of a MATCH; the names that they give are known to none of them."""
        writer = _Patterns(self, scope)
        text = ", ".join(writer.pattern(one) for one in patterns)
        return Matched(text, tuple(writer.conditions), writer.scope)

    def at_moment(self, name: str) -> str | None:
        """Write when something is of the query's time."""
        match self._moment:
            case "valid":
                return f"({held(name)})"
            case "known":
                return f"({live(name)})"
            case _:
                return None


class _Patterns:
    """What is collected while the patterns of one MATCH are written."""

    def __init__(self, writer: GraphWriter, scope: Scope) -> None:
        self.conditions: list[str] = []
        self.scope = scope.within({})
        self._before = scope
        self._writer = writer

    def pattern(self, pattern: tree.Pattern) -> str:
        many = any(edge.steps is not None for edge in pattern.edges)
        timed = many and self._writer.at_moment("") is not None
        path = None
        if pattern.name is not None:
            path = self._new(pattern.name, PATH, pattern.at)
        elif pattern.shortest or timed:
            path = self._writer.names.variable()
        parts = [self._node(pattern.nodes[0])]
        for edge, node in zip(pattern.edges, pattern.nodes[1:], strict=True):
            parts += [self._edge(edge, shortest=pattern.shortest), self._node(node)]
        text = "".join(parts)
        if pattern.shortest:
            text = self._shortest(text, path, pattern.at)
        if timed:
            self._along(f"nodes({path})")
        return text if path is None else f"{path} = {text}"

    def _shortest(self, text: str, path: str | None, at: int) -> str:
        if self._writer.at_moment("") is not None:
            raise Misread(at, "the shortest path at a time is asked for at /paths?as_of=")
        # One engine takes no properties within a search: the whole path is looked at instead.
        inner = self._writer.names.variable()
        self.conditions.append(
            f"all({inner} IN relationships({path}) WHERE {inner}.tenant = $tenant)"
        )
        return f"shortestPath({text})"

    def _node(self, node: tree.NodePattern) -> str:
        known = self.scope.get(node.name) if node.name is not None else None
        if known is not None:
            return self._known_node(node, known)
        name = self._named(node.name, NODE, node.at)
        placed = ["tenant: $tenant"]
        if len(node.labels) == 1:
            placed.append(f"entity_type: {self._writer.names.constant(node.labels[0])}")
        elif node.labels:
            name = name or self._writer.names.variable()
            self._labelled(name, node.labels)
        name, more = self._placed(name, "node", node.properties)
        name = self._timed(name)
        return f"({name}:{LABEL} {{{', '.join([*placed, *more])}}})"

    def _known_node(self, node: tree.NodePattern, known: Known) -> str:
        if known.kind != NODE:
            raise Misread(node.at, f"the name {node.name!r} is of something that is no node")
        if node.labels:
            self._labelled(known.text, node.labels)
        for key, value in node.properties.entries if node.properties else ():
            self._equal(known.text, "node", key, value)
        return f"({known.text})"

    def _edge(self, edge: tree.EdgePattern, *, shortest: bool) -> str:
        first, last = _ARROWS[edge.direction]
        for kind in edge.types:
            if EDGE_TYPE.fullmatch(kind) is None:
                raise Misread(edge.at, f"{kind!r} is no type of edges, which are plain words")
        types = "|".join(f"`{kind}`" for kind in dict.fromkeys(edge.types))
        types = f":{types}" if types else ""
        if edge.steps is not None:
            return f"{first}[{self._walk(edge, types, shortest=shortest)}]{last}"
        known = self.scope.get(edge.name) if edge.name is not None else None
        if known is not None:
            if known.kind != EDGE or edge.types or edge.properties:
                raise Misread(edge.at, f"the name {edge.name!r} is known, and stands alone here")
            if edge.name not in self._before:
                raise Misread(edge.at, f"the edge {edge.name!r} stands twice in one MATCH")
            return f"{first}[{known.text}]{last}"
        name = self._named(edge.name, EDGE, edge.at)
        name, more = self._placed(name, "edge", edge.properties)
        name = self._timed(name)
        return f"{first}[{name}{types} {{{', '.join(['tenant: $tenant', *more])}}}]{last}"

    def _walk(self, edge: tree.EdgePattern, types: str, *, shortest: bool) -> str:
        """Write what is between the brackets of an edge of variable length."""
        least, most = edge.steps or (1, 1)
        if shortest and (edge.name is not None or edge.properties is not None):
            raise Misread(edge.at, "the edge of a shortest path has no name and no properties")
        if shortest and least > 1:
            raise Misread(edge.at, "a shortest path begins with 1 step: *1.." + str(most))
        if shortest:
            return f"{types}*{least}..{most}"
        timed = self._writer.at_moment("") is not None
        name = self._named(edge.name, list_of(EDGE), edge.at)
        if timed:
            name = name or self._writer.names.variable()
            self._along(name)
        placed = ["tenant: $tenant"]
        for key, value in edge.properties.entries if edge.properties else ():
            if not isinstance(value, _PLACED):
                raise Misread(value.at, "expected a constant, a parameter or a name here")
            placed.append(self._entry("edge", key, value))
        return f"{name}{types}*{least}..{most} {{{', '.join(placed)}}}"

    # --- names, and what is said of them ---

    def _named(self, name: str | None, kind: Kind, at: int) -> str:
        return "" if name is None else self._new(name, kind, at)

    def _new(self, name: str, kind: Kind, at: int) -> str:
        if name in self.scope:
            raise Misread(at, f"the name {name!r} is known already")
        text = self._writer.names.variable()
        self.scope[name] = Known(text, kind)
        return text

    def _placed(self, name: str, sort: str, given: tree.MapOf | None) -> tuple[str, list[str]]:
        """Write properties that stand in a pattern, and put others into its condition."""
        placed: list[str] = []
        for key, value in given.entries if given else ():
            if isinstance(value, _PLACED) and (sort == "edge" or key in _FOUND_BY):
                placed.append(self._entry(sort, key, value))
            else:
                name = name or self._writer.names.variable()
                self._equal(name, sort, key, value)
        return name, placed

    def _entry(self, sort: str, key: str, value: tree.Expression) -> str:
        kept, kind = properties.named(sort, key, value.at)
        return f"{kept}: {self._writer.fitting(kind, value, self._before)}"

    def _equal(self, name: str, sort: str, key: str, value: tree.Expression) -> None:
        kept, kind = properties.named(sort, key, value.at)
        text = self._writer.fitting(kind, value, self._before)
        self.conditions.append(f"{name}.{kept} = {text}")

    def _labelled(self, name: str, labels: Sequence[str]) -> None:
        listed = ", ".join(self._writer.names.constant(label) for label in labels)
        self.conditions.append(f"{name}.entity_type IN [{listed}]")

    def _timed(self, name: str) -> str:
        """Hold something to the query's time; it needs a name for that."""
        if self._writer.at_moment("") is None:
            return name
        name = name or self._writer.names.variable()
        condition = self._writer.at_moment(name)
        self.conditions.append(str(condition))
        return name

    def _along(self, listed: str) -> None:
        inner = self._writer.names.variable()
        condition = self._writer.at_moment(inner)
        self.conditions.append(f"all({inner} IN {listed} WHERE {condition})")
