"""Neo4j that is away, comes back, or refuses us: answers, and no end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from nexus_gateway.studio.storage.errors import StorageUnavailable
from nexus_gateway.studio.storage.graph import Statement
from nexus_gateway.studio.storage.graph_neo4j import Neo4jGraph
from tests.harness import neo4j_server

if TYPE_CHECKING:
    from collections.abc import Iterator

ONE = Statement("MATCH (n:Entity {tenant: 'faults'}) RETURN count(n) AS n")
ADD = Statement("CREATE (n:Entity {tenant: 'faults', entity_id: randomUUID()})")


@pytest.fixture
def server() -> Iterator[neo4j_server.Server]:
    with neo4j_server.serve() as one:
        yield one


async def test_a_wrong_password_is_told(neo4j: neo4j_server.Server) -> None:
    async with Neo4jGraph(neo4j.url, user=neo4j.user, password="wrong") as graph:
        with pytest.raises(StorageUnavailable, match="refuses the user"):
            await graph.ping()


async def test_a_url_that_is_none_is_refused() -> None:
    with pytest.raises(StorageUnavailable, match="URL of Neo4j"):
        await Neo4jGraph("nonsense://127.0.0.1", user="neo4j", password="x").__aenter__()


async def test_a_server_that_is_not_there_yet_does_not_keep_the_graph_from_opening() -> None:
    async with Neo4jGraph("bolt://127.0.0.1:1", user="neo4j", password="x") as graph:
        with pytest.raises(StorageUnavailable, match="cannot be reached"):
            await graph.read(ONE, rows=1, seconds=5)


async def test_a_crash_loses_nothing_acknowledged_and_is_recovered_from(
    server: neo4j_server.Server,
) -> None:
    async with Neo4jGraph(server.url, user=server.user, password=server.password) as graph:
        for _ in range(20):
            await graph.write([ADD], seconds=10)

        server.kill()
        with pytest.raises(StorageUnavailable):
            await graph.write([ADD], seconds=5)
        again = await asyncio.to_thread(neo4j_server.start, server.home, server.port)

        try:
            found = await graph.read(ONE, rows=1, seconds=10)
            await graph.write([ADD], seconds=10)
        finally:
            again.kill()
    assert found.rows == [(20,)]
