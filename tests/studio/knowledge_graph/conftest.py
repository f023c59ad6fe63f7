"""A knowledge graph in a temporary folder, behind the real core, and callers of two tenants."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from nexus_gateway import Routes, path
from nexus_gateway.server import Application
from nexus_gateway.studio.knowledge_graph.routes import routes
from nexus_gateway.studio.knowledge_graph.service import KnowledgeGraph
from nexus_gateway.studio.knowledge_graph.store import GraphStore
from nexus_gateway.studio.storage.graph_embedded import EmbeddedGraph
from nexus_gateway.testing import Client
from tests.harness.graph_caller import Caller, Heard
from tests.harness.in_process import SECRET, TOKENS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def client(tmp_path: Path, heard: Heard) -> Iterator[Client]:
    graph = EmbeddedGraph(tmp_path / "graph.kgl")
    store = GraphStore(graph)
    service = KnowledgeGraph(store, publisher=heard)

    @asynccontextmanager
    async def opened() -> AsyncGenerator[None]:
        async with graph:
            yield

    joined: Routes = routes(service, store, path(""))
    application = Application(joined, tokens=TOKENS, secrets={"test": SECRET}, lifespan=opened)
    with Client(application) as open_client:
        yield open_client


@pytest.fixture
def alice(client: Client) -> Caller:
    return Caller(client, "acme", "alice")


@pytest.fixture
def mallory(client: Client) -> Caller:
    return Caller(client, "evil", "mallory")


@pytest.fixture
def nobody(client: Client) -> Caller:
    return Caller(client, None, "nobody")
