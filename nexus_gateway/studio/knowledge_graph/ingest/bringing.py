"""The work of an ingest: its parts, one after the other, into the graph."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import msgspec

from nexus_gateway.studio.knowledge_graph.errors import GraphError, RevisionMismatch
from nexus_gateway.studio.knowledge_graph.ingest.lines import Item, Read, name_of, read
from nexus_gateway.studio.knowledge_graph.ingest.models import Progress, Refusal
from nexus_gateway.studio.knowledge_graph.ingest.service import refusal
from nexus_gateway.studio.knowledge_graph.ingest.store import unpack
from nexus_gateway.studio.knowledge_graph.models import EdgeDraft, Loaded, NodeDraft, Taken, Tally
from nexus_gateway.studio.knowledge_graph.service import Author
from nexus_gateway.studio.storage.errors import BadStatement, GraphTimeout, StorageUnavailable
from nexus_gateway.studio.storage.jobs import JobRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    from nexus_gateway.studio.knowledge_graph.ingest.models import Draft, Part
    from nexus_gateway.studio.knowledge_graph.ingest.store import IngestStore
    from nexus_gateway.studio.knowledge_graph.service import KnowledgeGraph
    from nexus_gateway.studio.storage.worker import Attempt

T = TypeVar("T")

NODES = 1000
EDGES = 2000
"""Nodes, and edges, of one transaction: others that write wait for one at most."""
LONGEST = 10.0
"""Seconds between two tries while the graph is away."""
PATIENCE = 86_400.0
"""Seconds that the graph may be away; then the job is a dead letter, and can be retried."""


class Bringing:
    """Brings ingests into the graph: the handler of their jobs.

    Args:
        store: where the parts are.
        graph: where they shall be.
    """

    def __init__(self, store: IngestStore, graph: KnowledgeGraph) -> None:
        self._store = store
        self._graph = graph

    async def run(self, attempt: Attempt) -> Progress:
        """Bring an ingest in, as far as it is not there yet.

        Raises:
            JobRefused: its lines are gone, or all of them were refused.
            StorageUnavailable: the graph was away for too long, or the database is.
        """
        draft = await self._store.get(attempt.job.tenant, attempt.job.id)
        if draft is None:
            raise JobRefused("its lines are not kept any more")
        return await _Run(self._store, self._graph, attempt, draft).all()


class _Run:
    """One attempt at one ingest."""

    def __init__(
        self, store: IngestStore, graph: KnowledgeGraph, attempt: Attempt, draft: Draft
    ) -> None:
        self._store = store
        self._graph = graph
        self._attempt = attempt
        self._author = Author(draft.tenant, draft.subject)
        self._id = draft.id
        said = attempt.job.progress
        before = Progress(draft.lines)
        self._progress = before if said is None else msgspec.json.decode(said, type=Progress)

    async def all(self) -> Progress:
        for number in await self._store.parts(self._id, 0):
            await self._part(number, self._nodes)
            await self._store.half(self._id, number)
        for number in await self._store.parts(self._id, 1):
            await self._part(number, self._edges)
            await self._store.whole(self._id, number)
        ended = msgspec.structs.replace(
            self._progress, done=self._progress.lines, refused=await self._store.refused(self._id)
        )
        if ended.refused >= ended.lines:
            await self._attempt.progress(ended)
            raise JobRefused(f"all {ended.lines} lines were refused")
        return ended

    async def _part(self, number: int, bring: Callable[[Part, Read], Awaitable[None]]) -> None:
        part = await self._store.part(self._id, number)
        if part is not None:
            part = msgspec.structs.replace(part, content=await asyncio.to_thread(unpack, part))
            await bring(part, await asyncio.to_thread(read, part.first, part.content))

    async def _nodes(self, part: Part, found: Read) -> None:
        await self._refuse(part, found.wrong)
        for some in _batches(found.nodes, NODES):
            await self._bring(part, some)

    async def _edges(self, part: Part, found: Read) -> None:
        for some in _batches(found.edges, EDGES):
            await self._bring(part, some)

    async def _bring(self, part: Part, items: Sequence[tuple[int, Item]]) -> None:
        """Bring a batch in, and keep what of it was refused."""
        nodes = [item for _, item in items if isinstance(item, NodeDraft)]
        edges = [item for _, item in items if isinstance(item, EdgeDraft)]
        try:
            taken = await self._patiently(lambda: self._graph.take(self._author, nodes, edges))
        except (BadStatement, GraphError) as error:
            if len(items) == 1:
                taken = Taken(Loaded(Tally(), Tally()), {name_of(items[0][1]): str(error)})
            else:
                # One that the graph does not take must not keep the others from it.
                for one in items:
                    await self._bring(part, [one])
                return
        wrong = [
            (line, taken.refused[name])
            for line, name in ((line, name_of(item)) for line, item in items if taken.refused)
            if name in taken.refused
        ]
        await self._note(taken.loaded, len(items))
        await self._refuse(part, wrong)

    async def _refuse(self, part: Part, wrong: Sequence[tuple[int, str]]) -> None:
        if wrong:
            lines = part.content.split(b"\n")
            kept: list[Refusal] = [
                refusal(line, reason, lines[line - part.first].decode(errors="replace"))
                for line, reason in wrong
            ]
            await self._store.refuse(self._id, kept)
            refused = await self._store.refused(self._id)
            self._progress = msgspec.structs.replace(self._progress, refused=refused)

    async def _note(self, loaded: Loaded, count: int) -> None:
        before = self._progress
        self._progress = msgspec.structs.replace(
            before,
            done=min(before.done + count, before.lines),
            nodes=before.nodes + loaded.nodes,
            edges=before.edges + loaded.edges,
            waiting=None,
        )
        await self._attempt.progress(self._progress)

    async def _patiently(self, act: Callable[[], Awaitable[T]]) -> T:
        """Try until the graph answers.

        Raises:
            StorageUnavailable: it does not, for a day.
        """
        clock = asyncio.get_running_loop().time
        until, pause = clock() + PATIENCE, 0.25
        while True:
            try:
                return await act()
            except (StorageUnavailable, GraphTimeout, RevisionMismatch) as error:
                if clock() > until:
                    raise StorageUnavailable(str(error)) from error
                waiting = msgspec.structs.replace(self._progress, waiting="the graph is away")
                await self._attempt.progress(waiting)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST)


def _batches(items: Iterable[tuple[int, Item]], size: int) -> Iterator[list[tuple[int, Item]]]:
    waiting = iter(items)
    while some := list(islice(waiting, size)):
        yield some
