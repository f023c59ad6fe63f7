"""Queries at random have the same answer on either engine."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import given, settings

from nexus_gateway.studio.storage.graph_embedded import EmbeddedGraph
from nexus_gateway.studio.storage.graph_neo4j import Neo4jGraph
from tests.studio.knowledge_graph.cypher.desk import Desk, in_no_order
from tests.studio.knowledge_graph.cypher.random_queries import queries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness import neo4j_server

TENANT = uuid4().hex


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as opened:
        yield opened


@pytest.fixture(scope="module")
def embedded(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    graph = EmbeddedGraph(tmp_path_factory.mktemp("engines") / "graph.kgl")
    with Desk(runner, graph, {TENANT: ""}) as desk:
        yield desk


@pytest.fixture(scope="module")
def server(runner: asyncio.Runner, neo4j: neo4j_server.Server) -> Iterator[Desk]:
    graph = Neo4jGraph(neo4j.url, user=neo4j.user, password=neo4j.password)
    with Desk(runner, graph, {TENANT: ""}) as desk:
        yield desk


@given(text=queries())
@settings(max_examples=100, deadline=None)
def test_both_engines_answer_the_same(embedded: Desk, server: Desk, text: str) -> None:
    one, other = embedded.ask(TENANT, text), server.ask(TENANT, text)

    if one is not None and other is not None:
        assert in_no_order(one) == in_no_order(other)
