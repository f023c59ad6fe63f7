"""`nexus-gateway graph`: verify, repair, export, import and replay, without a running gateway.

Neo4j may be used by a gateway meanwhile. An embedded graph is a file of one process: where a
gateway has it open, the command says so and changes nothing.
"""

from __future__ import annotations

import asyncio
from typing import IO, TYPE_CHECKING

import msgspec

from nexus_gateway.studio.engines import database_path, engines_of, entity_store, graph_of
from nexus_gateway.studio.feed.graph import REFRESH, GraphSink
from nexus_gateway.studio.fields import BOM
from nexus_gateway.studio.intelligence.told import KIND, Told
from nexus_gateway.studio.knowledge_graph import maintenance
from nexus_gateway.studio.knowledge_graph.service import KnowledgeGraph
from nexus_gateway.studio.knowledge_graph.store import GraphStore
from nexus_gateway.studio.storage.outbox import Outbox, Record, micros
from nexus_gateway.studio.storage.relational import migrated

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable

    from nexus_gateway.server.settings import Settings
    from nexus_gateway.studio.knowledge_graph.maintenance import Line, Verified
    from nexus_gateway.studio.storage.engine import Engine

ENTITIES = 250
"""Entities whose nodes are looked at together."""

_ENTITIES = """
    SELECT tenant, entity_id FROM entity
    WHERE tenant > $1 OR tenant = $1 AND entity_id > $2 ORDER BY tenant, entity_id LIMIT $3
"""


def verify(settings: Settings) -> Verified:
    """Count what a graph holds, and find what is wrong with it.

    Raises:
        StorageError: the graph cannot be opened or read.
    """

    async def run() -> Verified:
        async with graph_of(settings) as graph:
            return await maintenance.verify(graph)

    return asyncio.run(run())


def repair(settings: Settings) -> tuple[Counter[str], int, Verified]:
    """Repair faults, and make the node of each entity what the entity is.

    Returns:
        what was repaired, how many entities were looked at, and the graph afterwards.

    Raises:
        StorageError: the graph or the database cannot be opened.
    """

    async def run() -> tuple[Counter[str], int, Verified]:
        database = engines_of(settings).database
        async with (
            migrated(database_path(settings), database),
            graph_of(settings) as graph,
        ):
            before = await maintenance.verify(graph)
            repaired = await maintenance.repair(graph, before.faults)
            outbox = Outbox(database, holder="repair")

            async def refused(record: Record, reason: str) -> None:
                await outbox.refuse("graph", record, reason)

            knowledge = KnowledgeGraph(GraphStore(graph))
            sink = GraphSink(entity_store(database), knowledge, refused=refused)
            looked_at = await _mirror(database, sink)
            return repaired, looked_at, await maintenance.verify(graph)

    return asyncio.run(run())


def export(settings: Settings, to: IO[bytes]) -> int:
    """Write a graph as NDJSON; how many lines.

    Raises:
        StorageError: the graph cannot be opened or read.
    """

    async def run() -> int:
        count = 0
        async with graph_of(settings) as graph:
            async for line in maintenance.export(GraphStore(graph)):
                to.write(msgspec.json.encode(line) + b"\n")
                count += 1
        return count

    return asyncio.run(run())


def load(settings: Settings, lines: IO[bytes]) -> Counter[str]:
    """Read an export into a graph; what exists stays as it is.

    Raises:
        StorageError: the graph cannot be opened, or does not take a line.
        ValueError: a line is not one of an export; nothing behind its batch is read.
    """

    async def run() -> Counter[str]:
        async with graph_of(settings) as graph:
            return await maintenance.load(GraphStore(graph), _read(lines))

    return asyncio.run(run())


def replay(settings: Settings) -> int:
    """Have the changes that sinks refused carried again by the gateway; how many.

    Raises:
        StorageError: the database cannot be opened.
    """

    async def run() -> int:
        database = engines_of(settings).database
        async with migrated(database_path(settings), database):
            return await Outbox(database, holder="replay").replay()

    return asyncio.run(run())


async def _mirror(database: Engine, sink: GraphSink) -> int:
    """Let a sink look at the node of every entity of a tenant."""
    tenant, name, count = "", "", 0
    while found := await database.query(_ENTITIES, tenant, name, ENTITIES):
        ids: dict[str, list[str]] = {}
        for row in found:
            tenant, name = str(row[0]), str(row[1])
            ids.setdefault(tenant, []).append(name)
        for one, names in ids.items():
            payload = msgspec.Raw(msgspec.json.encode(Told(updated=tuple(names))))
            await sink.take([Record(0, REFRESH, one, KIND, names[0], payload, micros())])
            count += len(names)
    return count


def _read(lines: IO[bytes]) -> Iterable[Line]:
    for number, text in enumerate(lines, start=1):
        content = text.removeprefix(BOM) if number == 1 else text
        if content.strip():
            try:
                yield maintenance.read_line(content)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
