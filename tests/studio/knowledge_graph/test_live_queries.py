"""Queries whose answers are heard whenever they change: over HTTP and a socket, and their rules."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest

from nexus_gateway.client import Message, Position, Realtime
from nexus_gateway.studio.conditions import Condition
from nexus_gateway.studio.knowledge_graph.errors import BadQuery, NotFound
from nexus_gateway.studio.knowledge_graph.live_queries.channel import TooLarge
from nexus_gateway.studio.knowledge_graph.live_queries.models import Answer, LiveQuestion, Place
from nexus_gateway.studio.knowledge_graph.live_queries.service import CAPS, LiveQueries
from nexus_gateway.studio.knowledge_graph.live_queries.store import MOST, LiveQueryStore
from nexus_gateway.studio.knowledge_graph.models import NodeContent
from nexus_gateway.studio.knowledge_graph.query import Querying
from nexus_gateway.studio.knowledge_graph.service import Author, KnowledgeGraph
from nexus_gateway.studio.knowledge_graph.stats import Statistics
from nexus_gateway.studio.knowledge_graph.store import GraphStore
from nexus_gateway.studio.storage.errors import StorageUnavailable
from nexus_gateway.studio.storage.graph_embedded import EmbeddedGraph
from tests.harness.studio_server import serving
from tests.harness.waiting import Polling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nexus_gateway.server.settings import Settings
    from nexus_gateway.studio.storage.postgres import Postgres
    from nexus_gateway.studio.storage.sqlite import Database
    from tests.harness.studio_server import Serving

ROOM = "/api/knowledge-graph"
LIVE = f"{ROOM}/live-queries"
SIZES = "MATCH (n:thing) RETURN n.entity_id AS id, n.size ORDER BY id"
ALICE = Author("acme", "alice")
ANY = Condition()
Json = dict[str, object]


async def resize(gateway: Serving, name: str, size: int) -> None:
    """Let a node have a size."""
    content = {"entity_type": "thing", "attributes": {"size": size}}
    await gateway.done(f"PUT {ROOM}/nodes/{name}", content)


async def begin(gateway: Serving, text: str = SIZES) -> Json:
    answer = await gateway.done(f"POST {LIVE}", {"query": text})
    return msgspec.json.decode(answer.body, type=Json)


@pytest.fixture
async def gateway(settings: Settings) -> AsyncIterator[Serving]:
    async with serving(settings) as opened:
        yield opened


def part(of: Json, name: str) -> Json:
    return msgspec.convert(of[name], Json)


def rows(told: object) -> object:
    return msgspec.convert(told, Json)["rows"]


async def test_an_answer_is_told_whenever_it_changes_and_only_then(gateway: Serving) -> None:
    await resize(gateway, "a", 1)
    begun = await begin(gateway)
    query, position = part(begun, "live_query"), part(begun, "position")
    async with Realtime(gateway.socket, token=gateway.token()) as client:
        told = client.subscribe(str(query["channel"]), position=msgspec.convert(position, Position))
        for size in range(2, 12):
            # What the query does not ask for changes nothing that is told.
            await gateway.call(f"PATCH {ROOM}/nodes/a", {"name": f"A{size}"})
            await resize(gateway, "a", size)
            async with asyncio.timeout(10):
                message = await anext(told)
            assert isinstance(message, Message)
            assert rows(message.data) == [["a", size]]

    assert part(begun, "answer") == {
        "state": "answered", "columns": ["id", "n.size"], "rows": [["a", 1]], "truncated": False,
    }  # fmt: skip


async def test_who_asks_the_same_listens_to_the_same_and_prolongs_it(gateway: Serving) -> None:
    first = await gateway.call(f"POST {LIVE}", {"query": SIZES, "lease": 60})
    again = await gateway.call(f"POST {LIVE}", {"query": SIZES, "lease": 600})
    shorter = await gateway.call(f"POST {LIVE}", {"query": SIZES, "lease": 60})
    other = await gateway.call(f"POST {LIVE}", {"query": SIZES, "max_rows": 5})
    shown = await gateway.call(f"GET {first.header('location')}")
    listed = msgspec.json.decode((await gateway.call(f"GET {LIVE}")).body, type=Json)

    assert [one.status for one in (first, again, shorter, other)] == [201, 200, 200, 201]
    assert first.header("location") == again.header("location") != other.header("location")
    query = msgspec.json.decode(shown.body, type=Json)
    assert (query["query"], query["created_by"]) == (SIZES, "alice")
    created, expires = (
        datetime.fromisoformat(str(query[name])) for name in ("created_at", "expires_at")
    )
    assert timedelta(seconds=590) < expires - created < timedelta(seconds=630)
    assert len(msgspec.convert(listed["items"], list[Json])) == 2


async def test_a_query_that_cannot_be_answered_is_refused_and_not_kept(gateway: Serving) -> None:
    wrong = [
        ({"query": "MATCH (n"}, 400),
        ({"query": "CREATE (n)"}, 403),
        ({"query": "RETURN $x"}, 422),
        ({"query": "MATCH (a), (b), (c), (d), (e), (f) RETURN 1"}, 422),
        ({"query": SIZES, "max_rows": 1001}, 422),
        ({"query": SIZES, "as_of": "2026-01-01T00:00:00Z"}, 422),
    ]
    await gateway.call(
        f"POST {ROOM}/bulk",
        {"nodes": [{"entity_id": f"n{n}", "entity_type": "x"} for n in range(20)]},
    )

    found = [(await gateway.call(f"POST {LIVE}", body)).status for body, _ in wrong]

    assert found == [status for _, status in wrong]
    assert (await gateway.call(f"GET {LIVE}")).json() == {"items": []}


async def test_tenants_do_not_meet(gateway: Serving) -> None:
    await resize(gateway, "a", 1)
    query = part(await begin(gateway), "live_query")
    evil = gateway.token("evil")
    place = f"{LIVE}/{query['query_id']}"
    channel = f"/api/realtime/channels/{query['channel']}/history"
    reader = gateway.token("evil", "knowledge-graph:read", "realtime:read")

    mine = await gateway.call(f"POST {LIVE}", {"query": SIZES}, token=evil)
    found = [
        (await gateway.call(f"{method} {place}", token=evil)).status for method in ("GET", "DELETE")
    ]

    assert part(msgspec.json.decode(mine.body, type=Json), "answer")["rows"] == []
    assert found == [404, 404]
    assert (await gateway.call(f"GET {channel}", token=reader)).status == 403
    assert (await gateway.call(f"GET {place}")).status == 200
    assert (await gateway.call(f"GET {LIVE}", token=gateway.token(None))).status == 403


async def test_reading_is_enough_to_begin_and_not_to_end(gateway: Serving) -> None:
    reader = gateway.token("acme", "knowledge-graph:read")
    begun = await gateway.call(f"POST {LIVE}", {"query": SIZES}, token=reader)
    place = str(begun.header("location"))
    channel = part(msgspec.json.decode(begun.body, type=Json), "live_query")["channel"]

    refused = await gateway.call(f"DELETE {place}", token=reader)
    ended = await gateway.call(f"DELETE {place}")
    again = await gateway.call(f"DELETE {place}")
    history = await gateway.call(f"GET /api/realtime/channels/{channel}/history")

    assert (begun.status, refused.status, ended.status, again.status) == (201, 403, 204, 404)
    kept = msgspec.json.decode(history.body, type=Json)["items"]
    assert [one["data"] for one in msgspec.convert(kept, list[Json])] == [{"state": "ended"}]


async def test_what_changed_before_a_restart_is_told_after_it(settings: Settings) -> None:
    async with serving(settings) as first:
        await resize(first, "a", 1)
        query = part(await begin(first), "live_query")
    async with serving(settings) as second:
        history = f"GET /api/realtime/channels/{query['channel']}/history"
        polling = Polling("the change is reported")
        while True:
            kept = msgspec.json.decode((await second.call(history)).body, type=Json)["items"]
            if items := msgspec.convert(kept, list[Json]):
                break
            await polling.turn()
        await resize(second, "a", 2)
        answered = await begin(second)

    assert rows(items[-1]["data"]) == [["a", 1]]
    assert part(answered, "live_query")["query_id"] == query["query_id"]
    assert rows(answered["answer"]) == [["a", 2]]


# --- the rules, with channels that can be looked at ---


class Listed:
    """Channels in memory; `between` happens before the next message is taken."""

    def __init__(self) -> None:
        self.told: dict[str, list[bytes]] = {}
        self.most = 100_000
        self.away = 0
        self.between: list[bytes] = []

    async def last(self, channel: str) -> tuple[Place, bytes | None]:
        if self.away:
            self.away -= 1
            raise StorageUnavailable("away")
        told = self.told.get(channel, [])
        return Place("e", len(told)), told[-1] if told else None

    async def tell(self, channel: str, data: bytes) -> Place:
        if len(data) > self.most:
            raise TooLarge("too large")
        told = self.told.setdefault(channel, [])
        told += self.between
        self.between = []
        told.append(data)
        return Place("e", len(told))


class Room:
    """Live queries over a graph, without a gateway; the time is what a test says."""

    def __init__(self, engine: Database | Postgres, graph: EmbeddedGraph) -> None:
        self.channels = Listed()
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        nodes = GraphStore(graph)
        querying = Querying(nodes, Statistics(nodes), CAPS)
        store = LiveQueryStore(engine)
        self.live = LiveQueries(store, querying, self.channels, lambda: self.now)
        self.querying, self.store = querying, store
        self.graph = KnowledgeGraph(nodes, changed=self.live.changed)

    async def size(self, name: str, size: int) -> None:
        content = NodeContent(entity_type="thing", attributes={"size": size})
        await self.graph.put_node(ALICE, name, content, ANY)

    async def until(self, channel: str, *expected: object) -> None:
        """Wait until these are the last that were told."""
        wanted = [msgspec.json.decode(msgspec.json.encode(one)) for one in expected]
        polling = Polling("the last answers are these")
        while True:
            told = self.channels.told.get(channel, [])[-len(wanted) :]
            if [msgspec.json.decode(one) for one in told] == wanted:
                return
            await polling.turn()


def sizes(**of: int) -> Answer:
    return Answer(("id", "n.size"), [*of.items()], truncated=False)


@pytest.fixture
async def room(engine: Database | Postgres, tmp_path: Path) -> AsyncIterator[Room]:
    async with EmbeddedGraph(tmp_path / "graph.kgl", patience=0) as graph:
        made = Room(engine, graph)
        async with made.live:
            yield made


async def test_what_another_replica_tells_in_between_is_looked_at_again(room: Room) -> None:
    await room.size("a", 1)
    begun, new = await room.live.begin(ALICE, LiveQuestion(SIZES))
    channel = begun.live_query.channel
    stale = msgspec.json.encode(sizes(a=0))
    room.channels.between = [stale]

    await room.size("a", 2)
    await room.until(channel, sizes(a=0), sizes(a=2))
    # Told by another, and wrong: the next look puts it right, though here nothing has changed.
    room.channels.told[channel].append(stale)
    room.live.changed("acme")
    await room.until(channel, sizes(a=2), sizes(a=0), sizes(a=2))

    assert new
    assert (begun.answer, begun.position) == (sizes(a=1), Place("e", 1))


async def test_of_quick_changes_the_last_is_always_told(room: Room) -> None:
    begun, _ = await room.live.begin(ALICE, LiveQuestion(SIZES))
    for size in range(50):
        await room.size("a", size)
    await room.until(begun.live_query.channel, sizes(a=49))

    assert len(room.channels.told[begun.live_query.channel]) <= 51


async def test_a_hub_that_is_away_is_told_later(room: Room) -> None:
    begun, _ = await room.live.begin(ALICE, LiveQuestion(SIZES))
    room.channels.away = 2
    await room.size("a", 1)
    await room.until(begun.live_query.channel, sizes(), sizes(a=1))


async def test_a_query_ends_with_its_lease_and_who_listens_is_told(room: Room) -> None:
    begun, _ = await room.live.begin(ALICE, LiveQuestion(SIZES, lease=60))
    room.now += timedelta(seconds=61)
    with pytest.raises(NotFound):
        await room.live.get(ALICE, begun.live_query.query_id)
    await room.size("a", 1)
    await room.until(begun.live_query.channel, sizes(), {"state": "ended"})
    again, new = await room.live.begin(ALICE, LiveQuestion(SIZES))

    assert new
    assert (again.answer, again.position.offset) == (sizes(a=1), 3)


async def test_an_answer_that_cannot_be_had_any_more_is_told_with_its_reason(room: Room) -> None:
    await room.size("a", 1)
    dividing = LiveQuestion("MATCH (n) RETURN 10 / n.size AS share")
    begun, _ = await room.live.begin(ALICE, dividing)
    channel = begun.live_query.channel
    await room.size("a", 0)
    zero = "it divides by zero, or a value is not of the type that it must be"
    reason = f"the query cannot be evaluated: {zero}"
    failed = {"state": "failed", "code": "validation_error", "error": reason}
    await room.until(channel, failed)
    room.channels.most = 120
    await room.graph.put_node(ALICE, "a", NodeContent(entity_type="x" * 90), ANY)
    long, _ = await room.live.begin(ALICE, LiveQuestion("MATCH (n) RETURN n.entity_type"))

    assert msgspec.to_builtins(long.answer)["code"] == "payload_too_large"


async def test_a_tenant_has_a_bounded_number(room: Room) -> None:
    for number in range(MOST):
        await room.live.begin(ALICE, LiveQuestion(f"RETURN {number}"))
    with pytest.raises(BadQuery, match="at most 100"):
        await room.live.begin(ALICE, LiveQuestion("RETURN 'one more'"))
    room.now += timedelta(seconds=1)
    _, new = await room.live.begin(ALICE, LiveQuestion("RETURN 7"))
    await room.live.begin(Author("other", "bob"), LiveQuestion("RETURN 'another tenant'"))

    assert not new
    assert len((await room.live.page(ALICE)).items) == MOST


async def test_a_query_that_another_replica_began_is_told_of_changes_here(room: Room) -> None:
    other = LiveQueries(room.store, room.querying, room.channels, lambda: room.now)
    begun, _ = await other.begin(ALICE, LiveQuestion(SIZES))
    await room.size("a", 1)
    await room.until(begun.live_query.channel, sizes(), sizes(a=1))
