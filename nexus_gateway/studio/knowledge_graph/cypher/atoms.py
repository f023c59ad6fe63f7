"""Reads what stands alone in an expression: a value, a name, a list, a call, a subquery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeVar, cast

from nexus_gateway.studio.knowledge_graph.cypher import tree
from nexus_gateway.studio.knowledge_graph.cypher.misread import Misread
from nexus_gateway.studio.knowledge_graph.cypher.patterns import Patterns

if TYPE_CHECKING:
    from collections.abc import Callable

    from nexus_gateway.studio.knowledge_graph.cypher.tree import Expression

T = TypeVar("T")

CLAUSES = frozenset(
    [
        "MATCH",
        "OPTIONAL",
        "WHERE",
        "WITH",
        "UNWIND",
        "RETURN",
        "ORDER",
        "SKIP",
        "OFFSET",
        "LIMIT",
        "UNION",
        "ON",
        "USING",
        "FINISH",
    ]
)
"""Words that begin a clause or a part of one: no name is one of them, unless in backquotes."""
_WORDS = CLAUSES | frozenset(
    [
        "AND",
        "OR",
        "XOR",
        "NOT",
        "IN",
        "IS",
        "AS",
        "BY",
        "DISTINCT",
        "STARTS",
        "ENDS",
        "CONTAINS",
        "WHEN",
        "THEN",
        "ELSE",
        "END",
    ]
)


class Atoms(Patterns):
    """Reads atoms from a stream."""

    def atom(self) -> Expression:
        """Read one.

        Raises:
            Misread: there is none.
        """
        token = self.stream.now
        match token.sort:
            case "number":
                self.stream.take()
                return tree.Constant(value=token.value, at=token.at)
            case "text":
                self.stream.take()
                return tree.Constant(value=token.text, at=token.at)
            case "parameter":
                self.stream.take()
                return tree.Parameter(name=token.text, at=token.at)
            case "quoted":
                self.stream.take()
                return tree.Variable(name=token.text, at=token.at)
            case "word":
                return self._word()
            case _:
                return self._bracketed()

    def _bracketed(self) -> Expression:
        stream = self.stream
        at = stream.now.at
        if stream.is_sign("("):
            if self.begins_pattern():
                pattern = self.pattern()
                return tree.Exists(patterns=(pattern,), where=None, bare=True, at=at)
            stream.take()
            inner = self.expression()
            stream.sign(")")
            return inner
        if stream.is_sign("["):
            return self._list()
        if not stream.is_sign("{"):
            stream.refuse("a value")
        return self.map()

    def _word(self) -> Expression:
        stream = self.stream
        token, follows = stream.now, stream.ahead()
        if token.keyword in ("TRUE", "FALSE", "NULL"):
            stream.take()
            value = None if token.keyword == "NULL" else token.keyword == "TRUE"
            return tree.Constant(value=value, at=token.at)
        if token.keyword == "CASE":
            return self._case()
        opens = follows.text if follows.sort == "sign" else ""
        if opens == "{" and token.keyword in ("EXISTS", "COUNT"):
            return self._subquery()
        if opens == "(":
            return self._call()
        if token.keyword in _WORDS:
            stream.refuse("a value")
        stream.take()
        return tree.Variable(name=token.text, at=token.at)

    # --- lists and maps ---

    def _list(self) -> Expression:
        stream = self.stream
        at = stream.sign("[").at
        if self._begins_pattern_list():
            return self._pattern_list(at)
        if stream.now.sort in ("word", "quoted") and stream.ahead().keyword == "IN":
            return self._comprehension(at)
        items = self._until("]", self.expression)
        return tree.ListOf(items=items, at=at)

    def _begins_pattern_list(self) -> bool:
        stream = self.stream
        if stream.is_sign("("):
            return self.begins_pattern()
        named = stream.now.sort in ("word", "quoted") and stream.ahead().text == "="
        return named and stream.ahead(2).text == "(" and self.begins_pattern(2)

    def _pattern_list(self, at: int) -> Expression:
        pattern = self.named_pattern()
        where = self.expression() if self.stream.skip_word("WHERE") else None
        self.stream.sign("|")
        result = self.expression()
        self.stream.sign("]")
        return tree.PatternList(pattern=pattern, where=where, result=result, at=at)

    def _comprehension(self, at: int) -> Expression:
        stream = self.stream
        name = stream.name("a name")
        stream.word("IN")
        listed = self.expression()
        where = self.expression() if stream.skip_word("WHERE") else None
        result = self.expression() if stream.skip_sign("|") else None
        stream.sign("]")
        return tree.Comprehension(name=name, list=listed, where=where, result=result, at=at)

    def map(self) -> tree.MapOf:
        """Read `{name: value}`."""
        at = self.stream.sign("{").at
        entries = self._until("}", self._entry)
        names = [name for name, _ in entries]
        if len(set(names)) < len(names):
            raise Misread(at, "a map has a name twice")
        return tree.MapOf(entries=entries, at=at)

    def _entry(self) -> tuple[str, Expression]:
        name = self.stream.name("a name, or '}'")
        self.stream.sign(":")
        return name, self.expression()

    def _until(self, end: str, read: Callable[[], T]) -> tuple[T, ...]:
        """Read what commas separate, up to a bracket."""
        found: list[T] = []
        if not self.stream.is_sign(end):
            found.append(read())
            while self.stream.skip_sign(","):
                found.append(read())
        if not self.stream.is_sign(end):
            self.stream.refuse(f"',' or '{end}'")
        self.stream.take()
        return tuple(found)

    # --- what begins with a word ---

    def _case(self) -> Expression:
        stream = self.stream
        at = stream.word("CASE").at
        of = None if stream.is_word("WHEN") else self.expression()
        branches: list[tuple[Expression, Expression]] = []
        while not branches or stream.is_word("WHEN"):
            stream.word("WHEN")
            condition = self.expression()
            stream.word("THEN")
            branches.append((condition, self.expression()))
        otherwise = self.expression() if stream.skip_word("ELSE") else None
        stream.word("END")
        return tree.Case(of=of, branches=tuple(branches), otherwise=otherwise, at=at)

    def _call(self) -> Expression:
        stream = self.stream
        token = stream.take()
        name = token.text
        if token.keyword in ("ALL", "ANY", "NONE", "SINGLE"):
            return self._quantifier(token.at, name.lower())
        if token.keyword == "EXISTS" and self.begins_pattern(1):
            stream.sign("(")
            pattern = self.pattern()
            stream.sign(")")
            return tree.Exists(patterns=(pattern,), where=None, bare=True, at=token.at)
        if token.keyword in ("SHORTESTPATH", "ALLSHORTESTPATHS"):
            raise Misread(token.at, f"{name} stands in MATCH: MATCH p = {name}((a)-[*..4]->(b))")
        stream.sign("(")
        if stream.skip_sign("*"):
            stream.sign(")")
            return tree.Call(name=name, arguments=(), star=True, at=token.at)
        distinct = stream.skip_word("DISTINCT")
        arguments = self._until(")", self.expression)
        return tree.Call(name=name, arguments=arguments, distinct=distinct, at=token.at)

    def _quantifier(self, at: int, kind: str) -> Expression:
        stream = self.stream
        stream.sign("(")
        name = stream.name("a name")
        stream.word("IN")
        listed = self.expression()
        stream.word("WHERE")
        where = self.expression()
        stream.sign(")")
        known = cast('Literal["all", "any", "none", "single"]', kind)
        return tree.Quantifier(kind=known, name=name, list=listed, where=where, at=at)

    def _subquery(self) -> Expression:
        """Read `EXISTS {...}` or `COUNT {...}`; MATCH may be left out."""
        stream = self.stream
        token = stream.take()
        stream.sign("{")
        stream.skip_word("MATCH")
        with stream.deeper():
            patterns = self.pattern_list()
            where = self.expression() if stream.skip_word("WHERE") else None
        if not stream.is_sign("}"):
            self.refuse_writes()
            stream.refuse("WHERE or '}': a subquery is one MATCH here")
        stream.take()
        if token.keyword == "COUNT":
            return tree.CountOf(patterns=patterns, where=where, at=token.at)
        return tree.Exists(patterns=patterns, where=where, at=token.at)
