"""Changes of entities in the graph and on channels, as REST makes them, over both databases."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import pytest

from nexus_gateway.server.tokens import mint
from nexus_gateway.studio.app import compose
from nexus_gateway.studio.conditions import Condition
from nexus_gateway.studio.engines import entity_store
from nexus_gateway.studio.feed import pending
from nexus_gateway.studio.feed.graph import GraphSink
from nexus_gateway.studio.feed.hub import EntitiesEvent, EntityEvent, HubSink
from nexus_gateway.studio.feed.pending import PendingNodes
from nexus_gateway.studio.intelligence import told
from nexus_gateway.studio.intelligence.importing import Imports
from nexus_gateway.studio.intelligence.models import Content, Draft
from nexus_gateway.studio.intelligence.service import Entities
from nexus_gateway.studio.knowledge_graph.errors import Dangling
from nexus_gateway.studio.knowledge_graph.live import Event
from nexus_gateway.studio.knowledge_graph.models import (
    Bulk,
    EdgeDraft,
    NodeContent,
    NodeDraft,
    edge_id,
)
from nexus_gateway.studio.knowledge_graph.service import Author, KnowledgeGraph
from nexus_gateway.studio.knowledge_graph.store import GraphStore
from nexus_gateway.studio.storage.errors import BadStatement, StorageUnavailable
from nexus_gateway.studio.storage.graph_embedded import EmbeddedGraph
from nexus_gateway.studio.storage.outbox import Outbox
from nexus_gateway.studio.storage.relay import OutboxBehind, Relay
from nexus_gateway.testing import Client, request
from tests.harness.tokens import TOKEN_LIFETIME_S
from tests.harness.waiting import Polling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection
    from pathlib import Path

    from nexus_gateway.server.settings import Settings
    from nexus_gateway.studio.storage.postgres import Postgres
    from nexus_gateway.studio.storage.sqlite import Database

ALICE = Author("acme", "alice")
ANY = Condition()


class Heard:
    """A publisher that keeps what it was given."""

    def __init__(self) -> None:
        self.said: list[tuple[str, object]] = []

    async def publish(self, channel: str, value: object) -> None:
        self.said.append((channel, value))


class Feed:
    """Entities, a graph and a hub, and the relay between them."""

    def __init__(self, engine: Database | Postgres, graph: EmbeddedGraph) -> None:
        self.outbox = Outbox(engine, holder="here")
        store = entity_store(engine, told=self.outbox.wake)
        self.entities = Entities(store)
        self.imports = Imports(store, self.entities.clock)
        self.nodes = GraphStore(graph)
        self.heard, self.heard_of_graph = Heard(), Heard()
        self.waits = 0
        on_their_way = PendingNodes(
            store, self.outbox, self.nodes, lambda tenant: self.relay.taken("graph", tenant)
        )

        async def wait(tenant: str, ids: Collection[str]) -> bool:
            self.waits += 1
            return await on_their_way.wait(tenant, ids)

        self.graph = KnowledgeGraph(self.nodes, publisher=self.heard_of_graph, pending=wait)
        hub, to_graph = HubSink(store, self.heard), GraphSink(store, self.graph)
        self.relay = Relay(self.outbox, {"hub": hub, "graph": to_graph})

    async def carried(self) -> None:
        """Wait until everything is carried."""
        polling = Polling("the outbox is empty")
        while any(lag.records for lag in await self.outbox.lags()):
            await polling.turn()


@pytest.fixture
async def feed(engine: Database | Postgres, tmp_path: Path) -> AsyncIterator[Feed]:
    async with EmbeddedGraph(tmp_path / "graph.kgl", patience=0) as graph:
        made = Feed(engine, graph)
        async with made.relay:
            yield made


async def test_an_entity_becomes_a_node_and_its_end_ends_it(feed: Feed) -> None:
    draft = Draft(
        entity_id="a", entity_type="tool", name="A", tags=("x",), attributes={"n": 1}, source="s"
    )
    await feed.entities.create("acme", draft, by="alice")
    await feed.carried()
    node = (await feed.nodes.nodes("acme", ["a"]))["a"]
    await feed.entities.put("acme", "a", Content(entity_type="tool", name="B"), ANY)
    await feed.carried()
    renamed = (await feed.nodes.nodes("acme", ["a"]))["a"]
    await feed.entities.remove("acme", "a", ANY)
    await feed.carried()
    ended = await feed.nodes.nodes("acme", ["a"])
    await feed.entities.restore("acme", "a")
    await feed.carried()

    assert (node.entity_type, node.name, node.tags, node.origin) == ("tool", "A", ("x",), "s")
    assert msgspec.json.decode(node.attributes) == {"n": 1}
    assert (node.created_by, renamed.name, ended) == ("intelligence", "B", {})
    assert (await feed.nodes.nodes("acme", ["a"]))["a"].name == "B"


async def test_a_deleted_entity_takes_the_edges_at_its_node_along(feed: Feed) -> None:
    for name in ("a", "b"):
        await feed.entities.create("acme", Draft(entity_id=name, entity_type="tool"))
    await feed.carried()
    loaded = await feed.graph.take(ALICE, [], [edge("a", "b")])
    await feed.entities.remove("acme", "a", ANY)
    await feed.carried()

    assert loaded.loaded.edges.created == 1
    assert await feed.nodes.incident("acme", ["b"]) == []


async def test_what_only_the_graph_knows_of_a_node_stays(feed: Feed) -> None:
    since = feed.entities.clock()
    await feed.graph.create_node(
        ALICE, NodeDraft(entity_id="a", entity_type="other", valid_from=since)
    )
    await feed.entities.create("acme", Draft(entity_id="a", entity_type="tool"))
    await feed.carried()

    node = (await feed.nodes.nodes("acme", ["a"]))["a"]
    assert (node.entity_type, node.valid_from) == ("tool", since)


async def test_an_id_that_the_graph_has_merged_is_left_alone(feed: Feed) -> None:
    for name in ("a", "b"):
        await feed.graph.put_node(ALICE, name, NodeContent(entity_type="tool"), ANY)
    await feed.graph.merge(ALICE, "a", "b", ANY)
    await feed.entities.create("acme", Draft(entity_id="b", entity_type="tool"))
    await feed.entities.create("acme", Draft(entity_id="c", entity_type="tool"))
    await feed.carried()

    assert set(await feed.nodes.nodes("acme", ["b", "c"])) == {"c"}


async def test_each_change_is_told_once_on_both_channels(feed: Feed) -> None:
    await feed.entities.create("acme", Draft(entity_id="a", entity_type="tool"), by="alice")
    await feed.entities.remove("acme", "a", ANY, by="bob")
    await feed.carried()

    channels = [channel for channel, _ in feed.heard.said]
    events = [msgspec.convert(event, EntityEvent) for _, event in feed.heard.said]
    assert channels == ["entities:acme:changes", "entities:acme:entity:a"] * 2
    assert [(one.change, one.by) for one in events[::2]] == [
        ("created", "alice"),
        ("deleted", "bob"),
    ]
    assert events[0].position < events[2].position
    assert events[2].entity is None


def changes_of(feed: Feed) -> list[EntityEvent]:
    """What was published on `entities:acme:changes`, one by one."""
    channel = "entities:acme:changes"
    return [msgspec.convert(one, EntityEvent) for name, one in feed.heard.said if name == channel]


async def test_each_message_carries_the_revision_and_state_of_its_change(
    engine: Database | Postgres, tmp_path: Path
) -> None:
    async with EmbeddedGraph(tmp_path / "graph.kgl", patience=0) as graph:
        feed = Feed(engine, graph)
        # Nothing is delivered before all changes are made.
        for number in range(1, 101):
            content = Content(entity_type="tool", attributes={"n": number})
            await feed.entities.put("acme", "a", content, ANY)
        drafts = tuple(
            Draft(entity_id="a", entity_type="tool", attributes={"n": number})
            for number in (101, 102)
        )
        await feed.entities.put_all("acme", drafts)
        lines = b"".join(
            msgspec.json.encode({"entity_id": "a", "entity_type": "tool", "attributes": {"n": one}})
            + b"\n"
            for one in (103, 104)
        )
        async for _ in feed.imports.run("acme", lines, "alice"):
            pass
        await feed.entities.remove("acme", "a", ANY)
        await feed.entities.restore("acme", "a")
        await feed.entities.purge("acme", "a", ANY)
        await feed.entities.put("acme", "a", Content(entity_type="other"), ANY)
        async with feed.relay:
            await feed.carried()

    events = changes_of(feed)
    assert [one.revision for one in events] == [*range(1, 108), 1]
    states = [one.entity for one in events[:104]]
    assert [one and one.revision for one in states] == [*range(1, 105)]
    assert [msgspec.json.decode(one.attributes)["n"] for one in states if one] == [*range(1, 105)]
    assert [one.change for one in events[104:]] == ["deleted", "restored", "deleted", "created"]
    restored, again = events[105].entity, events[107].entity
    assert (events[104].entity, events[106].entity) == (None, None)
    assert restored is not None
    assert restored.revision == 106
    assert again is not None
    assert again.entity_type == "other"


async def test_states_of_one_transaction_are_divided_among_records_of_bounded_size(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(told, "RECORD_BYTES_MAX", 1000)
    monkeypatch.setattr(told, "STATE_BYTES_MAX", 900)
    text = "x" * 400
    sizes = {f"e{number}": text * (3 if number == 5 else 1) for number in range(10)}
    drafts = tuple(
        Draft(entity_id=name, entity_type="tool", attributes={"text": text})
        for name, text in sizes.items()
    )
    await feed.entities.put_all("acme", drafts)
    await feed.carried()

    events = changes_of(feed)
    assert [one.entity_id for one in events] == list(sizes)
    assert len({one.position for one in events}) == 5
    # The state above the bound is not in the record; it is still the present one.
    assert [one.entity and one.entity.revision for one in events] == [1] * 10
    assert set(await feed.nodes.nodes("acme", list(sizes))) == set(sizes)


async def test_each_message_of_the_graph_carries_the_revision_and_state_of_its_change(
    feed: Feed,
) -> None:
    def content(number: int) -> NodeContent:
        return NodeContent(entity_type="tool", attributes={"n": number})

    await feed.graph.put_node(ALICE, "b", NodeContent(entity_type="tool"), ANY)
    await asyncio.gather(
        *(feed.graph.put_node(ALICE, "a", content(number), ANY) for number in range(100))
    )
    name = edge_id("a", "b", "depends", "")
    for number in range(20):
        draft = msgspec.structs.replace(edge("a", "b"), attributes={"n": number})
        await feed.graph.put_edge(ALICE, name, draft, ANY)
    await feed.graph.merge(ALICE, "b", "a", ANY)

    told = [
        msgspec.convert(event, Event)
        for channel, event in feed.heard_of_graph.said
        if channel == "graph:acme:changes"
    ]
    nodes = [one.node for one in told if one.node and one.node.entity_id == "a"]
    edges = [one.edge for one in told if one.edge]
    assert [one.revision for one in nodes] == [*range(1, 101), 100]
    assert len({bytes(one.attributes) for one in nodes}) == 100
    assert [one.revision for one in edges] == [*range(1, 21), 20]
    assert [one.change for one in told if one.edge or one.node][-3:].count("merged") == 2


async def test_edges_wait_for_nodes_whose_records_are_not_carried_yet(
    engine: Database | Postgres, tmp_path: Path
) -> None:
    async with EmbeddedGraph(tmp_path / "graph.kgl", patience=0) as graph:
        feed = Feed(engine, graph)
        drafts = tuple(Draft(entity_id=f"e{one}", entity_type="tool") for one in range(300))
        await feed.entities.put_all("acme", drafts)
        edges = [edge(f"e{one}", f"e{one + 1}") for one in range(299)]
        single = edge("e0", "e7")
        put = edge("e1", "e8")
        name = edge_id(put.source, put.target, put.type, "")
        taking = asyncio.create_task(feed.graph.take(ALICE, [], [*edges, edge("e0", "never")]))
        creating = asyncio.create_task(feed.graph.create_edge(ALICE, single))
        putting = asyncio.create_task(feed.graph.put_edge(ALICE, name, put, ANY))
        bulk = Bulk(edges=(edge("e2", "e9"),))
        loading = asyncio.create_task(feed.graph.load(ALICE, bulk))
        # All four look for the nodes before the relay carries any.
        polling = Polling("all calls wait")
        while feed.waits < 4:
            await polling.turn()
        async with feed.relay:
            taken, *_ = await asyncio.gather(taking, creating, putting, loading)
            with pytest.raises(Dangling):
                await feed.graph.create_edge(ALICE, edge("e0", "never"))
            found = await feed.nodes.incident("acme", ["e0"])

    assert taken.loaded.edges.created == 299
    assert list(taken.refused.values()) == ["there is no node 'never'"]
    assert {one.target for one in found} == {"e1", "e7"}


async def test_an_edge_whose_nodes_do_not_come_in_time_can_be_tried_again(
    engine: Database | Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "PENDING_TIMEOUT_S", 0.05)
    async with EmbeddedGraph(tmp_path / "graph.kgl", patience=0) as graph:
        feed = Feed(engine, graph)
        await feed.entities.create("acme", Draft(entity_id="a", entity_type="tool"))
        with pytest.raises(StorageUnavailable, match="not in the graph yet"):
            await feed.graph.create_edge(ALICE, edge("a", "a"))
        # Ids that nothing is stored for are refused without a wait.
        with pytest.raises(Dangling):
            await feed.graph.create_edge(ALICE, edge("b", "c"))


async def test_a_large_change_is_one_record_and_told_as_a_sum(feed: Feed) -> None:
    drafts = tuple(Draft(entity_id=f"e{number}", entity_type="tool") for number in range(700))
    await feed.entities.put_all("acme", drafts, by="alice")
    await feed.carried()

    [(channel, event)] = feed.heard.said
    assert channel == "entities:acme:changes"
    assert event == EntitiesEvent(
        700, 0, 0, msgspec.convert(event, EntitiesEvent).position, "alice"
    )
    assert len(await feed.nodes.nodes("acme", [f"e{number}" for number in range(700)])) == 700


async def test_a_hub_that_is_not_open_yet_is_away_for_sums_too(engine: Database | Postgres) -> None:
    class Closed:
        async def publish(self, channel: str, value: object) -> object:
            raise RuntimeError(f"the hub has no open server: {channel} {value}")

    store, box = entity_store(engine), Outbox(engine, holder="here")
    drafts = tuple(Draft(entity_id=f"e{number}", entity_type="tool") for number in range(65))
    await Entities(store).put_all("acme", drafts)
    records = await box.read("hub", 0, 10)

    assert records is not None
    with pytest.raises(StorageUnavailable, match="not open"):
        await HubSink(store, Closed()).take(records)


async def test_entities_without_a_tenant_have_no_graph_and_no_channel(feed: Feed) -> None:
    await feed.entities.create("", Draft(entity_id="a", entity_type="tool"))
    await feed.carried()

    assert await feed.nodes.nodes("", ["a"]) == {}
    assert feed.heard.said == []


async def test_one_entity_that_the_graph_refuses_does_not_keep_others_from_it(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refusing(author: Author, drafts: list[NodeDraft], gone: list[str]) -> None:
        if any(one.entity_id == "bad" for one in drafts):
            raise BadStatement("no")
        await mirror(author, drafts, gone)

    mirror = feed.graph.mirror
    monkeypatch.setattr(feed.graph, "mirror", refusing)
    drafts = tuple(Draft(entity_id=name, entity_type="tool") for name in ("a", "bad", "b"))
    await feed.entities.put_all("acme", drafts)
    await feed.carried()

    assert set(await feed.nodes.nodes("acme", ["a", "bad", "b"])) == {"a", "b"}


async def test_a_refused_entity_shows_in_readiness_and_is_carried_when_it_is_replayed(
    engine: Database | Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EmbeddedGraph(tmp_path / "graph.kgl", patience=0) as graph:
        feed = Feed(engine, graph)
        sink = GraphSink(
            entity_store(engine), feed.graph, refused=partial(feed.outbox.refuse, "graph")
        )
        relay = Relay(feed.outbox, {"graph": sink})

        async def refusing(author: Author, drafts: list[NodeDraft], gone: list[str]) -> None:
            if any(one.entity_id == "bad" for one in drafts):
                raise BadStatement("not this one")
            await mirror(author, drafts, gone)

        mirror = feed.graph.mirror
        async with relay:
            with monkeypatch.context() as patched:
                patched.setattr(feed.graph, "mirror", refusing)
                drafts = (Draft(entity_id=name, entity_type="tool") for name in ("a", "bad"))
                await feed.entities.put_all("acme", tuple(drafts))
                await feed.carried()
                with pytest.raises(OutboxBehind, match="graph: 1 refused") as behind:
                    await relay.lag()
                assert await feed.outbox.replay() == 1
                polling = Polling("the replay has ended")
                while await feed.outbox.replays("graph", 1):
                    await polling.turn()
                (refused,) = await feed.outbox.refusals("acme", 0, 10)
            assert await feed.outbox.replay("other") == 0
            assert await feed.outbox.replay("acme") == 1
            polling = Polling("nothing is refused")
            while await feed.outbox.refused():
                await polling.turn()
            lag = await relay.lag()

        graph_lag = msgspec.convert(behind.value.detail["graph"], dict[str, float])
        assert (graph_lag["refused"], lag["graph"]["refused"]) == (1, 0)
        assert (refused.key, refused.reason, refused.sink) == ("bad", "not this one", "graph")
        assert set(await feed.nodes.nodes("acme", ["a", "bad"])) == {"a", "bad"}


def test_refused_changes_of_a_tenant_are_listed_and_replayed(
    client: Client, settings: Settings
) -> None:
    token = mint(
        settings.secret() or b"", "alice", ["admin:read", "admin:write"], 60, tenant="acme"
    )
    listed = request("GET /api/admin/outbox/refused").bearer(token).reply(client)
    replayed = request("POST /api/admin/outbox/refused/replay").bearer(token).reply(client)

    assert msgspec.json.decode(listed.body) == {"items": [], "next_after": None}
    assert msgspec.json.decode(replayed.body) == {"replayed": 0}
    assert request("GET /api/admin/outbox/refused").reply(client).status == 401


def edge(source: str, target: str) -> EdgeDraft:
    return EdgeDraft(source=source, target=target, type="depends")


def test_through_the_gateway_an_entity_is_a_node_soon_and_readiness_tells_the_lag(
    client: Client, settings: Settings
) -> None:
    token = mint(settings.secret() or b"", "alice", ["*"], TOKEN_LIFETIME_S, tenant="acme")
    made = request("POST /api/intelligence/entities").bearer(token)
    assert made.json({"entity_id": "a", "entity_type": "tool"}).reply(client).status == 201

    asked = request("GET /api/knowledge-graph/nodes/a").bearer(token)
    polling = Polling("the entity is a node")
    while (answer := asked.reply(client)).status == 404:
        polling.pause()
    ready = request("GET /health/ready").reply(client)

    assert answer.status == 200
    checks = msgspec.json.decode(ready.body, type=dict[str, object])["checks"]
    outbox = msgspec.convert(checks, dict[str, dict[str, object]])["outbox"]
    assert outbox["status"] == "ok"
    assert set(msgspec.convert(outbox["detail"], dict[str, object])) == {"graph", "hub"}


async def test_changes_wait_for_a_graph_that_is_away_and_the_hub_does_not_wait(
    engine: Database | Postgres, tmp_path: Path
) -> None:
    graph = EmbeddedGraph(tmp_path / "graph.kgl", patience=0)
    feed = Feed(engine, graph)
    async with feed.relay:
        for name in ("a", "b"):
            await feed.entities.create("acme", Draft(entity_id=name, entity_type="tool"))
        polling = Polling("the hub got all")
        while len(feed.heard.said) < 4:
            await polling.turn()
        behind = {lag.sink: lag.records for lag in await feed.outbox.lags()}
        async with graph:
            await feed.carried()
            found = set(await feed.nodes.nodes("acme", ["a", "b"]))

    assert behind["graph"] == 2
    assert found == {"a", "b"}


def test_metrics_tell_how_far_each_sink_is(client: Client, settings: Settings) -> None:
    token = mint(settings.secret() or b"", "alice", ["metrics:read"], TOKEN_LIFETIME_S)

    as_json = request("GET /api/metrics/outbox").bearer(token).reply(client)
    as_text = request("GET /metrics/outbox").reply(client)

    sinks = msgspec.json.decode(as_json.body, type=dict[str, list[dict[str, object]]])["sinks"]
    assert [one["sink"] for one in sinks] == ["graph", "hub"]
    assert (as_text.header("content-type") or "").startswith("text/plain; version=0.0.4")
    assert b'nexus_outbox_records{sink="graph"} 0\n' in as_text.body
    assert request("GET /api/metrics/outbox").reply(client).status == 401


def test_what_was_changed_before_a_restart_is_carried_after_it(settings: Settings) -> None:
    token = mint(settings.secret() or b"", "alice", ["*"], TOKEN_LIFETIME_S, tenant="acme")
    made = request("POST /api/intelligence/entities").bearer(token)
    with Client(compose(settings)) as client:
        made.json({"entity_id": "a", "entity_type": "tool"}).reply(client)
    with Client(compose(settings)) as client:
        asked = request("GET /api/knowledge-graph/nodes/a").bearer(token)
        polling = Polling("the entity is a node")
        while asked.reply(client).status == 404:
            polling.pause()
