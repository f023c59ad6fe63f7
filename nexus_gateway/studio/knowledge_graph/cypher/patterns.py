"""Reads patterns: nodes in round brackets, edges between them in square ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from nexus_gateway.studio.knowledge_graph.cypher import tree
from nexus_gateway.studio.knowledge_graph.cypher.misread import Misread, Writes

if TYPE_CHECKING:
    from nexus_gateway.studio.knowledge_graph.cypher.stream import Stream
    from nexus_gateway.studio.knowledge_graph.cypher.tree import Expression

DEPTH = 6
"""Steps that an edge of variable length may take."""
NODES = 32
"""Nodes of all patterns of one query: to plan a pattern takes an engine long where it is long."""
LABEL = "Entity"
"""The label that every node has; any other is its `entity_type`."""

_WRITING = frozenset(
    [
        "CREATE",
        "MERGE",
        "SET",
        "DELETE",
        "DETACH",
        "NODETACH",
        "REMOVE",
        "FOREACH",
        "INSERT",
        "DROP",
        "ALTER",
        "GRANT",
        "DENY",
        "REVOKE",
        "CALL",
        "LOAD",
        "USE",
        "START",
        "STOP",
        "TERMINATE",
        "SHOW",
    ]
)
"""Clauses that change something, or that call what may; none of them reads the caller's graph."""


class Patterns(ABC):
    """Reads patterns from a stream."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._nodes = 0

    @abstractmethod
    def expression(self) -> Expression:
        """Read an expression."""

    @abstractmethod
    def map(self) -> tree.MapOf:
        """Read a map."""

    def refuse_writes(self) -> None:
        """Refuse a clause that is not of a reading query.

        Raises:
            Writes: it is one.
        """
        token = self.stream.now
        if token.keyword not in _WRITING:
            return
        words = [token.keyword]
        if token.keyword in ("DETACH", "NODETACH", "LOAD") and self.stream.ahead().keyword:
            words.append(self.stream.ahead().keyword)
        raise Writes(token.at, " ".join(words))

    def begins_pattern(self, ahead: int = 0) -> bool:
        """Say whether a bracket opens a node that an edge follows."""
        stream, depth = self.stream, 0
        while stream.ahead(ahead).sort != "end":
            token = stream.ahead(ahead)
            if token.sort == "sign":
                depth += (token.text in "([{") - (token.text in ")]}")
            ahead += 1
            if depth <= 0:
                break
        one, two, three = (self._sign_at(ahead + more) for more in range(3))
        return (one == "-" and two in ("-", "[")) or (
            one == "<" and two == "-" and three in ("-", "[")
        )

    def _sign_at(self, ahead: int) -> str:
        token = self.stream.ahead(ahead)
        return token.text if token.sort == "sign" else ""

    def pattern_list(self) -> tuple[tree.Pattern, ...]:
        """Read patterns that commas separate."""
        found = [self.named_pattern()]
        while self.stream.skip_sign(","):
            found.append(self.named_pattern())
        return tuple(found)

    def named_pattern(self) -> tree.Pattern:
        """Read a pattern that may have a name, and may ask for the shortest path."""
        stream = self.stream
        name = None
        if stream.now.sort in ("word", "quoted") and self._sign_at(1) == "=":
            name = stream.name("a path's name")
            stream.sign("=")
        if not stream.is_word("SHORTESTPATH", "ALLSHORTESTPATHS"):
            return self.pattern(name)
        token = stream.take()
        stream.sign("(")
        pattern = self.pattern(name)
        stream.sign(")")
        if token.keyword == "ALLSHORTESTPATHS":
            raise Misread(token.at, "expected shortestPath: ask /paths for all of them")
        if len(pattern.edges) != 1 or pattern.edges[0].steps is None:
            raise Misread(token.at, "expected one edge of variable length: (a)-[*..4]->(b)")
        return tree.Pattern(
            name=name, nodes=pattern.nodes, edges=pattern.edges, shortest=True, at=pattern.at
        )

    def pattern(self, name: str | None = None) -> tree.Pattern:
        """Read nodes and the edges between them."""
        at = self.stream.now.at
        nodes, edges = [self._node()], list[tree.EdgePattern]()
        while self.stream.is_sign("-", "<"):
            edges.append(self._edge())
            nodes.append(self._node())
        return tree.Pattern(name=name, nodes=tuple(nodes), edges=tuple(edges), at=at)

    def _node(self) -> tree.NodePattern:
        stream = self.stream
        if not stream.is_sign("("):
            stream.refuse("a node, such as (n)")
        at = stream.take().at
        self._nodes += 1
        if self._nodes > NODES:
            raise Misread(at, f"expected no more than {NODES} nodes in all patterns")
        name = None
        if stream.now.sort in ("word", "quoted") and not stream.is_word("WHERE"):
            name = stream.take().text
        labels = self.labels() if stream.is_sign(":") else ()
        properties = self._properties()
        if stream.is_word("WHERE"):
            stream.refuse("')': a condition stands after the pattern")
        if not stream.is_sign(")"):
            stream.refuse("':', '{' or ')'")
        stream.take()
        return tree.NodePattern(name=name, labels=labels, properties=properties, at=at)

    def labels(self) -> tuple[str, ...]:
        """Read `:one|other`, or `:Entity:one`.

        Raises:
            Misread: a node would have to be of two types.
        """
        stream = self.stream
        found: list[tuple[str, ...]] = []
        at = stream.now.at
        while stream.skip_sign(":"):
            group = [stream.name("a label")]
            while stream.skip_sign("|"):
                stream.skip_sign(":")
                group.append(stream.name("a label"))
            if stream.is_sign("&", "!", "%"):
                stream.refuse("'|' between labels")
            if LABEL not in group:
                found.append(tuple(group))
        if len(found) > 1:
            raise Misread(at, "a node has one type: expected '|' between labels")
        return found[0] if found else ()

    def _properties(self) -> tree.MapOf | None:
        if self.stream.now.sort == "parameter":
            self.stream.refuse("a map of properties, such as {name: $name}")
        return self.map() if self.stream.is_sign("{") else None

    def _edge(self) -> tree.EdgePattern:
        stream = self.stream
        at = stream.now.at
        back = stream.skip_sign("<")
        stream.sign("-")
        inner = self._inside() if stream.is_sign("[") else (None, (), None, None)
        stream.sign("-")
        forth = stream.skip_sign(">")
        name, types, steps, properties = inner
        direction: tree.Direction = "both" if back == forth else "in" if back else "out"
        return tree.EdgePattern(
            name=name,
            types=types,
            direction=direction,
            steps=steps,
            properties=properties,
            at=at,
        )

    def _inside(
        self,
    ) -> tuple[str | None, tuple[str, ...], tuple[int, int] | None, tree.MapOf | None]:
        stream = self.stream
        stream.sign("[")
        name = stream.take().text if stream.now.sort in ("word", "quoted") else None
        types: list[str] = []
        if stream.skip_sign(":"):
            types.append(stream.name("a type of edges"))
            while stream.skip_sign("|"):
                stream.skip_sign(":")
                types.append(stream.name("a type of edges"))
        steps = self._steps() if stream.is_sign("*") else None
        properties = self._properties()
        if not stream.is_sign("]"):
            stream.refuse("':', '*', '{' or ']'")
        stream.take()
        return name, tuple(types), steps, properties

    def _steps(self) -> tuple[int, int]:
        """Read `*1..3`; the second number is wanted, unless there is but one.

        Raises:
            Misread: there is no second, or it is too large.
        """
        stream = self.stream
        at = stream.sign("*").at
        first = self._count()
        if not stream.skip_sign(".."):
            last = first
        else:
            last = self._count()
            first = 1 if first is None else first
        if first is None or last is None or last > DEPTH:
            raise Misread(at, f"expected a length with an end of at most {DEPTH}, such as *1..3")
        if first > last:
            raise Misread(at, "expected a length that does not end before it begins")
        return first, last

    def _count(self) -> int | None:
        token = self.stream.now
        if token.sort != "number":
            return None
        if not isinstance(token.value, int):
            self.stream.refuse("a whole number")
        self.stream.take()
        return token.value
