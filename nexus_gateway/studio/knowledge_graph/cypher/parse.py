"""Reads a query: clauses in the order in which they may follow one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_gateway.studio.knowledge_graph.cypher import tree
from nexus_gateway.studio.knowledge_graph.cypher.expressions import Expressions
from nexus_gateway.studio.knowledge_graph.cypher.misread import Misread
from nexus_gateway.studio.knowledge_graph.cypher.stream import Stream

if TYPE_CHECKING:
    from nexus_gateway.studio.knowledge_graph.cypher.tree import Expression

CLAUSES = 24
"""Clauses of one query."""
DEEP = 80
"""How deep a query's tree may be: what is added ten times is ten deep."""


def parse(text: str) -> tree.Query:
    """Read a query as a tree.

    Raises:
        Misread: it is not of the part of openCypher that is answered.
        Writes: it would change something.
    """
    query = Clauses(Stream(text)).query()
    _check_depth(query)
    return query


def _check_depth(query: tree.Query) -> None:
    """Refuse a tree that goes too deep, for us and for the engine that reads it again.

    Raises:
        Misread: it does.
    """
    left: list[tuple[object, int, int]] = [(query, 0, 0)]
    while left:
        node, depth, at = left.pop()
        if isinstance(node, tree.Part):
            depth, at = depth + 1, node.at
            if depth > DEEP:
                raise Misread(at, f"expected no more than {DEEP} parts within one another")
        left += ((part, depth, at) for part in tree.parts(node))


class Clauses(Expressions):
    """Reads clauses from a stream."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self._clauses = 0

    def query(self) -> tree.Query:
        """Read everything."""
        at = self.stream.now.at
        singles, every = [self._single()], list[bool]()
        while self.stream.is_word("UNION"):
            where = self.stream.take().at
            every.append(self.stream.skip_word("ALL"))
            if every[-1] != every[0]:
                raise Misread(where, "expected UNION as before: either each has ALL or none")
            singles.append(self._single())
        self.stream.skip_sign(";")
        if self.stream.now.sort != "end":
            self.refuse_writes()
            self.stream.refuse("the end of the query")
        return tree.Query(singles=tuple(singles), every=tuple(every), at=at)

    def _single(self) -> tree.Single:
        at = self.stream.now.at
        clauses: list[tree.Clause] = []
        while not clauses or not isinstance(clauses[-1], tree.Return):
            self._clauses += 1
            if self._clauses > CLAUSES:
                raise Misread(self.stream.now.at, f"expected no more than {CLAUSES} clauses")
            clauses.append(self._clause(clauses))
        return tree.Single(clauses=tuple(clauses), at=at)

    def _clause(self, before: list[tree.Clause]) -> tree.Clause:
        stream = self.stream
        self.refuse_writes()
        at = stream.now.at
        if stream.is_word("OPTIONAL", "MATCH"):
            optional = stream.skip_word("OPTIONAL")
            self.refuse_writes()
            stream.word("MATCH")
            patterns = self.pattern_list()
            return tree.Match(patterns=patterns, where=self._where(), optional=optional, at=at)
        if stream.skip_word("UNWIND"):
            listed = self.expression()
            stream.word("AS")
            return tree.Unwind(list=listed, name=stream.name("a name"), at=at)
        if stream.skip_word("WITH"):
            return tree.With(projection=self._projection(), where=self._where(), at=at)
        if not stream.skip_word("RETURN"):
            follows = "WHERE, " if before and isinstance(before[-1], tree.Match) else ""
            stream.refuse(f"{follows}MATCH, OPTIONAL MATCH, UNWIND, WITH or RETURN")
        return tree.Return(projection=self._projection(), at=at)

    def _where(self) -> Expression | None:
        return self.expression() if self.stream.skip_word("WHERE") else None

    def _projection(self) -> tree.Projection:
        stream = self.stream
        at = stream.now.at
        distinct = stream.skip_word("DISTINCT")
        star = stream.skip_sign("*")
        items: list[tree.Item] = []
        if not star or stream.skip_sign(","):
            items.append(self._item())
            while stream.skip_sign(","):
                items.append(self._item())
        order = self._order()
        skip = self.expression() if stream.skip_word("SKIP", "OFFSET") else None
        limit = self.expression() if stream.skip_word("LIMIT") else None
        return tree.Projection(
            items=tuple(items),
            star=star,
            distinct=distinct,
            order=order,
            skip=skip,
            limit=limit,
            at=at,
        )

    def _item(self) -> tree.Item:
        stream = self.stream
        first = stream.now
        value = self.expression()
        said = stream.text[first.at : stream.ahead(-1).end]
        name = stream.name("a name") if stream.skip_word("AS") else None
        return tree.Item(value=value, name=name, said=said, at=first.at)

    def _order(self) -> tuple[tree.Order, ...]:
        stream = self.stream
        if not stream.skip_word("ORDER"):
            return ()
        stream.word("BY")
        keys: list[tree.Order] = []
        while not keys or stream.skip_sign(","):
            at = stream.now.at
            key = self.expression()
            descending = stream.skip_word("DESC", "DESCENDING")
            if not descending:
                stream.skip_word("ASC", "ASCENDING")
            keys.append(tree.Order(key=key, descending=descending, at=at))
        return tuple(keys)
