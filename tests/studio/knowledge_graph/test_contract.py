"""What the knowledge graph promises, over both engines."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from nexus_gateway.studio.conditions import Condition
from nexus_gateway.studio.knowledge_graph import errors
from nexus_gateway.studio.knowledge_graph.explore import Explorer
from nexus_gateway.studio.knowledge_graph.models import (
    Bulk,
    EdgeDraft,
    EdgePatch,
    EdgeSelection,
    NodeContent,
    NodeDraft,
    NodePatch,
    NodeSelection,
    PathQuery,
    SubgraphQuery,
    Tally,
    Walk,
    edge_id,
)
from nexus_gateway.studio.knowledge_graph.service import Author, KnowledgeGraph
from nexus_gateway.studio.knowledge_graph.stats import Statistics
from nexus_gateway.studio.knowledge_graph.store import GraphStore
from nexus_gateway.studio.storage.graph import Statement

if TYPE_CHECKING:
    from nexus_gateway.studio.storage.graph import Graph, Value

ANY = Condition()
START = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


class Room:
    """The room over one engine, with a clock that is set by hand."""

    def __init__(self, graph: Graph) -> None:
        self.store = GraphStore(graph)
        self.moment = START
        self.service = KnowledgeGraph(self.store, clock=lambda: self.moment)
        self.explorer = Explorer(self.store)
        self.statistics = Statistics(self.store)
        self.author = Author(uuid4().hex, "alice")
        self.tenant = self.author.tenant

    async def nodes(self, *names: str) -> None:
        drafts = tuple(NodeDraft(entity_id=name, entity_type="thing") for name in names)
        await self.service.load(self.author, Bulk(nodes=drafts))

    async def chain(self, *pairs: str, kind: str = "depends") -> None:
        """Make nodes of one letter, and an edge for each pair of letters."""
        await self.nodes(*dict.fromkeys("".join(pairs)))
        edges = tuple(EdgeDraft(source=a, target=b, type=kind) for a, b in map(tuple, pairs))
        await self.service.load(self.author, Bulk(edges=edges))

    async def around(self, name: str, asked: Walk) -> dict[str, int]:
        found = await self.explorer.neighbours(self.tenant, name, asked)
        return {item.node.entity_id: item.distance for item in found.items}


@pytest.fixture
def room(graph: Graph) -> Room:
    return Room(graph)


async def test_a_node_comes_back_as_it_was_given(room: Room) -> None:
    draft = NodeDraft(
        entity_id="a",
        entity_type="tool",
        name="née ☃",
        tags=("x", "y"),
        attributes={
            "n": 1,
            "deep": {"list": [1, "a", None]},
            "type": "t",
            "ok": True,
            "big": 2**80,
        },
        origin="test",
        valid_from=START - DAY,
        valid_to=START + DAY,
    )

    made = await room.service.create_node(room.author, draft)
    found = await room.explorer.node(room.tenant, "a")

    assert found == made
    assert found.attributes == made.attributes
    assert (found.created_by, found.created_at, found.revision) == ("alice", START, 1)
    assert (found.name, found.tags, found.valid_to) == ("née ☃", ("x", "y"), START + DAY)


async def test_an_id_is_taken_once(room: Room) -> None:
    await room.nodes("a")

    with pytest.raises(errors.AlreadyExists, match="node 'a' exists already"):
        await room.service.create_node(room.author, NodeDraft(entity_id="a", entity_type="thing"))


async def test_a_change_that_expects_another_revision_changes_nothing(room: Room) -> None:
    await room.nodes("a")

    with pytest.raises(errors.RevisionMismatch):
        await room.service.patch_node(
            room.author, "a", NodePatch(name="new"), Condition(versions=("7",))
        )

    assert (await room.explorer.node(room.tenant, "a")).name is None


async def test_two_processes_that_change_one_state_do_not_both_win(
    room: Room, graph: Graph
) -> None:
    await room.nodes("a")
    other = KnowledgeGraph(GraphStore(graph), clock=lambda: START + DAY)
    stale = (await room.store.nodes(room.tenant, ["a"]))["a"]
    await other.patch_node(room.author, "a", NodePatch(name="first"), ANY)
    store = room.store
    original = store.nodes

    async def nodes(*_: object, **__: object) -> dict[str, object]:
        return {"a": stale}

    store.nodes = nodes  # type: ignore[method-assign,assignment]
    with pytest.raises(errors.RevisionMismatch):
        await room.service.patch_node(room.author, "a", NodePatch(name="second"), ANY)
    store.nodes = original  # type: ignore[method-assign]

    assert (await room.explorer.node(room.tenant, "a")).name == "first"


async def test_an_edge_needs_both_of_its_nodes(room: Room) -> None:
    await room.nodes("a")

    with pytest.raises(errors.Dangling) as refused:
        await room.service.create_edge(
            room.author, EdgeDraft(source="a", target="b", type="depends")
        )

    assert refused.value.faults == (("target", "there is no node 'b'"),)


async def test_an_edge_is_changed_and_deleted(room: Room) -> None:
    await room.chain("ab")
    name = edge_id("a", "b", "depends")

    patched = await room.service.patch_edge(
        room.author, name, EdgePatch(attributes={"v": ">= 2"}), ANY
    )
    await room.service.remove_edge(room.author, name, Condition(versions=("2",)))

    assert patched.revision == 2
    with pytest.raises(errors.NotFound):
        await room.explorer.edge(room.tenant, name)
    history = await room.explorer.edge_history(room.tenant, name)
    assert [(item.edge.revision, item.ended) for item in history.items] == [
        (2, "deleted"),
        (1, None),
    ]


async def test_put_makes_an_edge_and_then_replaces_it(room: Room) -> None:
    await room.nodes("a", "b")
    draft = EdgeDraft(source="a", target="b", type="depends", key="1", attributes={"x": 1})
    name = edge_id("a", "b", "depends", "1")

    _, new = await room.service.put_edge(room.author, name, draft, ANY)
    other = EdgeDraft(source="a", target="b", type="depends", key="1")
    edge, again = await room.service.put_edge(room.author, name, other, ANY)

    assert (new, again, edge.revision, bytes(edge.attributes)) == (True, False, 2, b"{}")
    with pytest.raises(errors.BadQuery):
        await room.service.put_edge(
            room.author, name, draft := EdgeDraft(source="b", target="a", type="depends"), ANY
        )
    assert draft.source == "b"


async def test_a_bulk_is_kept_whole_or_not_at_all(room: Room) -> None:
    nodes = tuple(NodeDraft(entity_id=name, entity_type="thing") for name in "abc")
    edges = (
        EdgeDraft(source="a", target="b", type="depends"),
        EdgeDraft(source="c", target="z", type="depends"),
    )

    with pytest.raises(errors.Dangling) as refused:
        await room.service.load(room.author, Bulk(nodes=nodes, edges=edges))

    assert refused.value.faults == (("edges[1].target", "there is no node 'z'"),)
    stats = await room.statistics.stats(room.tenant)
    assert (stats.nodes, stats.edges) == (0, 0)


async def test_a_bulk_that_is_repeated_changes_nothing(room: Room) -> None:
    nodes = tuple(NodeDraft(entity_id=name, entity_type="thing") for name in "ab")
    bulk = Bulk(nodes=nodes, edges=(EdgeDraft(source="a", target="b", type="depends"),))

    first = await room.service.load(room.author, bulk)
    second = await room.service.load(room.author, bulk)

    assert (first.nodes, first.edges) == (Tally(created=2), Tally(created=1))
    assert (second.nodes, second.edges) == (Tally(unchanged=2), Tally(unchanged=1))
    assert (await room.statistics.stats(room.tenant)).versions == 0


async def test_lists_turn_their_pages_without_gaps(room: Room) -> None:
    names = [f"n{number:03}" for number in range(25)]
    await room.nodes(*names)
    edges = tuple(
        EdgeDraft(source=a, target=b, type="depends") for a in names[:5] for b in names[5:9]
    )
    await room.service.load(room.author, Bulk(edges=edges))

    nodes = [
        node.entity_id
        async for node in room.explorer.all_nodes(room.tenant, NodeSelection(limit=4))
    ]
    pairs = [
        (edge.source, edge.target)
        async for edge in room.explorer.all_edges(room.tenant, EdgeSelection(limit=3))
    ]

    assert nodes == names
    assert sorted(pairs) == [(edge.source, edge.target) for edge in edges]


async def test_lists_are_filtered(room: Room) -> None:
    drafts = (
        NodeDraft(entity_id="a", entity_type="tool", tags=("x",)),
        NodeDraft(entity_id="b", entity_type="tool"),
        NodeDraft(entity_id="c", entity_type="thing", tags=("x",)),
    )
    edges = (
        EdgeDraft(source="a", target="b", type="likes"),
        EdgeDraft(source="c", target="b", type="depends"),
        EdgeDraft(source="a", target="c", type="depends"),
    )
    await room.service.load(room.author, Bulk(nodes=drafts, edges=edges))

    async def listed(**asked: str) -> list[str]:
        page = await room.explorer.node_page(room.tenant, NodeSelection(**asked))  # type: ignore[arg-type]
        return [node.entity_id for node in page.items]

    async def joined(**asked: str) -> list[str]:
        page = await room.explorer.edge_page(room.tenant, EdgeSelection(**asked))  # type: ignore[arg-type]
        return [edge.source + edge.target for edge in page.items]

    assert await listed(type="tool") == ["a", "b"]
    assert await listed(tag="x") == ["a", "c"]
    assert await listed(tag="x", type="tool") == ["a"]
    assert sorted(await joined(type="depends")) == ["ac", "cb"]
    assert sorted(await joined(source="a")) == ["ab", "ac"]
    assert await joined(target="b") == ["ab", "cb"]
    assert await joined(source="a", target="c") == ["ac"]


async def test_neighbours_are_as_far_as_the_shortest_way(room: Room) -> None:
    await room.chain("ab", "bc", "cd", "ac", "ea")

    assert await room.around("a", Walk(depth=2, direction="out")) == {"b": 1, "c": 1, "d": 2}
    assert await room.around("a", Walk(depth=1, direction="in")) == {"e": 1}
    assert await room.around("d", Walk(depth=3)) == {"c": 1, "a": 2, "b": 2, "e": 3}
    assert await room.around("a", Walk(depth=2, type=["likes"])) == {}


async def test_neighbours_are_counted_by_an_attribute(room: Room) -> None:
    attributes: dict[str, dict[str, object]] = {
        "a": {},
        "b": {"section": "libs"},
        "c": {"section": "libs"},
        "d": {"section": ["list"]},
    }
    nodes = tuple(
        NodeDraft(entity_id=name, entity_type="thing", attributes=given)
        for name, given in attributes.items()
    )
    edges = tuple(EdgeDraft(source=end, target="a", type="depends") for end in "bcd")
    await room.service.load(room.author, Bulk(nodes=nodes, edges=edges))

    found = await room.explorer.neighbours(
        room.tenant, "a", Walk(direction="in", group_by="section", limit=0)
    )
    then = await room.explorer.neighbours(
        room.tenant, "a", Walk(group_by="section", limit=0, as_of=START)
    )

    assert (found.items, found.total) == ((), 3)
    assert found.groups is not None
    assert [(group.value, group.count) for group in found.groups] == [("libs", 2), (None, 1)]
    assert then.groups == found.groups


async def test_the_shortest_way_and_all_ways_are_found(room: Room) -> None:
    await room.chain("ab", "bc", "cd", "ac", "da", "xy")

    async def ways(**asked: object) -> list[str]:
        query = PathQuery(**asked)  # type: ignore[arg-type]
        found = await room.explorer.ways(room.tenant, query)
        for way in found.paths:
            ends = [(edge.source, edge.target) for edge in way.edges]
            names = [node.entity_id for node in way.nodes]
            if query.direction == "out":
                assert ends == list(itertools.pairwise(names))
        return ["".join(node.entity_id for node in way.nodes) for way in found.paths]

    assert await ways(source="a", target="d") == ["acd"]
    assert await ways(source="a", target="d", all=True) == ["acd", "abcd"]
    assert await ways(source="a", target="d", all=True, max_depth=2) == ["acd"]
    assert await ways(source="a", target="d", direction="both") == ["ad"]
    assert await ways(source="d", target="a", direction="in") == ["dca"]
    assert await ways(source="a", target="x") == []
    assert await ways(source="a", target="a") == ["a"]
    assert await ways(source="a", target="d", type=["likes"]) == []


async def test_a_subgraph_holds_the_edges_between_its_nodes(room: Room) -> None:
    await room.chain("ab", "bc", "cd", "ac")

    around = await room.explorer.subgraph(
        room.tenant, SubgraphQuery(root="a", depth=1, direction="out")
    )
    whole = await room.explorer.subgraph(room.tenant, SubgraphQuery())
    cut = await room.explorer.subgraph(room.tenant, SubgraphQuery(limit=2))

    assert [node.entity_id for node in around.nodes] == ["a", "b", "c"]
    assert sorted(edge.source + edge.target for edge in around.edges) == ["ab", "ac", "bc"]
    assert (len(whole.nodes), len(whole.edges), whole.truncated) == (4, 4, False)
    assert (len(cut.nodes), len(cut.edges), cut.truncated) == (2, 1, True)


async def test_a_merge_keeps_the_edges_and_leads_the_old_id_on(room: Room) -> None:
    await room.chain("xa", "ob", "oa", "ao", "bo", "xo")

    done = await room.service.merge(room.author, "a", "o", ANY)

    # x-o is one that a has, o-a and a-o are between the two, o-b and b-o are new to it.
    assert (done.moved, done.joined, done.dropped) == (2, 1, 2)
    assert done.node.aliases == ("o",)
    edges = await room.explorer.edge_page(room.tenant, EdgeSelection())
    assert sorted(edge.source + edge.target for edge in edges.items) == ["ab", "ba", "xa"]
    with pytest.raises(errors.Moved) as moved:
        await room.explorer.node(room.tenant, "o")
    assert moved.value.new == "a"
    with pytest.raises(errors.Moved):
        await room.service.put_node(room.author, "o", NodeContent(entity_type="thing"), ANY)
    with pytest.raises(errors.AlreadyExists):
        await room.nodes("o")


async def test_aliases_follow_a_second_merge_and_go_with_the_node(room: Room) -> None:
    await room.nodes("a", "b", "c")
    await room.service.merge(room.author, "b", "a", ANY)
    await room.service.merge(room.author, "c", "b", ANY)

    for old in ("a", "b"):
        with pytest.raises(errors.Moved) as moved:
            await room.explorer.node(room.tenant, old)
        assert moved.value.new == "c"
    assert (await room.explorer.node(room.tenant, "c")).aliases == ("b", "a")

    await room.service.remove_node(room.author, "c", ANY)
    with pytest.raises(errors.NotFound):
        await room.explorer.node(room.tenant, "a")


@pytest.mark.parametrize("duplicate", ["a", "nobody"])
async def test_a_merge_needs_two_nodes(room: Room, duplicate: str) -> None:
    await room.nodes("a")

    with pytest.raises((errors.BadQuery, errors.NotFound)):
        await room.service.merge(room.author, "a", duplicate, ANY)


async def test_the_answer_of_yesterday_can_be_had_again(room: Room) -> None:
    await room.chain("ab", "bc")
    before = await room.explorer.subgraph(room.tenant, SubgraphQuery())
    room.moment = START + DAY
    await room.service.patch_node(room.author, "b", NodePatch(name="new"), ANY)
    await room.service.remove_edge(room.author, edge_id("b", "c", "depends"), ANY)
    room.moment = START + 2 * DAY
    await room.service.remove_node(room.author, "a", ANY)
    room.moment = START + 3 * DAY
    await room.service.merge(room.author, "c", "b", ANY)

    then = START + DAY / 2
    again = await room.explorer.subgraph(room.tenant, SubgraphQuery(as_of=then))
    around = await room.around("b", Walk(as_of=then))
    way = await room.explorer.ways(room.tenant, PathQuery(source="a", target="c", as_of=then))
    listed = await room.explorer.node_page(room.tenant, NodeSelection(as_of=then))
    edges = await room.explorer.edge_page(room.tenant, EdgeSelection(as_of=then))

    assert again == before
    assert around == {"a": 1, "c": 1}
    assert [node.entity_id for node in way.paths[0].nodes] == ["a", "b", "c"]
    assert tuple(listed.items) == before.nodes
    assert tuple(edges.items) == before.edges


@pytest.mark.parametrize("changed", ["node", "edge"])
async def test_what_was_is_found_where_only_nodes_or_only_edges_have_changed(
    room: Room, changed: str
) -> None:
    # The embedded engine, opened for this test alone, knows only properties that something has.
    await room.chain("ab")
    before = await room.explorer.subgraph(room.tenant, SubgraphQuery())
    room.moment = START + DAY
    if changed == "node":
        await room.service.patch_node(room.author, "a", NodePatch(name="new"), ANY)
    else:
        name = edge_id("a", "b", "depends")
        patch = EdgePatch(attributes={"other": 1})
        await room.service.patch_edge(room.author, name, patch, ANY)

    then = START + DAY / 2
    again = await room.explorer.subgraph(room.tenant, SubgraphQuery(as_of=then))
    around = await room.around("b", Walk(as_of=then, type=["depends"]))
    edges = await room.explorer.edge_page(room.tenant, EdgeSelection(as_of=then))
    of_type = await room.explorer.edge_page(room.tenant, EdgeSelection(as_of=then, type="depends"))
    nodes = await room.explorer.node_page(room.tenant, NodeSelection(as_of=then, tag="none"))

    assert (again, around) == (before, {"a": 1})
    assert tuple(edges.items) == tuple(of_type.items) == before.edges
    assert nodes.items == ()


async def test_the_history_names_each_version_and_its_author(room: Room) -> None:
    await room.nodes("a")
    room.moment = START + DAY
    bob = Author(room.tenant, "bob")
    await room.service.patch_node(bob, "a", NodePatch(name="x"), ANY)
    room.moment = START + 2 * DAY
    await room.service.remove_node(bob, "a", ANY)
    room.moment = START + 3 * DAY
    await room.nodes("a")

    history = await room.explorer.node_history(room.tenant, "a")

    assert [
        (item.node.revision, item.node.updated_by, item.until, item.ended, item.ended_by)
        for item in history.items
    ] == [
        (3, "alice", None, None, None),
        (2, "bob", START + 2 * DAY, "deleted", "bob"),
        (1, "alice", START + DAY, None, None),
    ]
    with pytest.raises(errors.NotFound):
        await room.explorer.node_history(room.tenant, "b")


async def test_what_held_at_a_time_is_told_by_its_validity(room: Room) -> None:
    nodes = (
        NodeDraft(entity_id="a", entity_type="person"),
        NodeDraft(entity_id="b", entity_type="firm", valid_from=START - 900 * DAY),
    )
    await room.service.load(room.author, Bulk(nodes=nodes))
    edge = EdgeDraft(
        source="b",
        target="b",
        type="owns",
        valid_from=START - 800 * DAY,
        valid_to=START - 400 * DAY,
    )
    await room.service.create_edge(room.author, edge)
    name = edge_id("b", "b", "owns")

    async def held(days: int) -> tuple[bool, bool, bool]:
        at = START - days * DAY
        nodes = await room.store.nodes(room.tenant, ["a", "b"], at)
        return "a" in nodes, "b" in nodes, name in await room.store.edges(room.tenant, [name], at)

    assert await held(1000) == (False, False, False)
    assert await held(850) == (False, True, False)
    assert await held(500) == (False, True, True)
    assert await held(400) == (False, True, False)
    assert await held(0) == (True, True, False)


async def test_a_corrected_validity_holds_for_the_past_too(room: Room) -> None:
    draft = NodeDraft(
        entity_id="a", entity_type="x", valid_from=START - 900 * DAY, valid_to=START - 100 * DAY
    )
    await room.service.create_node(room.author, draft)
    room.moment = START + DAY
    patch = NodePatch(valid_to=START - 500 * DAY)
    await room.service.patch_node(room.author, "a", patch, ANY)

    assert await room.store.nodes(room.tenant, ["a"], START - 300 * DAY) == {}
    assert "a" in await room.store.nodes(room.tenant, ["a"], START - 600 * DAY)
    with pytest.raises(errors.BadQuery, match="valid_to must be after valid_from"):
        await room.service.patch_node(room.author, "a", NodePatch(valid_from=START + DAY), ANY)


async def test_a_time_that_an_earlier_version_stored_beyond_the_years_can_be_read_and_deleted(
    room: Room,
) -> None:
    await room.nodes("a")
    stored = "MATCH (n:Entity {entity_id: 'a', tenant: $tenant}) SET n.valid_from = $at"
    values: dict[str, Value] = {"tenant": room.tenant, "at": -62_135_647_200_000_000}
    await room.store.graph.write([Statement(stored, values)], seconds=5)

    listed = (await room.explorer.node_page(room.tenant, NodeSelection())).items
    await room.service.remove_node(room.author, "a", ANY)

    assert [node.valid_from for node in listed] == [datetime.min.replace(tzinfo=UTC)]
    assert (await room.explorer.node_page(room.tenant, NodeSelection())).items == ()


async def test_stats_and_schema_agree_with_the_graph(room: Room) -> None:
    nodes = (
        NodeDraft(entity_id="a", entity_type="tool", attributes={"size": 1, "deep": {"x": 1}}),
        NodeDraft(entity_id="b", entity_type="tool", attributes={"size": 2, "license": "MIT"}),
        NodeDraft(entity_id="c", entity_type="person"),
    )
    edges = (
        EdgeDraft(source="a", target="b", type="depends"),
        EdgeDraft(source="a", target="c", type="made_by"),
        EdgeDraft(source="b", target="c", type="made_by"),
    )
    await room.service.load(room.author, Bulk(nodes=nodes, edges=edges))

    stats = await room.statistics.stats(room.tenant)
    schema = await room.statistics.schema(room.tenant)

    assert (stats.nodes, stats.edges) == (3, 3)
    assert [(one.value, one.count) for one in stats.edge_types] == [("made_by", 2), ("depends", 1)]
    assert [(kind.type, kind.count) for kind in schema.nodes] == [("tool", 2), ("person", 1)]
    assert [(one.value, one.count) for one in schema.nodes[0].properties] == [
        ("size", 2),
        ("license", 1),
    ]
    assert [(e.type, e.source_type, e.target_type, e.count) for e in schema.edges] == [
        ("made_by", "tool", "person", 2),
        ("depends", "tool", "tool", 1),
    ]


async def test_another_tenant_meets_nothing(room: Room) -> None:
    await room.chain("ab")
    other = Author(uuid4().hex, "mallory")
    name = edge_id("a", "b", "depends")

    assert await room.store.nodes(other.tenant, ["a", "b"]) == {}
    assert await room.store.edges(other.tenant, [name]) == {}
    assert await room.store.incident(other.tenant, ["a"]) == []
    assert await room.store.steps(other.tenant, ["a"], "both", (), START) == []
    with pytest.raises(errors.NotFound):
        await room.service.remove_node(other, "a", ANY)
    with pytest.raises(errors.Dangling):
        await room.service.load(
            other, Bulk(edges=(EdgeDraft(source="a", target="b", type="depends"),))
        )
    await room.service.create_node(other, NodeDraft(entity_id="a", entity_type="mine"))
    await room.service.remove_node(other, "a", ANY)
    assert (await room.explorer.node(room.tenant, "a")).entity_type == "thing"
    assert len(await room.store.incident(room.tenant, ["a"])) == 1


async def test_a_type_of_edges_may_be_a_word_of_the_language(room: Room) -> None:
    for kind in ("end", "where", "IN"):
        await room.chain("ab", kind=kind)

    found = await room.explorer.neighbours(room.tenant, "a", Walk(type=["end", "where"]))
    edges = await room.store.incident(room.tenant, ["a"])

    assert [one.node.entity_id for one in found.items] == ["b"]
    assert {edge.type for edge in edges} == {"end", "where", "IN"}
