"""PostgreSQL compares vectors itself where it has pgvector, for tenants too large for memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nexus_gateway.studio.engines import entity_store
from nexus_gateway.studio.intelligence.embedding.local import HashedWords
from nexus_gateway.studio.intelligence.search.indexer import Indexer
from nexus_gateway.studio.intelligence.search.models import Search
from nexus_gateway.studio.intelligence.search.opening import Opening
from nexus_gateway.studio.intelligence.search.postgres import PostgresSearch
from nexus_gateway.studio.intelligence.service import Entities
from nexus_gateway.studio.storage import migrations
from nexus_gateway.studio.storage.postgres import Postgres
from tests.harness.servers import PostgresServer, running_postgres

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from nexus_gateway.studio.intelligence.models import Draft


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres(embedded=True) as opened:
        opened.run("CREATE DATABASE searched")
        migrations.up(opened.url("searched"))
        yield opened


@pytest.fixture
async def opened(server: PostgresServer) -> AsyncGenerator[Postgres]:
    async with Postgres(server.url("searched"), pool=4) as database:
        yield database


async def index(opening: Opening, finder: PostgresSearch) -> None:
    indexer = Indexer(finder, HashedWords(), opening.refresh)
    await indexer.forget()
    await indexer.work()


async def test_vectors_are_compared_in_the_database_once_it_has_the_extension(
    server: PostgresServer, opened: Postgres, drafts: tuple[Draft, ...]
) -> None:
    entities = Entities(entity_store(opened))
    await entities.put_all("one", drafts)
    await entities.put_all("two", drafts)
    before = PostgresSearch(opened)
    await index(Opening(before, HashedWords(), memory=1000), before)
    without = (
        await Opening(before, HashedWords(), memory=1000)
        .searches()
        .search("one", Search(q="postgersql server", mode="vector"))
    )

    server.run("CREATE EXTENSION vector", "searched")
    after = PostgresSearch(opened)
    small = Opening(after, HashedWords(), memory=1000)
    await index(small, after)

    assert (without.items, without.degraded, without.pending) == ((), ("vector",), 0)
    held = Opening(after, HashedWords()).searches()
    for search in (
        Search(q="postgersql server", mode="vector"),
        Search(q="server", mode="vector", type="database", tag=["sql", "server"]),
        Search(q="server", mode="vector", type="proxy"),
        Search(like="my"),
    ):
        found = await small.searches().search("one", search)
        same = await held.search("one", search)
        assert [hit.entity_id for hit in found.items] == [hit.entity_id for hit in same.items]
        assert (found.total, found.degraded, found.pending) == (same.total, (), 0)
    first = await small.searches().search("one", Search(q="postgersql server", mode="vector"))
    assert first.items[0].entity_id == "pg"
