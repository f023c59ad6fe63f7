"""A query is estimated by the figures of its graph, and refused where it is too dear."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from nexus_gateway.studio.knowledge_graph.cypher.cost import Estimate, estimate
from nexus_gateway.studio.knowledge_graph.cypher.figures import Figures
from nexus_gateway.studio.knowledge_graph.cypher.parse import parse
from nexus_gateway.studio.knowledge_graph.errors import TooDear
from nexus_gateway.studio.knowledge_graph.models import EdgeKind
from nexus_gateway.studio.knowledge_graph.query import Caps, Querying, Question
from nexus_gateway.studio.knowledge_graph.stats import Statistics
from nexus_gateway.studio.knowledge_graph.store import GraphStore
from tests.studio.knowledge_graph.cypher.shop import fill

if TYPE_CHECKING:
    from nexus_gateway.studio.storage.graph import Graph, Value

FIGURES = Figures(
    {"package": 60_000, "section": 60},
    (
        EdgeKind("depends", "package", "package", 240_000),
        EdgeKind("within", "package", "section", 60_000),
    ),
)


def cost(text: str, **given: Value) -> Estimate:
    return estimate(parse(text), FIGURES, given, 10_000)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("MATCH (n {entity_id: 'a'}) RETURN n", 1, 5),
        ("MATCH (n) WHERE n.entity_id = 'a' RETURN n", 1, 5),
        ("MATCH (n) RETURN count(n)", 60_000, 200_000),
        ("MATCH (n:section) RETURN count(n)", 60, 200),
        ("MATCH (a {entity_id: 'a'})-[:depends]->(b)-[:depends]->(c) RETURN c", 20, 60),
        ("MATCH (c)<-[:depends]-(b)<-[:depends]-(a {entity_id: 'a'}) RETURN c", 20, 60),
        ("MATCH (a:section)<-[:within]-(b) RETURN count(b)", 60_000, 200_000),
        ("MATCH (a {entity_id: 'a'})-[:depends*1..3]->(b) RETURN b", 80, 250),
        ("MATCH (a)-[:depends]->(b)-[:depends]->(c) RETURN count(*)", 1_000_000, 3_000_000),
        ("MATCH (a)-[:depends*1..6]->(b) RETURN count(*)", 1e8, 1e9),
        ("MATCH (a), (b) RETURN count(*)", 3e9, 1e10),
        ("MATCH (a), (b) WHERE b.entity_id = a.size RETURN count(*)", 60_000, 200_000),
        ("MATCH (n) WHERE EXISTS { (n)-[:depends]->(m) } RETURN n", 300_000, 700_000),
        ("MATCH (n) RETURN [(n)-[:depends*1..5]->(m) | m.name]", 5e7, 1e9),
        ("UNWIND range(1, 1000) AS x UNWIND range(1, 1000) AS y RETURN x", 1e6, 4e6),
        ("UNWIND $ids AS id MATCH (n {entity_id: id}) RETURN n", 3, 20),
        ("MATCH p = shortestPath((a {entity_id: 'a'})-[*..6]->(b {entity_id: 'b'})) RETURN p",
         100_000, 1_000_000),
        ("MATCH (n) WITH n LIMIT 10 MATCH (n)-[:depends]->(m) RETURN m", 60_000, 130_000),
        ("MATCH (n:nothing)-[]->(m) RETURN m", 0, 10),
    ],
)  # fmt: skip
def test_the_work_of_a_query_is_told_before_it_runs(text: str, low: float, high: float) -> None:
    assert low <= cost(text, ids=["a", "b", "c"]).work <= high


@pytest.mark.parametrize(
    "text",
    [
        "WITH $long AS s " + "WITH s + s AS s " * 20 + "RETURN s",
        "WITH $long AS s " + "WITH replace(s, 'a', s) AS s " * 4 + "RETURN s",
        "WITH [1, 2, 3, 4] AS l " + "WITH [x IN l | l] AS l " * 12 + "RETURN l",
        "WITH $long AS s UNWIND range(1, 1000000) AS x RETURN collect(s + x)",
        "RETURN [x IN range(1, 5000000) | [x, x, x]]",
        "MATCH (a), (b {entity_id: 'x'}) RETURN collect({a: a, b: b, c: a, d: b})",
        "MATCH (n) WITH collect(n.name) AS all RETURN [x IN all | [y IN all | x + y]]",
    ],
)
def test_a_value_that_would_fill_the_memory_is_seen_before_it_is_made(text: str) -> None:
    found = cost(text, long="a" * 1000)

    assert found.work > Caps().work or found.held > Caps().held


async def test_a_dear_query_is_refused_with_its_estimate_and_the_cap(graph: Graph) -> None:
    tenant = uuid4().hex
    await fill(graph, tenant)
    store = GraphStore(graph)
    querying = Querying(store, Statistics(store), Caps(work=100))

    cheap = await querying.answer(tenant, Question("MATCH (n) RETURN count(n)"))
    with pytest.raises(TooDear, match="rows and steps, and may need 100") as caught:
        await querying.answer(tenant, Question("MATCH (a), (b), (c) RETURN count(*)"))

    assert cheap.rows == [(6,)]
    assert 216 <= caught.value.estimate <= 1000


async def test_estimates_agree_with_the_graph(graph: Graph) -> None:
    tenant = uuid4().hex
    await fill(graph, tenant)
    await fill(graph, f"{tenant}-other")

    figures = await Statistics(GraphStore(graph)).figures(tenant)

    assert figures.node_types == {"pkg": 3, "lib": 2, "app": 1}
    assert sum(edge.count for edge in figures.edges) == 8
    assert figures.degree(["depends"], "out", ["pkg"]) == 1.0
    assert figures.degree((), "in", (), ["app"]) == pytest.approx(2 / 6)


async def test_a_large_graph_is_counted_by_a_sample(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = uuid4().hex
    await fill(graph, tenant)
    monkeypatch.setattr("nexus_gateway.studio.knowledge_graph.stats.SAMPLE", 3)

    figures = await Statistics(GraphStore(graph)).figures(tenant)

    assert sum(figures.node_types.values()) == 6
    # Each node is taken or not: of 8 edges from 0 to all, each counted twice.
    assert 0 <= sum(edge.count for edge in figures.edges) <= 16
