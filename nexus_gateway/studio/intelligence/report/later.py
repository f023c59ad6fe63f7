"""Reports that are made later, as durable jobs: accepted now, done even if this process dies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.fields import JsonObject
from nexus_gateway.studio.intelligence.errors import NotFound
from nexus_gateway.studio.intelligence.models import Report, Window
from nexus_gateway.studio.storage.jobs import State

if TYPE_CHECKING:
    from nexus_gateway.studio.intelligence.report.service import Reports
    from nexus_gateway.studio.storage.jobs import Job, Jobs
    from nexus_gateway.studio.storage.worker import Attempt

KIND = "intelligence.report"


class Order(msgspec.Struct, frozen=True):
    """What a job is to make."""

    window: Window
    seconds: float


class ReportJob(msgspec.Struct, frozen=True):
    """How a report that is made later stands.

    done: the sections that are there so far.
    report: once `state` is `done`.
    error: once it is `failed` or `dead`; while it is `queued`, of the last attempt.
    """

    job_id: str
    state: State
    done: tuple[str, ...]
    report: JsonObject | None
    error: str | None


class LaterReports:
    """Orders reports, makes them as jobs, and tells how they stand."""

    def __init__(self, reports: Reports, jobs: Jobs) -> None:
        self._reports = reports
        self._jobs = jobs

    async def order(self, tenant: str, window: Window, seconds: float) -> ReportJob:
        """Accept a report; one that is under way already is not made twice."""
        key = f"{window.bucket}-{window.top}-{seconds:g}"
        job, _ = await self._jobs.add(tenant, KIND, Order(window, seconds), key=key)
        return _state(job)

    async def get(self, tenant: str, job_id: str) -> ReportJob:
        """Tell how a report stands.

        Raises:
            NotFound: none was ordered under this id, or it is long done and forgotten.
        """
        job = await self._jobs.get(tenant, job_id)
        if job is None or job.kind != KIND:
            raise NotFound(f"there is no report job {job_id!r}")
        return _state(job)

    async def make(self, attempt: Attempt) -> Report:
        """Make an ordered report: the handler of the jobs.

        Raises:
            StorageUnavailable: not one section could be made; the job is tried again.
        """
        order = msgspec.json.decode(attempt.payload, type=Order)
        done: list[str] = []
        found: Report | None = None
        steps = self._reports.steps(attempt.job.tenant, order.window, seconds=order.seconds)
        async for step in steps:
            if isinstance(step, Report):
                found = step
            else:
                done.append(step.part.name)
                await attempt.progress(done)
        assert found is not None  # noqa: S101 - the last step is the report
        return found


def _state(job: Job) -> ReportJob:
    done = () if job.progress is None else msgspec.json.decode(job.progress, type=tuple[str, ...])
    return ReportJob(job.id, job.state, done, job.result, job.error)
