"""Queries of callers: read, held to their tenant, estimated, and run under caps."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias, cast

import msgspec
from msgspec import Meta

from nexus_gateway.studio.fields import check_depth, check_moments, check_text
from nexus_gateway.studio.knowledge_graph import rows
from nexus_gateway.studio.knowledge_graph.cypher.cost import Estimate, estimate
from nexus_gateway.studio.knowledge_graph.cypher.misread import Misread, Writes, place
from nexus_gateway.studio.knowledge_graph.cypher.shapes import told
from nexus_gateway.studio.knowledge_graph.cypher.statement import BadParameter, Compiled, compiled
from nexus_gateway.studio.knowledge_graph.errors import (
    BadQuery,
    TooDear,
    Unevaluable,
    Unreadable,
    WriteRefused,
)
from nexus_gateway.studio.knowledge_graph.models import Time
from nexus_gateway.studio.knowledge_graph.past import past
from nexus_gateway.studio.knowledge_graph.stats import Statistics
from nexus_gateway.studio.storage.errors import BadStatement, GraphTimeout
from nexus_gateway.studio.storage.graph import Statement
from nexus_gateway.values.field_error import FieldError
from nexus_gateway.values.schema import not_both

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from nexus_gateway.studio.knowledge_graph.cypher.graphs import Moment
    from nexus_gateway.studio.knowledge_graph.store import GraphStore
    from nexus_gateway.studio.storage.graph import Value

_logger = logging.getLogger(__name__)

TEXT = 16_000
"""Characters of a query."""
ROWS = 100_000
"""Rows that an answer may have at most."""
SECONDS = 10.0
"""Seconds that a query may take at most."""

PASTS = 2
"""Graphs of other times that are made at once; each is in memory for as long as it is asked."""

Row: TypeAlias = tuple[object, ...]
"""What of a row is told: values, nodes, edges and paths as the rest of the API has them."""


class Caps(msgspec.Struct, frozen=True):
    """What one query may need, by its estimate.

    Attributes:
        work: rows and steps that the engine goes through.
        held: characters that it holds at once.
    """

    work: float = 10_000_000
    held: float = 50_000_000


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A query with its parameters.

    valid_at: what holds at this time, by all that is known now.
    as_of: what held at this time, as it was known then.
    """

    query: Annotated[str, Meta(min_length=1, max_length=TEXT, examples=["MATCH (n) RETURN n"])]
    parameters: dict[str, object] = {}
    max_rows: Annotated[int, Meta(ge=1, le=ROWS)] = 10_000
    timeout: Annotated[float, Meta(ge=1, le=SECONDS, description="Seconds.")] = 5.0
    valid_at: Time | None = None
    as_of: Time | None = None

    json_schema_extra: ClassVar[dict[str, object]] = not_both("valid_at", "as_of")

    def __post_init__(self) -> None:
        """Check what a schema cannot say; the error becomes one of the body."""
        check_text(self, "query")
        check_depth(self.parameters, "parameters")
        _check_wide(self.parameters)
        check_moments(self, "valid_at", "as_of")
        if self.valid_at is not None and self.as_of is not None:
            message = "valid_at and as_of are two questions: expected one of them"
            raise FieldError("as_of", message)


class Cost(msgspec.Struct, frozen=True):
    """What a query was estimated at, and what it may need: rows and steps."""

    work: int
    cap: int


class Answered(msgspec.Struct, frozen=True):
    """Rows in the order of the columns; `truncated` tells that there were more than `max_rows`."""

    columns: tuple[str, ...]
    rows: list[Row]
    truncated: bool
    cost: Cost


class Querying:
    """Answers queries on the graph of a tenant."""

    def __init__(self, store: GraphStore, statistics: Statistics, caps: Caps | None = None) -> None:
        self._store = store
        self._statistics = statistics
        self._caps = caps or Caps()
        self._pasts = asyncio.Semaphore(PASTS)

    async def answer(self, tenant: str, question: Question) -> Answered:
        """Answer a query.

        Raises:
            Unreadable: its text is not of what is answered.
            WriteRefused: it would change something.
            BadQuery: a parameter is not what it must be, or what was `as_of` is too large.
            TooDear: it would need too much.
            Unevaluable: it meets values that it cannot be evaluated on.
            GraphTimeout: it ran into its time.
        """
        query = _read(question)
        if question.as_of is not None and await self._store.others(tenant, question.as_of):
            return await self._answer_then(tenant, question, question.as_of)
        given = cast("Mapping[str, Value]", question.parameters)
        parameters = _parameters(query, given)
        figures = await self._statistics.figures(tenant)
        cost = estimate(query.query, figures, given, question.max_rows)
        self._check(cost)
        parameters["tenant"] = tenant
        if (at := question.valid_at or question.as_of) is not None:
            parameters["at"] = rows.micros(at)
        found = await self._run(query, parameters, question)
        return Answered(
            query.columns, found[0], found[1], Cost(round(cost.work), round(self._caps.work))
        )

    def _check(self, cost: Estimate) -> None:
        if cost.work > self._caps.work:
            raise TooDear("rows and steps", cost.work, self._caps.work)
        if cost.held > self._caps.held:
            raise TooDear("characters at once", cost.held, self._caps.held)

    async def _answer_then(self, tenant: str, question: Question, at: datetime) -> Answered:
        """Answer on the graph as it was, which is made for it."""
        now = msgspec.structs.replace(question, as_of=None)
        try:
            async with (
                asyncio.timeout(question.timeout),
                self._pasts,
                past(self._store, tenant, at) as then,
            ):
                return await Querying(then, Statistics(then), self._caps).answer(tenant, now)
        except TimeoutError:
            message = f"what was then was not read and asked within {question.timeout:g} s"
            raise GraphTimeout(message) from None

    async def _run(
        self, query: Compiled, parameters: Mapping[str, Value], question: Question
    ) -> tuple[list[Row], bool]:
        statement = Statement(query.text, parameters)
        try:
            answer = await self._store.graph.read(
                statement, rows=question.max_rows, seconds=question.timeout
            )
        except BadStatement as exc:
            # The engine's own words name what is not the caller's.
            _logger.info("a query could not be evaluated: %s", exc)
            raise Unevaluable(_reason(str(exc))) from exc
        if all(kind.is_data for kind in query.kinds):
            return cast("list[Row]", answer.rows), answer.truncated
        kinds = query.kinds
        return [
            tuple(told(value, kind) for value, kind in zip(row, kinds, strict=True))
            for row in answer.rows
        ], answer.truncated


def _read(question: Question) -> Compiled:
    moment: Moment | None = None
    if question.valid_at is not None or question.as_of is not None:
        moment = "valid" if question.as_of is None else "known"
    text = question.query
    try:
        return compiled(text, moment)
    except Writes as exc:
        raise WriteRefused(*place(text, exc.at), str(exc)) from exc
    except Misread as exc:
        raise Unreadable(*place(text, exc.at), str(exc)) from exc


def _parameters(query: Compiled, given: Mapping[str, Value]) -> dict[str, Value]:
    try:
        return query.parameters(given)
    except BadParameter as exc:
        raise BadQuery(f"parameters.{exc.name}", str(exc), location="body") from exc


_REASONS = {
    "zero": "it divides by zero, or a value is not of the type that it must be",
    "overflow": "a number becomes larger than 64 bits",
    "budget": "it needs more work than one query may",
    "work": "it needs more work than one query may",
}


def _reason(words: str) -> str:
    lower = words.lower()
    found = (reason for sign, reason in _REASONS.items() if sign in lower)
    reason = next(found, "an operation or a function meets a value that it does not take")
    return f"the query cannot be evaluated: {reason}"


def _check_wide(value: object) -> None:
    """Refuse numbers that no engine takes.

    Raises:
        FieldError: there is one.
    """
    match value:
        case int() if not -(1 << 63) <= value < 1 << 63:
            raise FieldError("parameters", "expected numbers of at most 64 bits")
        case dict():
            for one in cast("dict[str, object]", value).values():
                _check_wide(one)
        case list():
            for one in cast("list[object]", value):
                _check_wide(one)
        case _:
            pass
