"""A query written anew, as one statement for either engine, and what its columns are of.

compiled(text, moment) -> Compiled      reads, checks, writes; the same each time
Compiled.parameters(given) -> dict      what the statement's names stand for
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.knowledge_graph.cypher import tree
from nexus_gateway.studio.knowledge_graph.cypher.kinds import Kind
from nexus_gateway.studio.knowledge_graph.cypher.misread import Misread
from nexus_gateway.studio.knowledge_graph.cypher.parse import parse
from nexus_gateway.studio.knowledge_graph.cypher.projections import ProjectionWriter
from nexus_gateway.studio.knowledge_graph.cypher.scope import Names, Scope
from nexus_gateway.studio.knowledge_graph.cypher.values import moment as read_moment
from nexus_gateway.studio.storage.graph import Value

if TYPE_CHECKING:
    from nexus_gateway.studio.knowledge_graph.cypher.graphs import Moment


SHORT = 1000
"""Characters of a query that is kept once it is read: what is kept must not fill the memory."""


class Compiled(msgspec.Struct, frozen=True):
    """A query as a statement.

    Attributes:
        text: for the engine; it names `$tenant`, `$at` where the query is of a time, and names of
            ours for constants and parameters.
        columns: as the caller calls them.
        kinds: of the columns.
        query: what was read.
        constants: what names of ours stand for.
        given: names of ours for the caller's parameters.
        times: the same for parameters that are times.
        counts: the caller's parameters that SKIP and LIMIT take.
        whole_numbers: the caller's parameters that are arguments of range.
    """

    text: str
    columns: tuple[str, ...]
    kinds: tuple[Kind, ...]
    query: tree.Query
    constants: Mapping[str, Value]
    given: Mapping[str, str]
    times: Mapping[str, str]
    counts: frozenset[str]
    whole_numbers: frozenset[str]

    def parameters(self, given: Mapping[str, Value]) -> dict[str, Value]:
        """Give the statement's parameters their values; those that it does not name are let be.

        Raises:
            BadParameter: one is missing, or not what it must be.
        """
        values = dict(self.constants)
        for name in self.counts:
            if type(count := _given(given, name)) is not int or not 0 <= count < 1 << 31:
                raise BadParameter(name, "expected a whole number from 0 on for SKIP or LIMIT")
        for name in self.whole_numbers:
            if type(_given(given, name)) is not int:
                raise BadParameter(name, "expected a whole number as an argument of range")
        for name, ours in self.given.items():
            values[ours] = _given(given, name)
        for name, ours in self.times.items():
            values[ours] = _time(name, _given(given, name))
        return values


class BadParameter(Exception):  # noqa: N818 - what is said, not what failed
    """Say which parameter is missing, or not what it must be."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def compiled(text: str, moment: Moment | None) -> Compiled:
    """Read a query and write it anew; short ones are kept, since programs ask the same again.

    Raises:
        Misread: it is not of the part of openCypher that is answered.
        Writes: it would change something.
    """
    return (_kept if len(text) <= SHORT else _compiled)(text, moment)


def _compiled(text: str, moment: Moment | None) -> Compiled:
    return StatementWriter(Names(), moment).statement(parse(text))


_kept = lru_cache(maxsize=512)(_compiled)


class StatementWriter(ProjectionWriter):
    """Writes the clauses of one statement."""

    def statement(self, query: tree.Query) -> Compiled:
        """Write a whole query."""
        parts = [self._single(query.singles[0])]
        columns, kinds = self.columns, self.kinds
        for single, every in zip(query.singles[1:], query.every, strict=True):
            parts += ["UNION ALL" if every else "UNION", self._single(single)]
            if (self.columns, self.kinds) != (columns, kinds):
                raise Misread(
                    single.at, f"expected the columns of before UNION: {', '.join(columns)}"
                )
        return Compiled(
            " ".join(parts),
            columns,
            kinds,
            query,
            self.names.constants,
            self.names.parameters,
            self.names.times,
            frozenset(self.counts),
            frozenset(self.names.whole_numbers),
        )

    def _single(self, single: tree.Single) -> str:
        scope, parts = Scope(), list[str]()
        for clause in single.clauses:
            text, scope = self._clause(clause, scope)
            parts.append(text)
        return " ".join(parts)

    def _clause(self, clause: tree.Clause, scope: Scope) -> tuple[str, Scope]:
        match clause:
            case tree.Match():
                matched = self.matched(clause.patterns, scope)
                more = [] if clause.where is None else [self.condition(clause.where, matched.scope)]
                word = "OPTIONAL MATCH" if clause.optional else "MATCH"
                return f"{word} {matched.where(*more)}", matched.scope
            case tree.Unwind():
                if clause.name in scope:
                    raise Misread(clause.at, f"the name {clause.name!r} is known already")
                known, listed = self.item_of(clause.list, scope)
                text = f"UNWIND {listed} AS {known.text}"
                return text, scope.within({clause.name: known})
            case tree.With():
                return self.passed_on(clause, scope)
            case tree.Return():
                return self.returned(clause.projection, scope), Scope()


def _given(given: Mapping[str, Value], name: str) -> Value:
    if name not in given:
        raise BadParameter(name, f"the query names the parameter ${name}, which is not given")
    return given[name]


def _time(name: str, value: Value) -> Value:
    if value is None:
        return None
    found = read_moment(value) if isinstance(value, str) else None
    if found is None:
        raise BadParameter(name, "expected a time with its zone, such as '2026-01-01T00:00:00Z'")
    return found
