"""No query reaches another tenant: what one is answered does not depend on what others have."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from hypothesis import given, settings

from nexus_gateway.studio.knowledge_graph.cypher.misread import Misread
from nexus_gateway.studio.knowledge_graph.cypher.statement import compiled
from nexus_gateway.studio.storage.graph_embedded import EmbeddedGraph
from nexus_gateway.studio.storage.graph_neo4j import Neo4jGraph
from tests.studio.knowledge_graph.cypher.desk import Desk, in_no_order
from tests.studio.knowledge_graph.cypher.random_queries import queries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexus_gateway.studio.storage.graph import Graph
    from tests.harness import neo4j_server

OTHER = "other "
ONE = uuid4().hex
"""A tenant that no other test has: they share a server."""


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as opened:
        yield opened


@pytest.fixture(scope="module")
def alone(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Give a graph that has one tenant."""
    path = tmp_path_factory.mktemp("alone") / "graph.kgl"
    with Desk(runner, EmbeddedGraph(path), {"one": ""}) as desk:
        yield desk


@pytest.fixture(scope="module")
def shared(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Give a graph that has two, with the same ids and edges."""
    path = tmp_path_factory.mktemp("shared") / "graph.kgl"
    with Desk(runner, EmbeddedGraph(path), {"two": OTHER, "one": ""}) as desk:
        yield desk


@pytest.fixture(scope="module", params=["embedded", "neo4j"])
def either(
    request: pytest.FixtureRequest,
    runner: asyncio.Runner,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Desk]:
    """Give a graph of each engine that has two tenants."""
    graph: Graph = EmbeddedGraph(tmp_path_factory.mktemp("either") / "graph.kgl")
    if request.param == "neo4j":
        server: neo4j_server.Server = request.getfixturevalue("neo4j")
        graph = Neo4jGraph(server.url, user=server.user, password=server.password)
    with Desk(runner, graph, {f"{ONE}-other": OTHER, ONE: ""}) as desk:
        yield desk


@given(text=queries())
@settings(max_examples=150, deadline=None)
def test_random_queries_answer_as_if_there_were_no_other_tenant(
    alone: Desk, shared: Desk, text: str
) -> None:
    found = shared.ask("one", text)

    assert OTHER not in repr(found)
    assert in_no_order(found) == in_no_order(alone.ask("one", text))


@pytest.mark.parametrize(
    "value",
    [
        "a'}) MATCH (m) RETURN m //",
        'a"}) MATCH (m) RETURN m //',
        "a`}) MATCH (m) RETURN m //",
        "\\' OR 1 = 1 //",
        "$tenant",
        "' + $tenant + '",
        "*/ RETURN 1 /*",
        "\u2028two",
    ],
)
@pytest.mark.parametrize(
    "text",
    [
        "MATCH (n {entity_id: $it}) RETURN n",
        "MATCH (n {entity_id: 'ZZZ'}) RETURN n",
        'MATCH (n {entity_id: "ZZZ"}) RETURN n',
        "MATCH (n:`ZZZ`) RETURN n",
        "MATCH (n) WHERE n.name CONTAINS $it RETURN n",
        "MATCH (n)-[r]->(m) WHERE type(r) = $it RETURN m",
        "UNWIND [$it] AS x MATCH (n {name: x}) RETURN n",
        "MATCH (`ZZZ`) WHERE `ZZZ`.size > 1000 RETURN `ZZZ`",
        "MATCH (n) WHERE n.size > 1000 RETURN n AS `ZZZ`",
        "WITH $`ZZZ` AS x MATCH (n {name: x}) RETURN n",
    ],
)
def test_a_text_stays_a_text_wherever_it_stands(either: Desk, text: str, value: str) -> None:
    written = value
    if "'ZZZ'" in text or '"ZZZ"' in text:
        written = value.replace("\\", "\\\\").replace("'", "\\'").replace('"', '\\"')
    elif "`ZZZ`" in text:
        written = value.replace("`", "``")

    found = either.ask(ONE, text.replace("ZZZ", written), it=value, **{value: value})

    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "MATCH (n)-[:`a]->() DETACH DELETE n //`]->(m) RETURN m",
        "MATCH (n) RETURN n.`name}) RETURN 1 //`",
        "MATCH (n {`x: 1}) RETURN n //`: 1}) RETURN n",
        "RETURN {`a: 1} AS x //`: 1}",
        "MATCH (n) RETURN n.tenant",
        "MATCH (n {tenant: 'two'}) RETURN n",
        "MATCH (n)-[r {tenant: 'two'}]->() RETURN n",
        "MATCH (n) WITH n AS m RETURN m.tenant",
        "MATCH (n) WITH collect(n) AS all UNWIND all AS m RETURN m.tenant",
        "MATCH (n) RETURN [m IN [n] | m.tenant]",
        "MATCH (n) RETURN n['tenant']",
        "MATCH (n) WITH {k: n} AS map RETURN map.k.tenant",
        "MATCH (n) WITH {k: n} AS map RETURN map['k']['tenant']",
        "MATCH (n) RETURN coalesce(n, null).tenant",
        "MATCH (n) RETURN CASE WHEN true THEN n END['tenant']",
        "MATCH (n) RETURN head([n]).tenant",
        "MATCH p = (n)-->() RETURN nodes(p)[0].tenant",
        "MATCH (n)-[r]->() RETURN startNode(r).tenant",
        "MATCH (n) RETURN properties(n)",
        "MATCH (n) RETURN keys(n)",
        "MATCH (n) RETURN labels(n)",
        "MATCH (n) RETURN id(n)",
        "MATCH (n) RETURN toString(n)",
        "MATCH (n) RETURN [n, 1]",
        "MATCH (n) RETURN n {.*}",
        "MATCH (n:Version) WHERE n.owner = 'two' RETURN n.subject CALL db.labels()",
    ],
)
def test_no_name_and_no_detour_leads_to_how_a_graph_is_kept(text: str) -> None:
    with pytest.raises(Misread):
        compiled(text, None)


def test_what_is_kept_beside_the_nodes_is_no_label(either: Desk) -> None:
    assert either.ask(ONE, "MATCH (n:Version) RETURN n") == []
    assert either.ask(ONE, "MATCH (n:Alias|Version) RETURN n") == []


def test_a_parameter_called_tenant_is_a_parameter_like_others(either: Desk) -> None:
    found = either.ask(ONE, "MATCH (n {entity_id: 'a'}) RETURN $tenant, $at, n.name", at="two")

    assert found == [["other", "two", "Alpha"]]
