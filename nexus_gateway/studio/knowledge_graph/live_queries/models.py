"""What a live query is asked by, and what is told of it, as structs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

from nexus_gateway.studio.knowledge_graph.models import Time
from nexus_gateway.studio.knowledge_graph.query import TEXT, Question

QueryId: TypeAlias = Annotated[str, Meta(min_length=32, max_length=32, pattern="^[0-9a-f]+$")]

ROWS = 1000
"""Rows that an answer may have at most."""
LEASE = 3600
"""Seconds that a query is told without being asked for again, where nothing else is said."""


class LiveQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A query with its parameters, as `/query` takes it.

    lease: seconds that it is told; to ask again prolongs it.
    """

    query: Annotated[str, Meta(min_length=1, max_length=TEXT, examples=["MATCH (n) RETURN n"])]
    parameters: dict[str, object] = {}
    max_rows: Annotated[int, Meta(ge=1, le=ROWS)] = 100
    valid_at: Time | None = None
    lease: Annotated[int, Meta(ge=60, le=86_400, description="Seconds.")] = LEASE

    def __post_init__(self) -> None:
        """Check what a schema cannot say; the error becomes one of the body."""
        self.question()

    def question(self) -> Question:
        """Say what is asked each time.

        Raises:
            ValueError: the parameters are nested too deep, or too wide.
        """
        return Question(self.query, self.parameters, max_rows=self.max_rows, valid_at=self.valid_at)


class Answer(msgspec.Struct, frozen=True, tag_field="state", tag="answered"):
    """What the answer is now, whole; as `/query` answers it."""

    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]
    truncated: bool


class Failure(msgspec.Struct, frozen=True, tag_field="state", tag="failed"):
    """Why there is no answer just now; `code` is one of `/errors/{code}`."""

    code: str
    error: str


class End(msgspec.Struct, frozen=True, tag_field="state", tag="ended"):
    """That the query is told no longer: its lease is over, or it was ended."""


Told: TypeAlias = Answer | Failure | End
"""One message on the channel of a live query."""


class Place(msgspec.Struct, frozen=True):
    """Where in its channel an answer stands: who subscribes from there on misses none after it."""

    epoch: str
    offset: int


class LiveQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A query that is told on `channel` until `expires_at`."""

    query_id: str
    channel: str
    query: str
    parameters: dict[str, object]
    max_rows: int
    valid_at: datetime | None
    created_by: str
    created_at: datetime
    expires_at: datetime


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A live query with its answer now, and where in the channel that is."""

    live_query: LiveQuery
    answer: Answer | Failure
    position: Place


class LiveQueryPage(msgspec.Struct, frozen=True):
    """All live queries of a tenant, the oldest first."""

    items: tuple[LiveQuery, ...]
