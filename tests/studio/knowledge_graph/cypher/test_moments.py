"""Queries of a time: what holds then, and what was known then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from nexus_gateway.studio.conditions import Condition
from nexus_gateway.studio.knowledge_graph import past
from nexus_gateway.studio.knowledge_graph.cypher.misread import Misread
from nexus_gateway.studio.knowledge_graph.cypher.statement import compiled
from nexus_gateway.studio.knowledge_graph.errors import BadQuery
from nexus_gateway.studio.knowledge_graph.models import NodeDraft, NodePatch
from nexus_gateway.studio.knowledge_graph.query import Querying, Question
from nexus_gateway.studio.knowledge_graph.service import Author, KnowledgeGraph
from nexus_gateway.studio.knowledge_graph.stats import Statistics
from nexus_gateway.studio.knowledge_graph.store import GraphStore
from nexus_gateway.studio.storage.errors import GraphTimeout
from tests.harness.waiting import never
from tests.studio.knowledge_graph.cypher.shop import MADE, SPRING, fill

if TYPE_CHECKING:
    from nexus_gateway.studio.knowledge_graph.models import Node
    from nexus_gateway.studio.storage.graph import Graph

DAY = timedelta(days=1)
WINTER = datetime(2026, 2, 1, tzinfo=UTC)
SUMMER = datetime(2026, 7, 1, tzinfo=UTC)


@pytest.fixture
async def shop(graph: Graph) -> Shop:
    tenant = uuid4().hex
    await fill(graph, tenant)
    return Shop(graph, tenant)


class Shop:
    """A shop of one tenant, asked at times."""

    def __init__(self, graph: Graph, tenant: str) -> None:
        self.store = GraphStore(graph)
        self.author = Author(tenant, "alice")
        self._querying = Querying(self.store, Statistics(self.store))

    async def ask(self, text: str, **more: datetime | float) -> list[object]:
        question = Question(text, {"least": 1} if "$least" in text else {}, **more)  # type: ignore[arg-type]
        answer = await self._querying.answer(self.author.tenant, question)
        return [row[0] if len(row) == 1 else list(row) for row in answer.rows]


@pytest.mark.parametrize(
    ("text", "winter", "summer"),
    [
        ("MATCH (n) RETURN count(n)", [5], [6]),
        ("MATCH ()-[r]->() RETURN count(r)", [6], [7]),
        ("MATCH (n:app) RETURN n.name", [], ["Zeta"]),
        ("MATCH (a {entity_id: 'a'})-[r]->(b) RETURN b.name ORDER BY b.name",
         ["Beta", "delta"], ["Beta"]),
        ("MATCH (a {entity_id: 'a'})-[*1..2]->(b) RETURN b.entity_id ORDER BY b.entity_id",
         ["b", "c", "d", "e"], ["b", "c"]),
        ("MATCH (a {entity_id: 'a'})<-[*1..1]-(b) RETURN b.entity_id ORDER BY b.entity_id",
         ["e"], ["e", "f"]),
        ("MATCH (n) WHERE (n)-[:suggests]->() RETURN n.name", ["Alpha"], []),
        ("MATCH (n {entity_id: 'a'}) RETURN COUNT { (n)--() }", [3], [3]),
        ("MATCH (n {entity_id: 'a'}) RETURN [(n)-[]->(m) | m.name] = ['Beta']", [False], [True]),
        ("MATCH (a) OPTIONAL MATCH (a)-[r:uses]->(b) RETURN count(r)", [0], [2]),
        ("MATCH p = (n {entity_id: 'a'})-[:suggests*1..2]->() RETURN length(p)", [1], []),
    ],
)  # fmt: skip
async def test_nodes_and_edges_that_do_not_hold_are_not_met(
    shop: Shop, text: str, winter: list[object], summer: list[object]
) -> None:
    assert await shop.ask(text, valid_at=WINTER) == winter
    assert await shop.ask(text, valid_at=SUMMER) == summer
    assert await shop.ask(text, as_of=WINTER) == winter
    assert await shop.ask(text, as_of=SUMMER) == summer


async def test_what_was_not_known_yet_is_no_part_of_an_answer_as_of_then(shop: Shop) -> None:
    before = MADE - DAY

    assert await shop.ask("MATCH (n) RETURN count(n)", as_of=before) == [0]
    assert await shop.ask("MATCH (n) RETURN count(n)", valid_at=before) == [5]


async def test_an_answer_as_of_a_time_that_was_other_is_that_of_then(shop: Shop) -> None:
    asked = [
        "MATCH (n) RETURN n.name ORDER BY n.name",
        "MATCH (a)-[r]->(b) RETURN a.name, type(r), b.name ORDER BY a.name, b.name, type(r)",
        "MATCH (n {entity_id: 'a'}) RETURN n",
        "MATCH (n {entity_id: 'a'})-[*1..2]->(m) RETURN DISTINCT m.entity_id AS id ORDER BY id",
        "MATCH (n) WHERE n.size > $least RETURN count(n)",
    ]
    before = [await shop.ask(text, as_of=WINTER) for text in asked]
    service = KnowledgeGraph(shop.store, clock=lambda: SUMMER)
    await service.patch_node(shop.author, "a", NodePatch(name="Other"), Condition())
    await service.remove_node(shop.author, "b", Condition())
    await service.create_node(shop.author, NodeDraft(entity_id="new", entity_type="app"))
    await service.merge(shop.author, "c", "d", Condition())

    assert [await shop.ask(text, as_of=WINTER) for text in asked] == before
    assert await shop.ask("MATCH (n {entity_id: 'a'}) RETURN n.name", as_of=SUMMER) == ["Other"]
    assert await shop.ask("MATCH (n {entity_id: 'a'}) RETURN n.name", valid_at=SPRING) == ["Other"]


async def test_a_past_that_is_too_large_or_takes_too_long_is_refused(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = KnowledgeGraph(shop.store, clock=lambda: SUMMER)
    await service.patch_node(shop.author, "a", NodePatch(name="Other"), Condition())
    monkeypatch.setattr(past, "MOST", 10)
    with pytest.raises(BadQuery, match="more than 10 nodes and edges"):
        await shop.ask("MATCH (n) RETURN n.name", as_of=WINTER)
    monkeypatch.setattr(shop.store, "node_page", hang)
    with pytest.raises(GraphTimeout, match="within 1 s"):
        await shop.ask("MATCH (n) RETURN n.name", as_of=WINTER, timeout=1)


async def hang(*_: object) -> list[Node]:
    await never()
    return []


def test_a_time_is_not_asked_twice() -> None:
    with pytest.raises(ValueError, match="expected one of them"):
        Question("RETURN 1", valid_at=WINTER, as_of=WINTER)


def test_a_shortest_path_at_a_time_is_asked_elsewhere() -> None:
    with pytest.raises(Misread, match="/paths"):
        compiled("MATCH p = shortestPath((a)-[*..3]->(b)) RETURN p", "valid")
