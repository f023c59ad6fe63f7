"""`/api/knowledge-graph/ingest`: large loads, accepted at once and brought in afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus_gateway import (
    Chunks,
    Claims,
    Code,
    Detail,
    Reject,
    Response,
    auth,
    body_bytes,
    get,
    header,
    param,
    path,
    post,
    query,
)
from nexus_gateway.studio.fields import BOM
from nexus_gateway.studio.knowledge_graph.callers import ROOM, author, refuse
from nexus_gateway.studio.knowledge_graph.ingest.lines import as_lines
from nexus_gateway.studio.knowledge_graph.ingest.models import (
    Ingest,
    IngestKey,
    IngestPage,
    IngestQuery,
    JobId,
    RefusalQuery,
    Refusals,
    Whole,
)
from nexus_gateway.studio.knowledge_graph.ingest.service import BYTES
from nexus_gateway.studio.knowledge_graph.models import EdgeDraft, NodeDraft
from nexus_gateway.studio.ndjson import NDJSON

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nexus_gateway import Filter, Routes
    from nexus_gateway.studio.knowledge_graph.ingest.service import Ingests

EVENTS = "text/event-stream"
JSON = "application/json"
SECONDS = 120.0
"""To keep the largest body on a slow disk."""
FOLLOWED = 3600.0
"""Seconds that one client may follow an ingest before it asks again."""

KINDS = {NDJSON: NodeDraft | EdgeDraft, JSON: Whole}

ingest = path("api") / "knowledge-graph" / "ingest"
JOB = param("job_id", JobId)
_encode = msgspec.json.Encoder().encode


def routes(service: Ingests, limited: Filter[()]) -> Routes:
    """List the routes of ingests; `limited` is asked of every caller once it is known."""
    read = auth(scope="knowledge-graph:read") & limited
    write = auth(scope="knowledge-graph:write") & limited
    on = Handlers(service)
    down: Code = "database_error"
    key = header("idempotency-key", IngestKey).optional()
    given = (
        header("content-type").optional() & key & body_bytes(max_bytes=BYTES, content_types=KINDS)
    )
    return (
        (ingest & post() & write & given).then(
            on.accept,
            status=202,
            timeout=SECONDS,
            raises=["conflict", "validation_error", down],
        )
        | (ingest & get() & read & query(IngestQuery)).then(on.page, raises=[down])
        | (ingest / JOB & get() & read).then(on.show, raises=["not_found", down])
        | (ingest / JOB / "events" & get() & read).then(
            on.events,
            streams={EVENTS: {"progress": Ingest}},
            timeout=FOLLOWED,
            raises=["not_found", down],
        )
        | (ingest / JOB / "refusals" & get() & read & query(RefusalQuery)).then(
            on.refusals, raises=["not_found", down]
        )
        | (ingest / JOB / "retry" & post() & write).then(
            on.retry, status=202, timeout=SECONDS, raises=["not_found", "conflict", down]
        )
    ).recover(refuse)


class Handlers:
    """What HTTP says, as the service takes it, and back."""

    def __init__(self, service: Ingests) -> None:
        self._service = service

    async def accept(
        self, claims: Claims, content_type: str | None, key: str | None, text: bytes
    ) -> Response[Ingest]:
        """Accept nodes and edges: as NDJSON, one in each line, or as a JSON document of both.

        Answers once they are kept. To send the same again is safe: what is not in the graph yet is
        one ingest, and what is there does not change; with `Idempotency-Key` it is one ingest for
        as long as it is remembered, seven days after its end.
        """
        who = author(claims)
        text = text.removeprefix(BOM)
        kind = (content_type or "").partition(";")[0].strip().lower()
        if kind == JSON:
            text = _lines_of(text)
        return _accepted(await self._service.accept(who, text, key=key))

    async def page(self, claims: Claims, asked: IngestQuery) -> IngestPage:
        """List ingests, the newest first: with `state=dead`, those that were given up."""
        return await self._service.page(author(claims), asked)

    async def show(self, job_id: str, claims: Claims) -> Response[Ingest]:
        """Tell how an ingest stands; ask until its state is `done`."""
        told = await self._service.get(author(claims), job_id)
        waits = told.state in {"queued", "running"}
        return Response(told, headers=(("retry-after", "1"),) if waits else ())

    async def events(self, job_id: str, claims: Claims) -> Response[Chunks]:
        """Tell how an ingest stands whenever that changes, as server-sent events."""
        steps = self._service.follow(author(claims), job_id)
        first = await anext(steps)  # one that is not there is refused as any request
        return Response(_events(first, steps), content_type=EVENTS)

    async def refusals(self, job_id: str, claims: Claims, asked: RefusalQuery) -> Refusals:
        """List lines that are not in the graph, each with the reason."""
        return await self._service.refusals(author(claims), job_id, asked)

    async def retry(self, job_id: str, claims: Claims) -> Response[Ingest]:
        """Go on with an ingest that ended early, or give its refused lines again, as a new one."""
        return _accepted(await self._service.retry(author(claims), job_id))


def _lines_of(text: bytes) -> bytes:
    try:
        return as_lines(msgspec.json.decode(text, type=Whole))
    except msgspec.ValidationError as error:
        detail = Detail("body", "", "object", str(error))
        raise Reject("validation_error", str(error), status=422, details=[detail]) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"the body is not JSON: {error}"
        raise Reject("validation_error", message, status=400) from error


def _accepted(told: Ingest) -> Response[Ingest]:
    location = ("location", f"{ROOM}/ingest/{told.job_id}")
    return Response(told, 202, (location, ("retry-after", "1")))


async def _events(first: Ingest, steps: AsyncIterator[Ingest]) -> Chunks:
    yield _event(first)
    async for one in steps:
        yield _event(one)


def _event(told: Ingest) -> bytes:
    return b"event: progress\ndata: %s\n\n" % _encode(told)
