"""Ingests: accepted once they are kept, and brought into the graph by jobs.

Nodes come first and edges after all nodes, whatever the order of the lines, so an edge may name a
node of a later line. What was brought in is noted part by part; after a crash the part that was
under way is done again, which changes nothing that is there already. A graph that is away is waited
for. A line that the graph refuses is kept with the reason, and can be given again.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.knowledge_graph.errors import (
    AlreadyExists,
    BadQuery,
    NotFound,
    NotRetryable,
)
from nexus_gateway.studio.knowledge_graph.ingest.lines import SHOWN, cut
from nexus_gateway.studio.knowledge_graph.ingest.models import (
    Draft,
    Ingest,
    IngestPage,
    IngestQuery,
    Progress,
    Refusal,
    RefusalQuery,
    Refusals,
)
from nexus_gateway.studio.knowledge_graph.ingest.store import pack
from nexus_gateway.studio.storage.errors import StorageUnavailable
from nexus_gateway.studio.storage.jobs import micros

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from nexus_gateway.studio.knowledge_graph.ingest.store import IngestStore
    from nexus_gateway.studio.knowledge_graph.service import Author
    from nexus_gateway.studio.storage.jobs import Job, Jobs

KIND = "graph-ingest"
BYTES = 64 << 20
"""Of one ingest; a longer one is several."""
PENDING = 1 << 30
"""Compressed bytes that may wait, of all tenants; more is refused until some are in the graph."""
UPLOAD = 600 * 1_000_000
"""Microseconds after which an ingest that was begun and never accepted is forgotten."""
PRUNE_EVERY = 300.0
GLANCE = 0.2
"""Seconds between two looks of who follows an ingest."""


class Ingests:
    """The ingests of every tenant."""

    def __init__(self, store: IngestStore, jobs: Jobs) -> None:
        self._store = store
        self._jobs = jobs
        self._pruned = 0.0

    async def accept(self, author: Author, text: bytes, *, key: str | None = None) -> Ingest:
        """Keep lines durably, and have them brought into the graph.

        The same lines, while they are not in the graph yet, are the ingest that there is; with a
        `key`, for as long as it is remembered.

        Raises:
            AlreadyExists: the key was used for other lines.
            BadQuery: there is no line.
            StorageUnavailable: too much waits already, or nothing can be kept now.
        """
        digest = await asyncio.to_thread(lambda: hashlib.sha256(text).hexdigest())
        if key is not None:
            there = await self._named(author, key, digest)
            if there is not None:
                return there
        await self._make_room()
        parts = await asyncio.to_thread(lambda: [(first, n, pack(p)) for first, n, p in cut(text)])
        lines = sum(count for _, count, _ in parts)
        if not lines:
            raise BadQuery("body", "expected at least one line", location="body")
        draft = Draft(uuid.uuid4().hex, author.tenant, author.subject, key, digest, lines)
        if not await self._store.open(draft, micros()):
            raise StorageUnavailable(f"an ingest with the key {key!r} is being accepted just now")
        for number, (first, _, packed) in enumerate(parts):
            await self._store.add_part(draft.id, number, first, packed)
        job, new = await self._jobs.add(
            author.tenant,
            KIND,
            draft.id,
            key=f"key:{key}" if key else f"sha256:{digest}",
            id=draft.id,
        )
        if not new:
            await self._store.forget(draft.id)
        return await self._told(job)

    async def get(self, author: Author, job_id: str) -> Ingest:
        """Tell how an ingest stands.

        Raises:
            NotFound: there is none, or it is long done and forgotten.
        """
        return await self._told(await self._job(author, job_id))

    async def page(self, author: Author, asked: IngestQuery) -> IngestPage:
        """List a tenant's ingests, the newest first."""
        jobs = await self._jobs.page(
            author.tenant,
            kind=KIND,
            state=asked.state,
            before=asked.before,
            limit=asked.limit + 1,
        )
        items = [await self._told(job) for job in jobs[: asked.limit]]
        more = len(jobs) > asked.limit
        return IngestPage(tuple(items), jobs[asked.limit - 1].number if more else None)

    async def follow(self, author: Author, job_id: str) -> AsyncGenerator[Ingest, None]:
        """Tell how an ingest stands whenever that changes, until it is finished.

        Raises:
            NotFound: there is none.
        """
        told: Ingest | None = None
        while True:
            job = await self._job(author, job_id)
            now = await self._told(job)
            if now != told:
                told = now
                yield now
            if job.finished:
                return
            await asyncio.sleep(GLANCE)

    async def refusals(self, author: Author, job_id: str, asked: RefusalQuery) -> Refusals:
        """List lines that were refused.

        Raises:
            NotFound: there is no such ingest.
        """
        await self._job(author, job_id)
        found = await self._store.refusals(job_id, asked.after, asked.limit + 1)
        more = len(found) > asked.limit
        items = tuple(found[: asked.limit])
        return Refusals(items, items[-1].line if more else None)

    async def retry(self, author: Author, job_id: str) -> Ingest:
        """Go on with an ingest that ended, or give the lines that were refused once more.

        Raises:
            NotFound: there is none.
            NotRetryable: it has not ended, or no refused line can be given again.
        """
        job = await self._job(author, job_id)
        if job.state in {"failed", "dead", "cancelled"} and await self._store.unfinished(job_id):
            return await self._told(await self._jobs.retry(author.tenant, job_id) or job)
        if not job.finished:
            raise NotRetryable(f"the ingest {job_id!r} is not finished yet")
        lines: list[str] = []
        after, size = 0, 0
        while found := await self._store.refusals(job_id, after, 1000):
            after = found[-1].line
            whole = [one.content for one in found if len(one.content) < SHOWN]
            size += sum(map(len, whole))
            if size > BYTES:
                break
            lines += whole
        if not lines:
            raise NotRetryable(f"the ingest {job_id!r} has no refused line that is stored whole")
        return await self.accept(author, "\n".join(lines).encode())

    async def _named(self, author: Author, key: str, digest: str) -> Ingest | None:
        """Find the ingest of a key; one that was never accepted makes way."""
        named = await self._store.named(author.tenant, key)
        if named is None:
            return None
        ingest, before, begun = named
        if before != digest:
            raise AlreadyExists(f"the key {key!r} was used for other content")
        job = await self._jobs.get(author.tenant, ingest)
        if job is not None:
            return await self._told(job)
        if micros() - begun < UPLOAD:
            raise StorageUnavailable(f"an ingest with the key {key!r} is being accepted just now")
        await self._store.forget(ingest)
        return None

    async def _make_room(self) -> None:
        """Forget what nobody needs any more, and refuse where too much waits."""
        moment = asyncio.get_running_loop().time()
        if moment - self._pruned > PRUNE_EVERY:
            self._pruned = moment
            await self._store.prune(micros() - UPLOAD)
        if await self._store.pending() > PENDING:
            raise StorageUnavailable("too much waits to be brought into the graph", retry_after=10)

    async def _job(self, author: Author, job_id: str) -> Job:
        job = await self._jobs.get(author.tenant, job_id)
        if job is None or job.kind != KIND:
            raise NotFound(f"there is no ingest {job_id!r}")
        return job

    async def _told(self, job: Job) -> Ingest:
        said = job.result or job.progress
        if said is None:
            draft = await self._store.get(job.tenant, job.id)
            progress = Progress(0 if draft is None else draft.lines)
        else:
            progress = msgspec.json.decode(said, type=Progress)
        times = (datetime.fromtimestamp(at / 1e6, UTC) for at in (job.created_at, job.updated_at))
        return Ingest(job.id, job.state, progress, job.error, *times)


def refusal(line: int, reason: str, content: str) -> Refusal:
    """Keep of a refused line what can be kept."""
    return Refusal(line, reason[:1000], content[:SHOWN].replace("\0", ""))
