"""What an ingest is given and what is told of it, as structs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, ClassVar, Literal, TypeAlias

import msgspec
from msgspec import Meta

from nexus_gateway.studio.knowledge_graph.models import Tally
from nexus_gateway.values.schema import not_empty

State: TypeAlias = Literal["queued", "running", "done", "failed", "dead", "cancelled"]
JobId: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64, pattern="^[0-9a-f]+$")]
IngestKey: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=128, description="The caller's name for one ingest.")
]


class Whole(msgspec.Struct, frozen=True):
    """An ingest as one JSON document; each item becomes a line, the nodes first.

    An item that is no node or edge is refused as a line, not the document.
    """

    nodes: list[msgspec.Raw] = []
    edges: list[msgspec.Raw] = []

    json_schema_extra: ClassVar[dict[str, object]] = not_empty("nodes", "edges")


class Progress(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far an ingest is.

    lines: all that have content; done: those that are in the graph or refused.
    waiting: why it does not go on just now.
    """

    lines: int
    done: int = 0
    nodes: Tally = Tally()
    edges: Tally = Tally()
    refused: int = 0
    waiting: str | None = None


class Ingest(msgspec.Struct, frozen=True):
    """An ingest, as its author sees it.

    job_id: names it; `Location` leads here.
    progress: `refused` lines are listed by `refusals`, and can be given again by `retry`.
    error: why it ended without being done.
    """

    job_id: str
    state: State
    progress: Progress
    error: str | None
    created_at: datetime
    updated_at: datetime


class IngestQuery(msgspec.Struct, frozen=True):
    """Which ingests to list, the newest first; `before` is a page's `next_before`."""

    state: State | None = None
    before: Annotated[int, Meta(ge=1)] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class IngestPage(msgspec.Struct, frozen=True):
    """A part of the list of ingests, and where it goes on."""

    items: tuple[Ingest, ...]
    next_before: int | None


class Refusal(msgspec.Struct, frozen=True):
    """A line that did not get into the graph, and why."""

    line: int
    reason: str
    content: str


class RefusalQuery(msgspec.Struct, frozen=True):
    """Which refusals to list, by line."""

    after: Annotated[int, Meta(ge=0)] = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class Refusals(msgspec.Struct, frozen=True):
    """Refused lines, in their order; `next_after` is where the list goes on."""

    items: tuple[Refusal, ...]
    next_after: int | None


class Part(msgspec.Struct, frozen=True):
    """A part of an ingest: whole lines.

    first: the number of its first line, from 1.
    phase: 0 where nothing of it is in the graph, 1 where its nodes are.
    """

    number: int
    first: int
    phase: int
    content: bytes


class Draft(msgspec.Struct, frozen=True):
    """An ingest that is to be kept."""

    id: str
    tenant: str
    subject: str
    key: str | None
    digest: str
    lines: int
