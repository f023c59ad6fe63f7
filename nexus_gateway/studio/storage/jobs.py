"""Durable jobs: work that is accepted now, done later, and done even if this process dies.

`Jobs` keeps them in either engine; `Worker` (in `worker.py`) runs the handlers. A handler may run
more than once for one job, after a crash or an error: what it writes must be idempotent.

queued ──claim──► running ──► done
  ▲                  │──────► failed     the handler refused it for good (`JobRefused`)
  ├──back-off────────┤──────► dead       it ran out of attempts, or of processes: the dead letters
  └──lease ends──────┘──────► cancelled  a person no longer wants it

A claim is a lease: its process renews it while it works. When it no longer does, the lease ends and
any other process may claim the job. `attempts` counts the claims, and fences: whoever lost a lease
can no longer renew, finish or fail the job. Leases are told by the clocks of the processes, which
may differ by a few seconds but not by a lease.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from nexus_gateway.studio.storage.engine import struct_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from nexus_gateway.studio.storage.engine import Engine, Row, Value

State: TypeAlias = Literal["queued", "running", "done", "failed", "dead", "cancelled"]
ATTEMPTS = 5
"""Times that a job is tried, unless it is added with another number."""

_encode = msgspec.json.Encoder().encode


class JobRefused(Exception):  # noqa: N818 - what is said, not what failed
    """Say, out of a handler, that a job can never be done; the sentence is kept and shown."""


class Job(msgspec.Struct, frozen=True):
    """How a job stands.

    number: its place among all jobs, for cursors.
    key: no second unfinished job of the same tenant and kind has it.
    attempts: how often it was begun; `attempts_allowed`: how often it may be.
    due_at, created_at, updated_at: microseconds since 1970. `due_at` is when a queued job may begin
        and when a running one's lease ends.
    progress, result: JSON as its handler wrote it.
    error: why the last attempt ended, for people; without secrets.
    """

    number: int
    id: str
    tenant: str
    kind: str
    key: str | None
    state: State
    attempts: int
    attempts_allowed: int
    due_at: int
    progress: msgspec.Raw | None
    result: msgspec.Raw | None
    error: str | None
    created_at: int
    updated_at: int

    @property
    def finished(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self.state not in {"queued", "running"}


class Claim(msgspec.Struct, frozen=True):
    """A job that this process may work on until its lease ends, and what it is about (JSON)."""

    job: Job
    payload: msgspec.Raw


_COLUMNS = (
    "number, id, tenant, kind, job_key, state, attempts, attempts_allowed, due_at, progress,"
    " result, error, created_at, updated_at"
)
_UNFINISHED = "state IN ('queued', 'running')"
_ADD = f"""
    INSERT INTO job (id, tenant, kind, job_key, payload, state, attempts, attempts_allowed,
        due_at, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, 'queued', 0, $6, $7, $8, $8)
    ON CONFLICT (tenant, kind, job_key) WHERE job_key IS NOT NULL AND {_UNFINISHED} DO NOTHING
    RETURNING {_COLUMNS}
"""  # noqa: S608 - joined from constants
_TWIN = f"""
    SELECT {_COLUMNS} FROM job WHERE tenant = $1 AND kind = $2 AND job_key = $3 AND {_UNFINISHED}
"""  # noqa: S608 - as above
_GET = f"SELECT {_COLUMNS} FROM job WHERE tenant = $1 AND id = $2"  # noqa: S608 - as above
_CANCEL = f"""
    UPDATE job SET state = 'cancelled', updated_at = $3
    WHERE tenant = $1 AND id = $2 AND {_UNFINISHED} RETURNING {_COLUMNS}
"""  # noqa: S608 - as above
_RETRY = f"""
    UPDATE job SET state = 'queued', attempts = 0, due_at = $3, updated_at = $3, error = NULL
    WHERE tenant = $1 AND id = $2 AND state IN ('failed', 'dead', 'cancelled')
        AND NOT EXISTS (
            SELECT 1 FROM job AS twin WHERE twin.tenant = job.tenant AND twin.kind = job.kind
                AND twin.job_key = job.job_key AND twin.state IN ('queued', 'running')
        )
    RETURNING {_COLUMNS}
"""  # noqa: S608 - as above
_HELD = "WHERE id = $1 AND attempts = $2 AND state = 'running'"
_BEAT = f"""
    UPDATE job SET due_at = $3, progress = coalesce($4, progress), updated_at = $5 {_HELD}
    RETURNING number
"""  # noqa: S608 - as above
_FINISH = f"""
    UPDATE job SET state = 'done', result = $3, error = NULL, updated_at = $4 {_HELD}
    RETURNING number
"""  # noqa: S608 - as above
_END = f"""
    UPDATE job SET state = $3, error = $4, due_at = $5, updated_at = $6 {_HELD} RETURNING number
"""  # noqa: S608 - as above
_RELEASE = f"""
    UPDATE job SET state = 'queued', attempts = attempts - 1, due_at = $3, updated_at = $3 {_HELD}
    RETURNING number
"""  # noqa: S608 - as above
_BURY = """
    UPDATE job SET state = 'dead', updated_at = $1,
        error = 'the process that worked on it ended, at its last attempt'
    WHERE state = 'running' AND due_at <= $1 AND attempts >= attempts_allowed
"""
_PRUNE = "DELETE FROM job WHERE state NOT IN ('queued', 'running') AND updated_at < $1"


class Jobs:
    """The jobs of every tenant, in either engine.

    Args:
        engine: opened and closed by its owner.
        attempts: how often a job is tried before it is a dead letter.
    """

    def __init__(self, engine: Engine, *, attempts: int = ATTEMPTS) -> None:
        self._engine = engine
        self._attempts = attempts
        self._wakers: set[asyncio.Event] = set()

    # --- for those who want something done ---

    async def add(
        self,
        tenant: str,
        kind: str,
        payload: object,
        *,
        key: str | None = None,
        delay: float = 0,
        id: str | None = None,  # noqa: A002 - the field's name
    ) -> tuple[Job, bool]:
        """Accept a job; it is kept when this returns. The job, and whether it is new.

        Args:
            tenant: whose job it is; nobody else can see it.
            kind: names its handler.
            payload: what its handler is given, as JSON; anything that msgspec can encode.
            key: while a job of this tenant and kind with this key is not finished, that one is
                given back instead of a second.
            delay: seconds to wait before it may begin.
            id: what it is found by, where it has to be known beforehand; no other has it.
        """
        encoded = _encode(payload).decode()
        while True:
            moment = micros()
            due = moment + round(delay * 1e6)
            values = (
                id or uuid.uuid4().hex,
                tenant,
                kind,
                key,
                encoded,
                self._attempts,
                due,
                moment,
            )
            made = await self._engine.command(_ADD, *values)
            if made:
                self.wake()
                return _job(made[0]), True
            # The twin may finish in between: then there is none, and ours is wanted after all.
            twin = await self._engine.query(_TWIN, tenant, kind, key)
            if twin:
                return _job(twin[0]), False

    async def get(self, tenant: str, job: str) -> Job | None:
        """Tell how a job stands, by its id."""
        return _first(await self._engine.query(_GET, tenant, job))

    async def payload(self, tenant: str, job: str) -> msgspec.Raw | None:
        """Tell what a job is about, as JSON: to look at a dead letter."""
        statement = "SELECT payload FROM job WHERE tenant = $1 AND id = $2"
        rows = await self._engine.query(statement, tenant, job)
        return _raw(rows[0][0]) if rows else None

    async def page(
        self,
        tenant: str,
        *,
        kind: str | None = None,
        state: State | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[Job]:
        """List jobs, the newest first; those with a number less than `before`."""
        where, values = ["tenant = $1"], [tenant, *((before,) if before is not None else ())]
        if before is not None:
            where.append("number < $2")
        for column, value in (("kind", kind), ("state", state)):
            if value is not None:
                values.append(value)
                where.append(f"{column} = ${len(values)}")
        statement = (
            f"SELECT {_COLUMNS} FROM job WHERE {' AND '.join(where)}"  # noqa: S608 - as above
            f" ORDER BY number DESC LIMIT ${len(values) + 1}"
        )
        return [_job(row) for row in await self._engine.query(statement, *values, limit)]

    async def cancel(self, tenant: str, job: str) -> Job | None:
        """End a job that is not finished; its handler is cancelled at its next beat.

        Returns:
            the job as it stands afterwards, or None where there is none.
        """
        cancelled = _first(await self._engine.command(_CANCEL, tenant, job, micros()))
        return cancelled or await self.get(tenant, job)

    async def retry(self, tenant: str, job: str) -> Job | None:
        """Queue a job again that failed, died or was cancelled, with all its attempts.

        One whose key another unfinished job has stays as it is.

        Returns:
            the job as it stands afterwards, or None where there is none.
        """
        queued = _first(await self._engine.command(_RETRY, tenant, job, micros()))
        if queued is not None:
            self.wake()
        return queued or await self.get(tenant, job)

    # --- for workers ---

    async def claim(self, kinds: Sequence[str], *, limit: int, lease: float) -> list[Claim]:
        """Take at most `limit` jobs that are due, the one due first first, for `lease` seconds.

        Jobs whose process died at their last attempt become dead letters on the way.
        """
        moment = micros()
        await self._engine.command(_BURY, moment)
        named = ", ".join(f"${number}" for number in range(4, 4 + len(kinds)))
        locking = "FOR UPDATE SKIP LOCKED" if self._engine.name == "postgres" else ""
        statement = f"""
            WITH next AS MATERIALIZED (
                SELECT number FROM job
                WHERE {_UNFINISHED} AND due_at <= $1 AND attempts < attempts_allowed
                    AND kind IN ({named})
                ORDER BY due_at, number LIMIT $3 {locking}
            )
            UPDATE job SET state = 'running', attempts = attempts + 1, due_at = $2, updated_at = $1
            WHERE number IN (SELECT number FROM next)
            RETURNING {_COLUMNS}, payload
        """  # noqa: S608 - joined from constants and numbers of parameters
        until = moment + round(lease * 1e6)
        rows = await self._engine.command(statement, moment, until, limit, *kinds)
        claims = [Claim(_job(row[:-1]), _raw(row[-1])) for row in rows]
        return sorted(claims, key=lambda claim: claim.job.number)

    async def beat(self, job: Job, *, lease: float, progress: object = None) -> bool:
        """Renew the lease of a claimed job, and say how far it is; whether it is still ours."""
        moment = micros()
        said = None if progress is None else _encode(progress).decode()
        until = moment + round(lease * 1e6)
        return await self._held(_BEAT, job, until, said, moment)

    async def finish(self, job: Job, result: object) -> bool:
        """Say that a claimed job is done, and with what; whether it was still ours."""
        return await self._held(_FINISH, job, _encode(result).decode(), micros())

    async def refuse(self, job: Job, error: str) -> bool:
        """Say that a claimed job can never be done; whether it was still ours."""
        return await self._held(_END, job, "failed", error, micros(), micros())

    async def fail(self, job: Job, error: str, *, delay: float) -> bool:
        """Say that an attempt failed: once more after `delay` seconds, or a dead letter.

        Returns:
            whether the job was still ours.
        """
        state = "dead" if job.attempts >= job.attempts_allowed else "queued"
        moment = micros()
        return await self._held(_END, job, state, error, moment + round(delay * 1e6), moment)

    async def release(self, job: Job) -> bool:
        """Give a claimed job back as if it had never been begun; whether it was still ours."""
        given = await self._held(_RELEASE, job, micros())
        self.wake()
        return given

    async def prune(self, *, older: float) -> None:
        """Forget jobs that finished more than `older` seconds ago."""
        await self._engine.command(_PRUNE, micros() - round(older * 1e6))

    # --- waking ---

    def listen(self, waker: asyncio.Event) -> None:
        """Have an event set whenever this process adds a job."""
        self._wakers.add(waker)

    def unlisten(self, waker: asyncio.Event) -> None:
        """Stop that."""
        self._wakers.discard(waker)

    def wake(self) -> None:
        """Let workers of this process look for jobs now."""
        for waker in self._wakers:
            waker.set()

    async def _held(self, statement: str, job: Job, *values: Value) -> bool:
        return bool(await self._engine.command(statement, job.id, job.attempts, *values))


def micros() -> int:
    """Tell the time as jobs keep it: microseconds since 1970."""
    return time.time_ns() // 1000


def _first(rows: list[Row]) -> Job | None:
    return _job(rows[0]) if rows else None


def _job(row: Row) -> Job:
    *head, progress, result, error, made, changed = row
    job = struct_of(Job, (*head, None, None, error, made, changed))
    return msgspec.structs.replace(job, progress=_optional(progress), result=_optional(result))


def _raw(value: Value) -> msgspec.Raw:
    return msgspec.Raw(str(value).encode())


def _optional(value: Value) -> msgspec.Raw | None:
    return None if value is None else _raw(value)
