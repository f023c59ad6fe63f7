"""The handlers of queries: an answer as one JSON object, or line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus_gateway import Claims, Response
from nexus_gateway.describe.reply import Chunks
from nexus_gateway.studio.knowledge_graph.callers import author
from nexus_gateway.studio.knowledge_graph.query import Answered, Question
from nexus_gateway.studio.ndjson import NDJSON, takes

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from nexus_gateway.studio.knowledge_graph.query import Querying

ACCEPTED = (("accept-query", "application/json"),)
"""What QUERY takes here (RFC 10008, section 3)."""
LINES = 500
"""Rows that are written at once."""


class Queries:
    """Handlers of the graph's query language."""

    def __init__(self, querying: Querying) -> None:
        self._querying = querying

    async def query(
        self, claims: Claims, accept: str | None, question: Question
    ) -> Response[Answered | Chunks]:
        """Answer a query in openCypher: read-only, with parameters, under caps.

        As `application/x-ndjson` the first line is an object with all but the rows, and each row a
        line of its own.
        """
        answer = await self._querying.answer(author(claims).tenant, question)
        if not takes(accept, NDJSON):
            return Response(answer, 200, ACCEPTED)
        return Response(_lines(answer), 200, ACCEPTED, content_type=NDJSON)


async def _lines(answer: Answered) -> AsyncGenerator[bytes | str, None]:
    encode = msgspec.json.Encoder().encode_lines
    head = {"columns": answer.columns, "truncated": answer.truncated, "cost": answer.cost}
    yield encode([head, *answer.rows[:1]])
    for start in range(1, len(answer.rows), LINES):
        yield encode(answer.rows[start : start + LINES])
