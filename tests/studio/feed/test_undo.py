"""Deletions and merges of entities are undone completely in the graph, over both graph engines."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec
import pytest

from nexus_gateway.studio.conditions import Condition
from nexus_gateway.studio.engines import entity_store
from nexus_gateway.studio.feed.graph import SUBJECT, GraphSink, refresh
from nexus_gateway.studio.feed.graph import draft as as_node
from nexus_gateway.studio.intelligence.models import Content, Draft
from nexus_gateway.studio.intelligence.service import Entities
from nexus_gateway.studio.knowledge_graph.models import EdgeDraft, NodeDraft
from nexus_gateway.studio.knowledge_graph.service import Author, KnowledgeGraph
from nexus_gateway.studio.knowledge_graph.store import GraphStore
from nexus_gateway.studio.storage.outbox import Outbox
from nexus_gateway.studio.storage.relay import Relay
from tests.harness.waiting import Polling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nexus_gateway.studio.storage.graph import Graph
    from nexus_gateway.studio.storage.sqlite import Database

ANY = Condition()


class Feed:
    """Entities, a graph, and the relay between them."""

    def __init__(self, database: Database, graph: Graph) -> None:
        self.tenant = uuid4().hex
        self.alice = Author(self.tenant, "alice")
        self.outbox = Outbox(database, holder="here")
        store = entity_store(database, told=self.outbox.wake)
        self.entities = Entities(store)
        self.nodes = GraphStore(graph)
        self.graph = KnowledgeGraph(self.nodes, released=refresh(self.outbox))
        self.relay = Relay(self.outbox, {"graph": GraphSink(store, self.graph)})

    async def carried(self) -> None:
        """Wait until everything is carried."""
        polling = Polling("the outbox is empty")
        while any(lag.records for lag in await self.outbox.lags()):
            await polling.turn()


@pytest.fixture
async def feed(database: Database, graph: Graph) -> AsyncIterator[Feed]:
    made = Feed(database, graph)
    async with made.relay:
        yield made


def depends(source: str, target: str) -> EdgeDraft:
    return EdgeDraft(source=source, target=target, type="depends")


async def entities_of(feed: Feed, *names: str) -> None:
    for name in names:
        draft = Draft(entity_id=name, entity_type="tool", attributes={name: 1}, tags=(name,))
        await feed.entities.create(feed.tenant, draft)
    await feed.carried()


async def removed(feed: Feed, *names: str) -> None:
    for name in names:
        await feed.entities.remove(feed.tenant, name, ANY)
        await feed.carried()


async def restored(feed: Feed, *names: str) -> None:
    for name in names:
        await feed.entities.restore(feed.tenant, name)
        await feed.carried()


async def state(feed: Feed, *names: str) -> dict[str, object]:
    """Read nodes, aliases and edges as a client sees them; times and revisions left out."""
    nodes = await feed.nodes.nodes(feed.tenant, names)
    edges = await feed.nodes.incident(feed.tenant, names)
    return {
        "nodes": {
            name: (node.entity_type, node.tags, msgspec.json.decode(node.attributes), node.aliases)
            for name, node in sorted(nodes.items())
        },
        "aliases": await feed.nodes.aliases(feed.tenant, names),
        "edges": sorted((e.source, e.type, e.target, bytes(e.attributes)) for e in edges),
    }


async def test_a_restored_entity_has_its_edges_again(feed: Feed) -> None:
    await entities_of(feed, "a", "b", "c")
    heavy = EdgeDraft(source="a", target="b", type="depends", attributes={"weight": 2})
    await feed.graph.take(
        feed.alice, [], [heavy, depends("c", "a"), depends("a", "a"), depends("b", "c")]
    )
    before = await state(feed, "a", "b", "c")

    await removed(feed, "a")
    between = await state(feed, "a", "b", "c")
    await restored(feed, "a")

    assert between["edges"] == [("b", "depends", "c", b"{}")]
    assert await state(feed, "a", "b", "c") == before
    (edge_a_c,) = await feed.nodes.incident(feed.tenant, ["c"], direction="out")
    history = await feed.nodes.edge_versions(feed.tenant, edge_a_c.edge_id)
    assert (edge_a_c.created_by, edge_a_c.revision, len(history)) == ("alice", 2, 1)


@pytest.mark.parametrize("order", ["ab", "ba"])
async def test_an_edge_between_two_deleted_entities_comes_back_with_the_second(
    feed: Feed, order: str
) -> None:
    await entities_of(feed, "a", "b")
    await feed.graph.take(feed.alice, [], [depends("a", "b")])
    before = await state(feed, "a", "b")

    await removed(feed, "a", "b")
    await restored(feed, order[0])
    assert (await state(feed, "a", "b"))["edges"] == []
    await restored(feed, order[1])

    assert await state(feed, "a", "b") == before


async def test_an_edge_that_was_deleted_itself_does_not_come_back(feed: Feed) -> None:
    await entities_of(feed, "a", "b")
    await feed.graph.take(feed.alice, [], [depends("a", "b")])
    (found,) = await feed.nodes.incident(feed.tenant, ["a"])
    await feed.graph.remove_edge(feed.alice, found.edge_id, ANY)

    await removed(feed, "a")
    await restored(feed, "a")

    assert (await state(feed, "a", "b"))["edges"] == []


async def test_an_entity_that_is_created_again_has_no_edges_of_the_deleted_one(
    feed: Feed,
) -> None:
    await entities_of(feed, "a", "b", "c")
    await feed.graph.take(feed.alice, [], [depends("a", "b")])
    await removed(feed, "a")
    await entities_of(feed, "a")
    await feed.graph.take(feed.alice, [], [depends("a", "c")])
    again = await state(feed, "a", "b", "c")

    await removed(feed, "a")
    await restored(feed, "a")

    assert again["edges"] == [("a", "depends", "c", b"{}")]
    assert await state(feed, "a", "b", "c") == again


async def test_edges_come_back_to_a_node_that_was_made_in_the_place_of_a_deleted_one(
    feed: Feed,
) -> None:
    await entities_of(feed, "a", "b")
    await feed.graph.take(feed.alice, [], [depends("a", "b")])
    await removed(feed, "a")
    await feed.graph.create_node(feed.alice, NodeDraft(entity_id="a", entity_type="other"))

    await restored(feed, "a")

    found = await state(feed, "a", "b")
    assert found["edges"] == [("a", "depends", "b", b"{}")]
    assert (await feed.nodes.nodes(feed.tenant, ["a"]))["a"].entity_type == "tool"


async def test_an_edge_follows_its_other_end_that_was_merged_meanwhile(feed: Feed) -> None:
    await entities_of(feed, "a", "b", "c")
    await feed.graph.take(feed.alice, [], [depends("a", "b")])
    await removed(feed, "a")
    await feed.graph.merge(feed.alice, "c", "b", ANY)

    await restored(feed, "a")

    assert (await state(feed, "a", "b", "c"))["edges"] == [("a", "depends", "c", b"{}")]


async def test_entities_of_a_chain_of_merges_are_nodes_while_its_end_is_deleted(
    feed: Feed,
) -> None:
    await entities_of(feed, "ma", "mb", "mc", "x")
    await feed.graph.take(feed.alice, [], [depends("ma", "x"), depends("x", "mb")])
    await feed.graph.merge(feed.alice, "mb", "ma", ANY)
    await feed.graph.merge(feed.alice, "mc", "mb", ANY)
    before = await state(feed, "ma", "mb", "mc", "x")

    await removed(feed, "mc")
    between = await feed.nodes.nodes(feed.tenant, ["ma", "mb", "mc"])
    await restored(feed, "mc")

    assert set(between) == {"ma", "mb"}
    assert before["aliases"] == {"ma": "mc", "mb": "mc"}
    assert before["edges"] == [("mc", "depends", "x", b"{}"), ("x", "depends", "mc", b"{}")]
    assert await state(feed, "ma", "mb", "mc", "x") == before


async def test_entities_are_nodes_after_the_node_that_they_were_merged_into_is_deleted(
    feed: Feed,
) -> None:
    await entities_of(feed, "ma", "mb")
    await feed.graph.create_node(feed.alice, NodeDraft(entity_id="mc", entity_type="tool"))
    await feed.graph.merge(feed.alice, "mb", "ma", ANY)
    await feed.graph.merge(feed.alice, "mc", "mb", ANY)

    await feed.graph.remove_node(feed.alice, "mc", ANY)
    await feed.carried()

    assert set(await feed.nodes.nodes(feed.tenant, ["ma", "mb", "mc"])) == {"ma", "mb"}


async def test_what_was_merged_without_an_entity_leads_to_the_restored_node_again(
    feed: Feed,
) -> None:
    await feed.graph.create_node(feed.alice, NodeDraft(entity_id="old", entity_type="tool"))
    await entities_of(feed, "a")
    await feed.graph.merge(feed.alice, "a", "old", ANY)
    before = await state(feed, "a", "old")

    await removed(feed, "a")
    between = await state(feed, "a", "old")
    await restored(feed, "a")

    assert between == {"nodes": {}, "aliases": {}, "edges": []}
    assert await state(feed, "a", "old") == before


async def test_what_was_merged_elsewhere_meanwhile_stays_there(feed: Feed) -> None:
    await entities_of(feed, "a", "b", "c")
    await feed.graph.merge(feed.alice, "a", "b", ANY)
    await removed(feed, "a")
    await feed.graph.merge(feed.alice, "c", "b", ANY)

    await restored(feed, "a")

    nodes = await feed.nodes.nodes(feed.tenant, ["a", "b", "c"])
    assert {name: node.aliases for name, node in nodes.items()} == {"a": (), "c": ("b",)}
    assert await feed.nodes.aliases(feed.tenant, ["b"]) == {"b": "c"}


async def test_what_was_merged_into_a_node_survives_changes_of_its_entity(feed: Feed) -> None:
    await entities_of(feed, "a", "b")
    await feed.graph.merge(feed.alice, "a", "b", ANY)
    await feed.entities.put(feed.tenant, "a", Content(entity_type="tool", name="new"), ANY)
    await feed.carried()

    node = (await feed.nodes.nodes(feed.tenant, ["a"]))["a"]
    assert (node.name, node.tags, node.aliases) == ("new", ("b",), ("b",))
    assert msgspec.json.decode(node.attributes) == {"b": 1}


async def test_a_merged_entity_that_is_deleted_and_restored_stays_merged(feed: Feed) -> None:
    await entities_of(feed, "a", "b")
    await feed.graph.merge(feed.alice, "a", "b", ANY)
    before = await state(feed, "a", "b")

    await removed(feed, "b", "a")
    assert await feed.nodes.nodes(feed.tenant, ["a", "b"]) == {}
    await restored(feed, "b")
    assert set(await feed.nodes.nodes(feed.tenant, ["a", "b"])) == {"b"}
    await restored(feed, "a")

    assert await state(feed, "a", "b") == before


async def test_a_batch_that_is_carried_twice_restores_once(feed: Feed) -> None:
    await entities_of(feed, "a", "b", "c")
    await feed.graph.take(feed.alice, [], [depends("b", "c")])
    await feed.graph.merge(feed.alice, "a", "b", ANY)
    before = await state(feed, "a", "b", "c")
    await removed(feed, "a")
    entity = await feed.entities.restore(feed.tenant, "a")
    await feed.carried()

    await feed.graph.restore(Author(feed.tenant, SUBJECT), [as_node(entity)])

    assert await state(feed, "a", "b", "c") == before
