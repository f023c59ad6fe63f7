"""What tests of the studio share: a database in a temporary folder, and the service upon it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nexus_gateway.server.settings import Settings
from nexus_gateway.studio.app import compose
from nexus_gateway.studio.engines import entity_store, search_store
from nexus_gateway.studio.intelligence.embedding.local import HashedWords
from nexus_gateway.studio.intelligence.search.opening import Opening
from nexus_gateway.studio.intelligence.service import Entities
from nexus_gateway.studio.storage import migrations
from nexus_gateway.studio.storage.graph_embedded import EmbeddedGraph
from nexus_gateway.studio.storage.graph_neo4j import Neo4jGraph
from nexus_gateway.studio.storage.relational import relational
from nexus_gateway.studio.storage.sqlite import Database
from nexus_gateway.testing import Client
from tests.harness import neo4j_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from nexus_gateway.studio.intelligence.search.service import Searches
    from nexus_gateway.studio.intelligence.search.store import SearchStore
    from nexus_gateway.studio.intelligence.store import EntityStore
    from nexus_gateway.studio.storage.graph import Graph
    from nexus_gateway.studio.storage.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Tell where a migrated database of each engine is: what uses it runs over both."""
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    path = tmp_path / "test.db"
    migrations.up(path)
    return path


@pytest.fixture
async def engine(where: Path | str) -> AsyncIterator[Database | Postgres]:
    """Open a database of each engine."""
    async with relational(where, pool=4, wait=2, timeout=5) as opened:
        yield opened


@pytest.fixture
def store(engine: Database | Postgres) -> EntityStore:
    """Keep entities in each engine."""
    return entity_store(engine)


@pytest.fixture
def entities(store: EntityStore) -> Entities:
    return Entities(store)


@pytest.fixture
def finder(engine: Database | Postgres) -> SearchStore:
    """Find entities in each engine."""
    return search_store(engine)


@pytest.fixture
def searches(finder: SearchStore) -> Searches:
    """Search without a graph; vectors are made where a test makes them."""
    return Opening(finder, HashedWords()).searches()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """Open a SQLite file, for what only SQLite has."""
    path = tmp_path / "sqlite.db"
    migrations.up(path)
    async with Database(path) as opened:
        yield opened


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, log_level="error")


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with Client(compose(settings)) as opened:
        yield opened


@pytest.fixture(scope="session")
def neo4j() -> Iterator[neo4j_server.Server]:
    """Give the session's Neo4j; tests keep apart by their tenants."""
    with neo4j_server.serve() as server:
        yield server


@pytest.fixture(params=["embedded", "neo4j"])
async def graph(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Graph]:
    """Give each of the two engines in turn, opened."""
    async with graph_of(request, request.param, tmp_path) as opened:
        yield opened


def graph_of(request: pytest.FixtureRequest, engine: str, folder: Path) -> Graph:
    """Make a graph of an engine; Neo4j is started only where it is asked for."""
    if engine == "embedded":
        return EmbeddedGraph(folder / "graph.kgl", patience=0)
    server: neo4j_server.Server = request.getfixturevalue("neo4j")
    return Neo4jGraph(server.url, user=server.user, password=server.password)
