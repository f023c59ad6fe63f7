"""`/api/intelligence/comprehensive-report`: at once, as events while it is made, or later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from nexus_gateway import (
    Chunks,
    Claims,
    Code,
    Detail,
    Reject,
    Response,
    auth,
    get,
    header,
    param,
    query,
)
from nexus_gateway.studio.intelligence.models import Report, Window
from nexus_gateway.studio.intelligence.report.later import (
    ReportJob,  # noqa: TC001 - read for the documents
)
from nexus_gateway.studio.intelligence.report.service import REPORT_SECONDS, SectionDone
from nexus_gateway.studio.intelligence.routes import refuse, room, tenant_of
from nexus_gateway.studio.ndjson import takes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nexus_gateway import Filter, Routes
    from nexus_gateway.studio.intelligence.report.later import LaterReports
    from nexus_gateway.studio.intelligence.report.service import Reports

EVENTS = "text/event-stream"
JOBS = "/api/intelligence/comprehensive-report/jobs"
JOB = param("job_id", str)
DEADLINE_MIN_S = 0.05
"""Seconds; in less time no section can be made."""
Section: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        extra_json_schema={"enum": ["totals", "by_type", "by_tag", "growth", "newest", "graph"]},
    ),
]
report = room / "comprehensive-report"

_encode = msgspec.json.Encoder().encode


class Wish(msgspec.Struct, frozen=True):
    """What a report shall be.

    deadline: seconds that it may take; what is not done then is left out, and named.
    required: sections without which there is no answer but 503.
    """

    bucket: Literal["day", "hour"] = "day"
    top: Annotated[int, Meta(ge=1, le=100)] = 20
    deadline: Annotated[float, Meta(ge=DEADLINE_MIN_S, le=25)] = REPORT_SECONDS
    required: list[Section] = []


def routes(reports: Reports, later: LaterReports, limited: Filter[()]) -> Routes:
    """List the routes of the report; `limited` is asked of every caller once it is known."""
    on = Reporting(reports, later)
    read = auth(scope="intelligence:read") & limited
    down: Code = "database_error"
    asked = header("accept").optional() & header("cache-control").optional()
    prefer = header("prefer").optional()
    return (
        (report & get() & read & asked & prefer & query(Wish)).then(
            on.report,
            also=[202],
            streams={EVENTS: {"section": SectionDone, "report": Report}},
            raises=["service_unavailable", down],
        )
        | (report / "jobs" / JOB & get() & read).then(on.job, raises=["not_found", down])
    ).recover(refuse)


class Reporting:
    """The handlers: what HTTP says, as the service takes it, and back."""

    def __init__(self, reports: Reports, later: LaterReports) -> None:
        self._reports = reports
        self._later = later

    async def report(
        self,
        claims: Claims,
        accept: str | None,
        cache_control: str | None,
        prefer: str | None,
        wish: Wish,
    ) -> Response[Report | ReportJob | Chunks]:
        """Sum up everything: totals, types, tags, growth, the newest, the graph.

        Sections are made side by side; one that fails or is late is null, and named in
        `degraded`. The same report is given again for some seconds while nothing changes; `Age`
        says how old it is, and `Cache-Control: no-cache` asks for a new one. As
        `text/event-stream`, each section is told as it is done, and the report last. With
        `Prefer: respond-async` it is made later: 202, and `Location` says where to ask for it.
        """
        self._check(wish)
        tenant, window = tenant_of(claims), Window(wish.bucket, wish.top)
        if _wants_later(prefer):
            job = await self._later.order(tenant, window, wish.deadline)
            applied = ("preference-applied", "respond-async")
            return Response(job, 202, (("location", f"{JOBS}/{job.job_id}"), applied))
        if takes(accept, EVENTS):
            steps = self._reports.steps(tenant, window, seconds=wish.deadline)
            return Response(_events(steps), content_type=EVENTS)
        anew = "no-cache" in (cache_control or "").lower()
        kept = await self._reports.report(tenant, window, seconds=wish.deadline, anew=anew)
        missing = [name for name in wish.required if name in kept.report.degraded]
        if missing:
            message = f"required sections are missing: {', '.join(missing)}"
            raise Reject("service_unavailable", message, retry_after=1)
        lifetime = 0 if kept.report.degraded else int(self._reports.fresh)
        headers = (("age", str(int(kept.age))), ("cache-control", f"private, max-age={lifetime}"))
        return Response(kept.report, headers=headers)

    async def job(self, job_id: str, claims: Claims) -> Response[ReportJob]:
        """Tell how a report that is made later stands; ask until its state is `done`."""
        job = await self._later.get(tenant_of(claims), job_id)
        waiting = job.state in {"queued", "running"}
        return Response(job, 200, (("retry-after", "1"),) if waiting else ())

    def _check(self, wish: Wish) -> None:
        unknown = [name for name in wish.required if name not in self._reports.names]
        if unknown:
            known = ", ".join(self._reports.names)
            message = f"expected sections out of {known}, found {unknown[0]!r}"
            detail = Detail("query", "required", "str", message)
            raise Reject("validation_error", message, status=400, details=[detail])


def _wants_later(prefer: str | None) -> bool:
    """Read the preference of RFC 7240, section 4.1."""
    wanted = (part.partition(";")[0].strip().lower() for part in (prefer or "").split(","))
    return "respond-async" in wanted


async def _events(steps: AsyncIterator[SectionDone | Report]) -> Chunks:
    async for step in steps:
        name = "report" if isinstance(step, Report) else "section"
        yield b"event: %s\ndata: %s\n\n" % (name.encode(), _encode(step))
