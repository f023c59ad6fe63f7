"""What is accepted can be read, listed, exported, imported, changed and deleted, on each engine.

Entities, nodes, edges and declared types are made of hostile values. Each is either refused with an
error of the client, or goes the whole way. SQLite is tested with the embedded graph, PostgreSQL
with Neo4j. `TEST_ROUND_TRIP_EXAMPLES` sets how many sets of values are tried.
"""

# pyright: basic, reportIndexIssue=false, reportArgumentType=false
# mypy: disable-error-code="index, assignment, call-overload, arg-type"
from __future__ import annotations

import os
import string
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nexus_gateway.server.settings import Secret, Settings
from nexus_gateway.server.tokens import mint
from nexus_gateway.studio.app import compose
from nexus_gateway.studio.storage import migrations
from nexus_gateway.testing import Answer, Client, request
from tests.harness.tokens import TOKEN_LIFETIME_S
from tests.harness.waiting import Polling

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness import neo4j_server

EXAMPLES = int(os.environ.get("TEST_ROUND_TRIP_EXAMPLES", "16"))
NDJSON = "application/x-ndjson"
GRAPH = "/api/knowledge-graph"
ENTITIES = "/api/intelligence/entities"
TYPES = "/api/intelligence/entity-types"

bounded = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

# Text of every plane, with what databases, URLs, XML and query languages treat specially.
CONTROLS = ["\0", "\x01", "\n", "\x7f"]
SPECIAL = (
    *(" ", "'", '"', "\\", "`", "$", "%00", "</data>", "{}", "a:b", "--"),
    *("\ufeff", "\u202e", "\u2028", "\ufffe", "\U0001f600", "e\u0301", "\ud7ff", "\U0010ffff"),
)
visible = st.sampled_from(SPECIAL) | st.text(
    st.characters(exclude_categories=["Cs", "Cc"]), max_size=4
)
texts = st.lists(visible | st.sampled_from(CONTROLS), max_size=4).map("".join)
# Fields that refuse control characters mostly get none, so that most drafts are accepted.
labels = st.lists(visible, max_size=4).map(lambda parts: "".join(parts) or "x")
fields = st.integers(0, 15).flatmap(lambda dice: texts if dice == 15 else labels)
numbers = st.sampled_from(
    [0, -0.0, 5e-324, 1e308, -1e308, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 2**64 - 1, 1.5]
)
scalars = st.none() | st.booleans() | numbers | texts | st.integers(-(2**63), 2**64 - 1)
# Names that the graph keeps for itself, and that a query language reads as something else.
NAMES = (
    *("", "id", "title", "type", "tenant", "version", "entity_id", "attribute_x", "a.b", "a`b"),
    *("a b", "\0", "k" * 300, "labels", "ID", "__proto__", "subject", "edge_id", "source"),
)
names = st.sampled_from(NAMES) | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
attributes = st.dictionaries(names, values, max_size=4)
plain_ids = st.text(string.ascii_letters + "_.:@+~=,-", max_size=8).map("1".__add__)
ids = plain_ids | st.sampled_from(["a" * 128, "a~b", "a..b", "_", "search", "a/b", "a\n", ".", "ä"])
offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = (
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00Z"),
    *("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.9999999Z", "2016-12-31T23:59:60Z"),
    *("2020-01-01T00:00:00.123456789Z", "2020-02-30T00:00:00Z", "2020-01-01T00:00:00"),
)
times = st.datetimes(timezones=offsets).map(datetime.isoformat) | st.sampled_from(TIMES) | st.none()
content = {
    "entity_type": st.just("tool") | fields,
    "name": st.none() | fields,
    "tags": st.lists(fields, max_size=3),
    "attributes": attributes,
}
entities = st.fixed_dictionaries(
    {"entity_id": ids, **content},
    optional={"source": fields, "aliases": st.lists(plain_ids, max_size=2)},
)
nodes = st.fixed_dictionaries(
    {"entity_id": ids, **content},
    optional={"origin": fields, "valid_from": times, "valid_to": times},
)
edges = st.fixed_dictionaries(
    {"type": st.just("uses"), "attributes": attributes},
    optional={"key": fields, "origin": fields, "valid_from": times, "valid_to": times},
)


class Caller:
    """Calls the studio as one tenant after another: a new tenant is an empty store."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._secret = settings.secret() or b""
        self.tenants: list[str] = []
        self.move()

    def move(self) -> None:
        """Continue as a new tenant."""
        self.tenants.append(uuid4().hex)
        self.act(self.tenants[-1])

    def act(self, tenant: str) -> None:
        """Continue as a tenant."""
        self._token = mint(self._secret, "alice", ["*"], TOKEN_LIFETIME_S, tenant=tenant)

    def send(self, line: str, value: object = None, accept: str = "*/*") -> Answer:
        asked = request(line).bearer(self._token).header("accept", accept)
        if isinstance(value, bytes):
            asked = asked.body(value, NDJSON)
        elif value is not None:
            asked = asked.json(value)
        return self._client.send(asked)

    def done(self, line: str, value: object = None, accept: str = "*/*") -> Answer:
        answer = self.send(line, value, accept)
        assert answer.status < 300, (line, answer.status, answer.body[:500])
        return answer

    def accepts(self, line: str, value: object) -> bool:
        """Send what may be refused, but only as the fault of the client, with a field."""
        answer = self.send(line, value)
        if answer.status < 300:
            return True
        assert 400 <= answer.status < 500, (line, value, answer.body)
        if answer.status == 422:
            details = answer.json()["details"]
            assert details, answer.body
            assert details[0]["field"] not in ("", "$"), answer.body
        return False


@pytest.fixture(params=["sqlite", "postgres"], scope="module")
def caller(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Caller]:
    """Serve the studio on each database, with one of the two graph engines."""
    folder: Path = tmp_path_factory.mktemp("round-trip")
    found = Settings(data_dir=folder, log_level="error", rate_limit="")
    if request.param == "postgres":
        postgres = request.getfixturevalue("postgres_server")
        with suppress(AssertionError):  # left by an earlier module of the same session
            postgres.run("CREATE DATABASE round_trip")
        migrations.up(postgres.url("round_trip"))
        server: neo4j_server.Server = request.getfixturevalue("neo4j")
        found = msgspec.structs.replace(
            found,
            database_url=postgres.url("round_trip"),
            neo4j_url=server.url,
            neo4j_user=server.user,
            neo4j_password=Secret(server.password),
        )
    with Client(compose(found)) as client:
        caller = Caller(client, found)
        yield caller
        mirrored(caller)
        for tenant in caller.tenants:
            caller.act(tenant)
            refused = caller.done("GET /api/admin/outbox/refused").json()
            assert refused["items"] == [], "the graph refused entities that were accepted"


def mirrored(caller: Caller) -> None:
    """Wait until the graph has looked at every change."""
    polling = Polling("the outbox is empty")
    while any(one["records"] for one in caller.done("GET /api/metrics/outbox").json()["sinks"]):
        polling.pause()


def plain(entity: dict[str, object], *, without: tuple[str, ...] = ()) -> dict[str, object]:
    """Leave out what a store adds by itself."""
    added = ("created_at", "created_by", "updated_at", "updated_by", "revision", *without)
    return {name: value for name, value in entity.items() if name not in added}


def exported(caller: Caller, line: str) -> bytes:
    return caller.done(line, accept=NDJSON).body


def rows(text: bytes) -> list[dict[str, object]]:
    return [plain(row) for row in msgspec.json.Decoder(dict[str, object]).decode_lines(text)]


def at(row: dict[str, object], field: str) -> datetime | None:
    value = row.get(field)
    return datetime.fromisoformat(str(value)).astimezone(UTC) if value is not None else None


def same_values(draft: dict[str, object], row: dict[str, object]) -> None:
    """Compare what was sent with what is stored: JSON exactly, times as moments."""
    for field, value in draft.items():
        if field in ("valid_from", "valid_to"):
            sent = msgspec.convert(value, datetime | None)
            assert at(row, field) == sent
        elif field in ("tags", "aliases"):
            assert row[field] == [
                one for one in dict.fromkeys(value) if one != draft.get("entity_id")
            ]
        else:
            assert msgspec.json.encode(row[field]) == msgspec.json.encode(value), field


@bounded
@given(drafts=st.lists(entities, min_size=1, max_size=3))
@example(drafts=[{"entity_id": "a", "entity_type": "t", "name": "a\0b"}])
@example(drafts=[{"entity_id": "a", "entity_type": "t", "attributes": {"\0": "\0", "": [1, "a"]}}])
@example(drafts=[{"entity_id": "a", "entity_type": "t", "attributes": {"a": "x" * 1_040_000}}])
@example(drafts=[{"entity_id": "a", "entity_type": "t", "tags": ["\U0001f600" * 64] * 64}])
def test_accepted_entities_go_the_whole_way(
    caller: Caller, drafts: list[dict[str, object]]
) -> None:
    caller.move()
    kept: list[dict[str, object]] = []
    for draft in drafts:
        if caller.accepts(f"POST {ENTITIES}", draft):
            shown = caller.done(f"GET {ENTITIES}/{draft['entity_id']}").json()
            same_values(draft, shown)
            kept.append(plain(shown))
    assert [plain(one) for one in caller.done(f"GET {ENTITIES}").json()["items"]] == kept
    text = exported(caller, f"GET {ENTITIES}")
    assert rows(text) == kept

    caller.move()
    summary = caller.done(f"POST {ENTITIES}:import", text).json()
    assert (summary["created"], summary["refused"]) == (len(kept), 0), summary
    assert rows(exported(caller, f"GET {ENTITIES}")) == kept

    for one in kept:
        place = f"{ENTITIES}/{one['entity_id']}"
        caller.done(f"PATCH {place}", {"name": "other"})
        caller.done(f"GET {place}/history")
        caller.done(f"DELETE {place}")
        caller.done(f"POST {place}/restore")
        caller.done(f"DELETE {place}?purge=true")
    assert caller.done(f"GET {ENTITIES}").json()["items"] == []


@bounded
@given(drafts=st.lists(nodes, min_size=1, max_size=2), edge=edges)
@example(
    drafts=[{"entity_id": "n", "entity_type": "t", "valid_from": "0001-01-01T00:00:00+14:00"}],
    edge={"type": "uses", "attributes": {}, "valid_to": "9999-12-31T23:59:59-14:00"},
)
@example(
    drafts=[{"entity_id": "n", "entity_type": "t", "attributes": {"a": [1, "a", None, {}]}}],
    edge={"type": "uses", "attributes": {"source": [], "id": 2**64 - 1}, "key": "\U0001f600"},
)
def test_accepted_nodes_and_edges_go_the_whole_way(
    caller: Caller, drafts: list[dict[str, object]], edge: dict[str, object]
) -> None:
    caller.move()
    kept = {}
    for draft in drafts:
        if caller.accepts(f"POST {GRAPH}/nodes", draft):
            shown = caller.done(f"GET {GRAPH}/nodes/{draft['entity_id']}").json()
            same_values(draft, shown)
            kept[str(draft["entity_id"])] = plain(shown)
    links: list[dict[str, object]] = []
    for name in kept:
        draft = {"source": name, "target": name, **edge}
        if caller.accepts(f"POST {GRAPH}/edges", draft):
            found = caller.done(f"GET {GRAPH}/edges?source={name.replace('+', '%2B')}").json()
            same_values(draft, found["items"][0])
            links.append(plain(found["items"][0]))
    everything = exported(caller, f"GET {GRAPH}/nodes") + exported(caller, f"GET {GRAPH}/edges")
    assert sorted(map(str, rows(everything))) == sorted(map(str, [*kept.values(), *links]))
    for shown in ("subgraph", "subgraph?format=graphml", "subgraph?format=mermaid", "schema"):
        caller.done(f"GET {GRAPH}/{shown}")

    caller.move()
    if kept:
        ingested(caller, everything)
    found = exported(caller, f"GET {GRAPH}/nodes") + exported(caller, f"GET {GRAPH}/edges")
    assert rows(found) == rows(everything)

    for link in links:
        place = f"{GRAPH}/edges/{link['edge_id']}"
        caller.done(f"PATCH {place}", {"attributes": {"more": 1}})
        caller.done(f"GET {place}/history")
        caller.done(f"DELETE {place}")
    for name in kept:
        place = f"{GRAPH}/nodes/{name}"
        caller.done(f"PATCH {place}", {"attributes": {"more": 1}})
        caller.done(f"GET {place}/history")
        caller.done(f"DELETE {place}")
    assert caller.done(f"GET {GRAPH}/nodes").json()["items"] == []


def ingested(caller: Caller, text: bytes) -> None:
    """Ingest lines and follow the job to its end."""
    job = caller.done(f"POST {GRAPH}/ingest", text).json()
    last = caller.done(f"GET {GRAPH}/ingest/{job['job_id']}/events").body
    ended = msgspec.json.decode(last.rpartition(b"data: ")[2].strip())
    assert (ended["state"], ended["progress"].get("refused", 0)) == ("done", 0), ended


@bounded
@given(name=texts.filter(bool), description=st.none() | texts)
@example(name="a/b", description="\0")
def test_accepted_types_go_the_whole_way(
    caller: Caller, name: str, description: str | None
) -> None:
    caller.move()
    place = f"{TYPES}/{''.join(f'%{byte:02X}' for byte in name.encode())}"
    draft = {"attributes": {"description": name}, "description": description}

    if caller.accepts(f"PUT {place}", draft):
        shown = caller.done(f"GET {place}").json()
        assert (shown["name"], shown["description"]) == (name, description)
        assert caller.done(f"GET {TYPES}").json()["items"] == [shown]
        caller.done(f"PUT {place}", {"attributes": shown["attributes"]})
        caller.done(f"DELETE {place}")
    assert caller.done(f"GET {TYPES}").json()["items"] == []


def test_attributes_that_no_import_would_take_are_refused_with_their_field(caller: Caller) -> None:
    caller.move()
    large = {"a": "x" * 800_000}
    for place, draft in (
        (f"{ENTITIES}/e", {"entity_type": "t"}),
        (f"{GRAPH}/nodes/n", {"entity_type": "t"}),
    ):
        caller.done(f"PUT {place}", {**draft, "attributes": large})

        grown = caller.send(f"PATCH {place}", {"attributes": {"b": "y" * 400_000}})

        assert (grown.status, grown.json()["details"][0]["field"]) == (422, "attributes")
        assert len(caller.done(f"GET {place}").body) < 1_000_000
    items = [{"entity_id": f"e{n}", "entity_type": "t"} for n in range(2)]
    items[1]["attributes"] = {"a": "x" * 1_100_000}

    batch = caller.send(f"POST {ENTITIES}:batch", {"items": items})
    imported = caller.done(f"POST {ENTITIES}:import", b"\n".join(map(msgspec.json.encode, items)))

    assert batch.json()["details"][0]["field"] == "items[1].attributes"
    refusals = imported.json()["refusals"]
    assert [(one["line"], one["details"][0]["field"]) for one in refusals] == [(2, "attributes")]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_beyond_the_years_of_utc_is_refused_in_every_place(
    caller: Caller, moment: str
) -> None:
    for line in ("nodes?", "nodes/n?", "edges?", "subgraph?", "paths?source=a&target=a&"):
        answer = caller.send(f"GET {GRAPH}/{line}as_of={moment}")
        assert (answer.status, answer.json()["details"][0]["field"]) == (400, "as_of")
    for name in ("valid_at", "as_of"):
        asked = {"query": "RETURN 1 AS one", name: moment.replace("%2B", "+")}
        answer = caller.send(f"POST {GRAPH}/query", asked)
        assert (answer.status, answer.json()["details"][0]["field"]) == (422, name)


def test_a_change_that_is_too_large_for_a_message_is_published_by_its_id(caller: Caller) -> None:
    caller.move()
    caller.done(f"PUT {GRAPH}/nodes/n", {"entity_type": "t", "attributes": {"a": "x" * 100_000}})

    channel = f"graph%3A{caller.tenants[-1]}%3Achanges"
    history = caller.done(f"GET /api/realtime/channels/{channel}/history").json()

    assert [one["data"] for one in history["items"]] == [{"change": "created", "entity_id": "n"}]
