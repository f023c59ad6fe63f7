"""`/api/knowledge-graph` over the real core and the embedded graph."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.etree import ElementTree as ET

import msgspec
import pytest

from tests.harness.graph_caller import ROOM, Caller, Heard, ids

if TYPE_CHECKING:
    from nexus_gateway.testing import Answer

GRAPHML = "{http://graphml.graphdrawing.org/xmlns}"


class Problem(msgspec.Struct):
    code: str
    error: str
    details: list[dict[str, str]] = []


def problem(answer: Answer) -> tuple[int, str, list[str]]:
    read = msgspec.json.decode(answer.body, type=Problem)
    return answer.status, read.code, [detail["field"] for detail in read.details]


def test_a_node_is_created_where_its_location_says(alice: Caller) -> None:
    made = alice.node("a", name="A")
    found = alice.call("GET /nodes/a")

    assert made.header("location") == f"{ROOM}/nodes/a"
    assert found.body == made.body
    assert found.header("etag") == made.header("etag")


def test_a_node_that_is_known_is_not_sent_again(alice: Caller) -> None:
    tag = alice.node("a").header("etag") or ""

    again = alice.call("GET /nodes/a", headers={"if-none-match": tag})

    assert (again.status, again.body) == (304, b"")


def test_a_taken_id_is_409(alice: Caller) -> None:
    alice.node("a")

    answer = alice.call("POST /nodes", {"entity_id": "a", "entity_type": "thing"})

    assert problem(answer)[:2] == (409, "conflict")


def test_put_creates_then_replaces(alice: Caller) -> None:
    first = alice.call("PUT /nodes/a", {"entity_type": "x", "attributes": {"k": 1}})
    second = alice.call("PUT /nodes/a", {"entity_type": "y", "entity_id": "a"})
    other = alice.call("PUT /nodes/a", {"entity_type": "y", "entity_id": "b"})
    absent = alice.call("PUT /nodes/a", {"entity_type": "z"}, headers={"if-none-match": "*"})

    assert (first.status, second.status) == (201, 200)
    assert problem(other) == (422, "validation_error", ["entity_id"])
    assert problem(absent)[:2] == (412, "precondition_failed")


def test_patch_merges_and_checks_the_revision(alice: Caller) -> None:
    tag = alice.node("a", attributes={"k": 1, "l": 2}).header("etag") or ""

    patched = alice.call("PATCH /nodes/a", {"attributes": {"k": None}}, headers={"if-match": tag})
    stale = alice.call("PATCH /nodes/a", {"name": "x"}, headers={"if-match": tag})
    wrong = alice.call("PATCH /nodes/a", {"name": "x"}, headers={"if-match": "bare"})

    assert msgspec.json.decode(patched.body, type=dict[str, object])["attributes"] == {"l": 2}
    assert problem(stale)[:2] == (412, "precondition_failed")
    assert problem(wrong)[:2] == (400, "validation_error")


def test_a_deleted_node_takes_its_edges_along(alice: Caller) -> None:
    alice.node("a")
    alice.node("b")
    name = alice.edge("a", "b")

    assert alice.call("DELETE /nodes/b").status == 204

    assert alice.call(f"GET /edges/{name}").status == 404
    assert alice.call("GET /nodes/b").status == 404
    assert len(msgspec.convert(alice.read("/nodes/b/history")["items"], list[object])) == 1
    assert alice.call("DELETE /nodes/b").status == 404


def test_an_edge_goes_through_its_life(alice: Caller) -> None:
    alice.node("a")
    alice.node("b")
    made = alice.call(
        "POST /edges", {"source": "a", "target": "b", "type": "depends", "attributes": {"v": 1}}
    )
    place = (made.header("location") or "").removeprefix(ROOM)
    twin = alice.call("POST /edges", {"source": "a", "target": "b", "type": "depends"})
    tag = alice.call(f"GET {place}").header("etag") or ""
    known = alice.call(f"GET {place}", headers={"if-none-match": tag})
    patched = alice.call(f"PATCH {place}", {"attributes": {"w": 2}}, headers={"if-match": tag})
    put = alice.call(f"PUT {place}", {"source": "a", "target": "b", "type": "depends"})
    gone = alice.call(f"DELETE {place}")

    assert made.status == 201
    assert problem(twin)[:2] == (409, "conflict")
    assert known.status == 304
    assert b'"v":1,"w":2' in patched.body
    assert (put.status, gone.status) == (200, 204)
    history = msgspec.convert(alice.read(f"{place}/history")["items"], list[dict[str, object]])
    assert [item["ended"] for item in history] == ["deleted", None, None]
    assert (
        alice.call("PUT " + place, {"source": "a", "target": "b", "type": "depends"}).status == 201
    )
    assert alice.call("GET /edges/nothing").status == 404
    assert alice.call("PATCH /edges/a~x", {"attributes": {}}).status == 404
    assert alice.call("GET /edges/a~x/history").status == 404


def test_a_dangling_edge_is_refused_with_its_place(alice: Caller) -> None:
    alice.node("a")

    single = alice.call("POST /edges", {"source": "a", "target": "b", "type": "depends"})
    bulk = alice.call(
        "POST /bulk",
        {
            "nodes": [{"entity_id": "c", "entity_type": "x"}],
            "edges": [
                {"source": "a", "target": "c", "type": "depends"},
                {"source": "y", "target": "z", "type": "depends"},
            ],
        },
    )

    assert problem(single) == (422, "validation_error", ["target"])
    assert problem(bulk) == (422, "validation_error", ["edges[1].source", "edges[1].target"])
    assert alice.call("GET /nodes/c").status == 404


@pytest.mark.parametrize(
    ("line", "body", "field"),
    [
        ("POST /nodes", {"entity_id": "a/b", "entity_type": "x"}, "entity_id"),
        ("POST /nodes", {"entity_id": "a"}, "entity_type"),
        ("POST /edges", {"source": "a", "target": "b", "type": "a b"}, "type"),
        ("POST /bulk", {"nodes": [{"entity_id": "a", "entity_type": ""}]}, "nodes[0].entity_type"),
        (
            "POST /nodes",
            {"entity_id": "a", "entity_type": "x", "valid_from": "2026-01-01T00:00:00"},
            "valid_from",
        ),
        (
            "PATCH /nodes/there",
            {"valid_from": "2026-01-02T00:00:00Z", "valid_to": "2026-01-01T00:00:00Z"},
            "valid_to",
        ),
        ("POST /nodes/there/merge", {"duplicate": "there"}, "duplicate"),
    ],
)
def test_a_bad_body_is_422_with_the_field(
    alice: Caller, line: str, body: object, field: str
) -> None:
    alice.node("there")

    assert problem(alice.call(line, body)) == (422, "validation_error", [field])


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ("/nodes/a/neighbours?depth=7", "depth"),
        ("/nodes/a/neighbours?group_by=name", "group_by"),
        ("/nodes/a/neighbours?type=a%20b", "type"),
        ("/nodes?cursor=abc", "cursor"),
        ("/nodes?as_of=yesterday", "as_of"),
        ("/edges?cursor=AAAAAAAAAAAAAAAA", "cursor"),
        ("/paths?source=a", "target"),
        ("/subgraph?format=png", "format"),
    ],
)
def test_a_bad_query_is_400_with_the_field(alice: Caller, target: str, field: str) -> None:
    alice.node("a")

    assert problem(alice.call(f"GET {target}")) == (400, "validation_error", [field])


def test_lists_go_on_at_their_cursor(alice: Caller) -> None:
    for name in "abcde":
        alice.node(name)
    first = alice.read("/nodes?limit=3")
    cursor = str(first["next_cursor"])

    second = alice.read(f"/nodes?limit=3&cursor={cursor}")

    assert ids(first) + ids(second) == list("abcde")
    assert second["next_cursor"] is None
    other = alice.call(f"GET /nodes?type=thing&cursor={cursor}")
    assert problem(other) == (400, "validation_error", ["cursor"])


def test_lists_are_lines_where_they_are_asked_for(alice: Caller) -> None:
    for name in "abc":
        alice.node(name)
    alice.edge("a", "b")
    alice.edge("a", "c")
    accept = {"accept": "application/x-ndjson"}

    nodes = alice.call("GET /nodes?limit=1", headers=accept)
    edges = alice.call("GET /edges", headers=accept)
    at = alice.call("GET /edges?source=a", headers=accept)

    assert nodes.header("content-type") == "application/x-ndjson"
    lines = [msgspec.json.decode(line, type=dict[str, object]) for line in nodes.body.splitlines()]
    assert [line["entity_id"] for line in lines] == ["a", "b", "c"]
    assert (len(edges.body.splitlines()), edges.body) == (2, at.body)


def test_malformed_tags_are_refused_before_a_node_is_looked_for(alice: Caller) -> None:
    for name in "ab":
        alice.node(name)
    assert alice.call("POST /nodes/a/merge", {"duplicate": "b"}).status == 200

    for target in ("/nodes/a", "/nodes/b", "/nodes/none", "/edges/none"):
        for tags in ("", "0", '"a', 'w/"a"'):
            answer = alice.call(f"GET {target}", headers={"if-none-match": tags})
            assert answer.status == 400, (target, tags)
            assert b"entity tags" in answer.body


def test_a_merged_node_leads_to_the_other_on_every_path(alice: Caller) -> None:
    for name in "abc":
        alice.node(name)
    alice.edge("b", "c")
    assert alice.call("POST /nodes/a/merge", {"duplicate": "b"}).status == 200

    def led(line: str, value: object = msgspec.UNSET) -> str:
        answer = alice.call(line, value)
        assert answer.status == 308, answer.body
        return (answer.header("location") or "").removeprefix(ROOM)

    moment = quote("2099-01-01T00:00:00Z", safe="")
    assert led("GET /nodes/b") == "/nodes/a"
    assert led("GET /nodes/b/neighbours?depth=2&type=depends&type=likes&direction=out") == (
        "/nodes/a/neighbours?depth=2&direction=out&type=depends&type=likes"
    )
    assert led("GET /paths?source=b&target=c&all=true") == "/paths?source=a&target=c&all=true"
    assert led(f"GET /subgraph?root=b&as_of={moment}") == f"/subgraph?as_of={moment}&root=a"
    assert led("PUT /nodes/b", {"entity_type": "x"}) == "/nodes/a"
    assert led("PATCH /nodes/b", {"name": "x"}) == "/nodes/a"
    assert led("DELETE /nodes/b") == "/nodes/a"
    assert led("POST /nodes/b/merge", {"duplicate": "c"}) == "/nodes/a/merge"


def test_a_token_without_a_tenant_is_refused_everywhere(nobody: Caller) -> None:
    for line in (
        "GET /nodes", "GET /nodes/a", "GET /nodes/a/history", "GET /nodes/a/neighbours",
        "GET /edges", "GET /edges/a", "GET /edges/a/history", "GET /stats", "GET /schema",
        "GET /subgraph", "GET /paths?source=a&target=b", "DELETE /nodes/a", "DELETE /edges/a",
    ):  # fmt: skip
        answer = nobody.call(line)
        assert problem(answer)[:2] == (403, "permission_denied"), line
    assert b"no claim tenant" in nobody.call("POST /bulk", {}).body


def test_tenants_do_not_meet(alice: Caller, mallory: Caller) -> None:
    alice.node("a")
    alice.node("b")
    name = alice.edge("a", "b")
    mallory.node("m")

    for line in (
        "GET /nodes/a", f"GET /edges/{name}", "GET /nodes/a/history", f"GET /edges/{name}/history",
        "GET /nodes/a/neighbours", "GET /paths?source=a&target=b", "GET /subgraph?root=a",
        "DELETE /nodes/a", f"DELETE /edges/{name}",
    ):  # fmt: skip
        assert mallory.call(line).status == 404, line
    assert ids(mallory.read("/nodes")) == ["m"]
    assert mallory.read("/edges")["items"] == []
    crossing = {"source": "m", "target": "a", "type": "depends"}
    assert mallory.call("POST /edges", crossing).status == 422
    assert mallory.call("POST /nodes/m/merge", {"duplicate": "a"}).status == 404
    assert ids(alice.read("/nodes")) == ["a", "b"]


def test_graphml_is_well_formed_whatever_the_names(alice: Caller) -> None:
    alice.node("a", name='<&"\x1f]]>', attributes={"k": ["ä", None]})
    alice.node("b")
    alice.edge("a", "b", attributes={"v": "<"})

    answer = alice.call("GET /subgraph?format=graphml")
    root = ET.fromstring(answer.body)

    keys = {key.get("id") for key in root.iter(f"{GRAPHML}key")}
    nodes = {node.get("id") for node in root.iter(f"{GRAPHML}node")}
    edges = list(root.iter(f"{GRAPHML}edge"))
    assert answer.header("content-type") == "application/graphml+xml"
    assert nodes == {"a", "b"}
    assert {(edge.get("source"), edge.get("target")) for edge in edges} == {("a", "b")}
    assert {data.get("key") for data in root.iter(f"{GRAPHML}data")} <= keys


def test_mermaid_labels_cannot_leave_their_quotes(alice: Caller) -> None:
    alice.node("a", name='x"] --> evil["\ny`<script>#')

    text = alice.call("GET /subgraph?format=mermaid").body.decode()

    assert text == 'flowchart LR\n  n0["x#quot;] --#gt; evil[#quot; y#96;#lt;script#gt;#35;"]\n'


def test_an_earlier_answer_can_be_had_again(alice: Caller) -> None:
    alice.node("a", name="old")
    alice.node("b")
    alice.edge("a", "b")
    moment = quote(datetime.now(UTC).isoformat(), safe="")
    before = alice.read("/subgraph")
    alice.call("PATCH /nodes/a", {"name": "new"})
    alice.call("DELETE /nodes/b")

    assert alice.read(f"/subgraph?as_of={moment}") == before
    assert alice.read(f"/nodes/a?as_of={moment}")["name"] == "old"
    assert ids(alice.read(f"/nodes/a/neighbours?as_of={moment}")) == ["b"]
    assert alice.call("GET /nodes/a?as_of=2020-01-01T00:00:00Z").status == 404


def test_stats_and_schema_are_told(alice: Caller) -> None:
    alice.node("a", attributes={"size": 1})
    alice.node("b")
    alice.edge("a", "b")

    stats, schema = alice.read("/stats"), alice.read("/schema")

    assert (stats["nodes"], stats["edges"]) == (2, 1)
    assert schema["edges"] == [
        {"type": "depends", "source_type": "thing", "target_type": "thing", "count": 1}
    ]


def test_changes_are_published_to_the_tenants_channels(alice: Caller, heard: Heard) -> None:
    alice.node("a")
    alice.node("b")
    heard.said.clear()

    alice.edge("a", "b")
    alice.call("DELETE /nodes/b")

    assert told(heard, "graph:acme:changes", "graph:acme:node:") == [
        ("graph:acme:changes", "created"),
        ("graph:acme:node:a", "created"),
        ("graph:acme:node:b", "created"),
        ("graph:acme:changes", "deleted"),
        ("graph:acme:node:b", "deleted"),
        ("graph:acme:changes", "deleted"),
        ("graph:acme:node:a", "deleted"),
        ("graph:acme:node:b", "deleted"),
    ]


def test_a_change_is_told_near_the_node_and_near_its_neighbours(
    alice: Caller, heard: Heard
) -> None:
    for name in "abc":
        alice.node(name)
    alice.edge("a", "b")
    heard.said.clear()

    alice.call("PATCH /nodes/a", {"name": "A"})
    alice.call("PATCH /nodes/c", {"name": "C"})
    alice.call("DELETE /nodes/a")

    assert told(heard, "graph:acme:near:") == [
        ("graph:acme:near:a", "updated"),
        ("graph:acme:near:b", "updated"),
        ("graph:acme:near:c", "updated"),
        ("graph:acme:near:a", "deleted"),
        ("graph:acme:near:a", "deleted"),
        ("graph:acme:near:b", "deleted"),
        ("graph:acme:near:b", "deleted"),
    ]


def told(heard: Heard, *prefixes: str) -> list[tuple[str, str]]:
    return [
        (channel, getattr(value, "change", ""))
        for channel, value in heard.said
        if channel.startswith(prefixes)
    ]


def test_a_large_load_is_told_as_one_sum(alice: Caller, heard: Heard) -> None:
    nodes = [{"entity_id": f"n{number}", "entity_type": "x"} for number in range(300)]

    assert alice.call("POST /bulk", {"nodes": nodes}).status == 200

    assert [channel for channel, _ in heard.said] == ["graph:acme:changes"]
