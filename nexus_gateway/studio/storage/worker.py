"""Runs jobs: claims them, lets their handlers work, renews leases, and answers for what they do.

A `Worker` is opened by `async with` for as long as its process serves. Any number of processes may
have one over the same database. When it closes, what still runs is cancelled and given back, so
that another process, or this one after its restart, goes on at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Self, TypeAlias

from nexus_gateway.studio.storage import tasks
from nexus_gateway.studio.storage.errors import StorageUnavailable
from nexus_gateway.studio.storage.jobs import JobRefused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    import msgspec

    from nexus_gateway.studio.storage.jobs import Claim, Job, Jobs

_logger = logging.getLogger(__name__)

LEASE = 10.0
"""Seconds after which a job of a process that died is taken up by another."""
KEPT = 7 * 86_400.0
"""Seconds that finished jobs can be looked at."""
LONGEST = 300.0
"""Seconds between two attempts at most."""
_PRUNE_EVERY = 600.0


class Attempt:
    """One attempt at a job, as its handler sees it.

    Attributes:
        job: the job as it was claimed.
        payload: what it is about, as JSON.
    """

    def __init__(self, jobs: Jobs, claim: Claim, lease: float) -> None:
        self.job: Job = claim.job
        self.payload: msgspec.Raw = claim.payload
        self._jobs = jobs
        self._lease = lease

    async def progress(self, progress: object) -> None:
        """Say how far it is, as anything that is JSON; also renews the lease.

        Raises:
            asyncio.CancelledError: the job is no longer ours: it was cancelled, or its lease ended.
        """
        if not await self._jobs.beat(self.job, lease=self._lease, progress=progress):
            raise asyncio.CancelledError


Handler: TypeAlias = Callable[[Attempt], Awaitable[object]]
"""Does a job and gives its result as JSON; raises `JobRefused` for what can never be done."""


class Worker:
    """Runs the jobs of its handlers' kinds.

    Args:
        jobs: where they are kept.
        handlers: by kind.
        able: whether this process can do the jobs now; another one does otherwise.
        slots: jobs at once at most.
        lease: seconds; see `LEASE`.
        poll: seconds between two looks for jobs of other processes; own ones are begun at once.
        first_delay: seconds before a second attempt; each further waits twice as long.
    """

    def __init__(
        self,
        jobs: Jobs,
        handlers: Mapping[str, Handler],
        able: Callable[[], bool] = lambda: True,
        /,
        *,
        slots: int = 4,
        lease: float = LEASE,
        poll: float = 1.0,
        first_delay: float = 1.0,
    ) -> None:
        self._able = able
        self._jobs = jobs
        self._handlers = dict(handlers)
        self._slots = slots
        self._lease = lease
        self._poll = poll
        self._first_delay = first_delay
        self._running: set[asyncio.Task[None]] = set()
        self._woken = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Begin to look for jobs."""
        self._jobs.listen(self._woken)
        self._loop = asyncio.create_task(self._look(), name="jobs")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop looking, and give back what runs."""
        # Not cancelled: what it is claiming just now would wait for its lease to end.
        self._closing.set()
        self._woken.set()
        if self._loop is not None:
            await self._loop
        self._jobs.unlisten(self._woken)
        await tasks.cancel(self._running)

    async def _look(self) -> None:
        """Claim what is due whenever a slot is free, until it closes."""
        loop = asyncio.get_running_loop()
        pruned = loop.time()
        while not self._closing.is_set():
            self._woken.clear()
            try:
                found = await self._claim()
                if loop.time() - pruned > _PRUNE_EVERY:
                    pruned = loop.time()
                    await self._jobs.prune(older=KEPT)
            except StorageUnavailable as error:
                _logger.warning("jobs cannot be claimed: %s", error)
                found = 0
            idle = found == 0 or len(self._running) >= self._slots
            if idle and not self._closing.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), self._poll)

    async def _claim(self) -> int:
        free = self._slots - len(self._running)
        if free == 0 or not self._handlers or not self._able():
            return 0
        claims = await self._jobs.claim(list(self._handlers), limit=free, lease=self._lease)
        for claim in claims:
            task = asyncio.create_task(self._work(claim), name=f"job {claim.job.id}")
            self._running.add(task)
            task.add_done_callback(self._ended)
        return len(claims)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._woken.set()

    async def _work(self, claim: Claim) -> None:
        """Run one attempt beside its heartbeat, and keep what came of it."""
        job = claim.job
        attempt = Attempt(self._jobs, claim, self._lease)
        handler = asyncio.ensure_future(self._handlers[job.kind](attempt))
        beating = asyncio.create_task(self._beat(job, handler))
        try:
            await asyncio.wait({handler})
        except asyncio.CancelledError:
            # The process ends: the next may begin at once.
            await tasks.cancel([handler])
            with contextlib.suppress(StorageUnavailable):
                await self._jobs.release(job)
            raise
        finally:
            beating.cancel()
        await self._keep(job, handler)

    async def _keep(self, job: Job, handler: asyncio.Future[object]) -> None:
        """Keep a result or an error; where storage does not answer, the lease's end decides."""
        try:
            if handler.cancelled():
                return
            error = handler.exception()
            if error is None:
                await self._jobs.finish(job, handler.result())
            elif isinstance(error, JobRefused):
                await self._jobs.refuse(job, str(error))
            else:
                _logger.warning("job %s (%s) failed", job.id, job.kind, exc_info=error)
                await self._jobs.fail(job, type(error).__name__, delay=self._delay(job))
        except StorageUnavailable as error:
            _logger.warning("the end of job %s cannot be kept: %s", job.id, error)

    async def _beat(self, job: Job, handler: asyncio.Future[object]) -> None:
        """Renew the lease until the handler ends; cancel it where the job is no longer ours."""
        while True:
            await asyncio.sleep(self._lease / 3)
            try:
                held = await self._jobs.beat(job, lease=self._lease)
            except StorageUnavailable:
                continue
            if not held:
                handler.cancel()
                return

    def _delay(self, job: Job) -> float:
        """Wait twice as long each time, and not all at the same moment."""
        longest = min(self._first_delay * 2.0 ** (job.attempts - 1), LONGEST)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
