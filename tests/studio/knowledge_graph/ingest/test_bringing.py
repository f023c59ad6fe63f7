"""The work of an ingest, apart from HTTP: a graph that is away, and lines that spoil a batch."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.knowledge_graph.ingest.bringing import Bringing
from nexus_gateway.studio.knowledge_graph.ingest.models import RefusalQuery
from nexus_gateway.studio.knowledge_graph.ingest.service import KIND, Ingests
from nexus_gateway.studio.knowledge_graph.ingest.store import IngestStore
from nexus_gateway.studio.knowledge_graph.service import Author, KnowledgeGraph
from nexus_gateway.studio.knowledge_graph.store import GraphStore
from nexus_gateway.studio.storage.errors import BadStatement
from nexus_gateway.studio.storage.graph_embedded import EmbeddedGraph
from nexus_gateway.studio.storage.jobs import Jobs
from nexus_gateway.studio.storage.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pytest

    from nexus_gateway.studio.knowledge_graph.ingest.models import Ingest
    from nexus_gateway.studio.knowledge_graph.models import EdgeDraft, NodeDraft, Taken
    from nexus_gateway.studio.storage.postgres import Postgres
    from nexus_gateway.studio.storage.sqlite import Database

ALICE = Author("acme", "alice")


class Room:
    """Ingests over an engine, and a graph that is not opened yet."""

    def __init__(self, engine: Database | Postgres, folder: Path) -> None:
        self.graph = EmbeddedGraph(folder / "graph.kgl", patience=0)
        self.nodes = GraphStore(self.graph)
        self.knowledge = KnowledgeGraph(self.nodes)
        store, jobs = IngestStore(engine), Jobs(engine)
        self.ingests = Ingests(store, jobs)
        bringing = Bringing(store, self.knowledge)
        self.worker = Worker(jobs, {KIND: bringing.run}, first_delay=0.01)

    async def until(self, job_id: str, holds: Callable[[Ingest], bool]) -> Ingest:
        async with asyncio.timeout(15):
            async for told in self.ingests.follow(ALICE, job_id):
                if holds(told):
                    return told
        raise AssertionError(f"ingest {job_id} ended otherwise")


def nodes(count: int) -> bytes:
    drafts = [{"entity_id": f"n{number}", "entity_type": "thing"} for number in range(count)]
    return msgspec.json.Encoder().encode_lines(drafts)


async def test_an_ingest_waits_for_a_graph_that_is_away_and_says_so(
    engine: Database | Postgres, tmp_path: Path
) -> None:
    room = Room(engine, tmp_path)
    async with room.worker:
        told = await room.ingests.accept(ALICE, nodes(3))
        waiting = await room.until(told.job_id, lambda one: one.progress.waiting is not None)
        async with room.graph:
            done = await room.until(told.job_id, lambda one: one.state == "done")

    assert waiting.progress.done == 0
    assert (done.progress.nodes.created, done.progress.waiting) == (3, None)


async def test_a_line_that_the_graph_does_not_take_leaves_the_others_alone(
    engine: Database | Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(engine, tmp_path)
    take = room.knowledge.take

    async def refusing(
        author: Author, given: Sequence[NodeDraft], edges: Sequence[EdgeDraft]
    ) -> Taken:
        if any(one.entity_id == "n1" for one in given):
            raise BadStatement("not this one")
        return await take(author, given, edges)

    monkeypatch.setattr(room.knowledge, "take", refusing)
    async with room.graph, room.worker:
        told = await room.ingests.accept(ALICE, nodes(3))
        done = await room.until(told.job_id, lambda one: one.state == "done")
        refused = await room.ingests.refusals(ALICE, told.job_id, RefusalQuery())

    assert (done.progress.nodes.created, done.progress.refused) == (2, 1)
    assert [(one.line, one.reason) for one in refused.items] == [(2, "not this one")]
