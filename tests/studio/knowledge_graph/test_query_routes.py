"""Queries over HTTP: both paths, both methods, what is refused and how it is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from nexus_gateway.testing import request
from tests.studio.knowledge_graph.test_routes import problem

if TYPE_CHECKING:
    from nexus_gateway.testing import Answer, Client
    from tests.harness.graph_caller import Caller

HERE = "/api/knowledge-graph/query"
THERE = "/api/intelligence/knowledge-graph/query"


class Answered(msgspec.Struct):
    columns: list[str]
    rows: list[list[object]]
    truncated: bool
    cost: dict[str, int]


@pytest.fixture
def acme(alice: Caller, mallory: Caller) -> Caller:
    """Make a small graph, and the same ids with another's names beside it."""
    for who, mark in ((alice, ""), (mallory, "secret ")):
        for name in ("a", "b", "c"):
            who.node(name, name=f"{mark}{name.upper()}", attributes={"size": ord(name) - 96})
        who.edge("a", "b")
        who.edge("b", "c")
    return alice


def ask(caller: Caller, text: str, **more: object) -> Answer:
    return caller.call("POST /query", {"query": text, **more})


def answered(answer: Answer) -> Answered:
    assert answer.status == 200, answer.body
    return msgspec.json.decode(answer.body, type=Answered)


def test_a_query_is_answered_by_columns_and_rows(acme: Caller) -> None:
    found = answered(
        ask(
            acme,
            "MATCH (a {entity_id: $id})-[:depends*1..2]->(b) RETURN b.name AS name, b.size"
            " ORDER BY name",
            parameters={"id": "a"},
        )
    )

    assert (found.columns, found.rows) == (["name", "b.size"], [["B", 2], ["C", 3]])
    assert not found.truncated
    assert 0 < found.cost["work"] < found.cost["cap"]


@pytest.mark.parametrize("method", ["POST", "QUERY"])
@pytest.mark.parametrize(
    ("path", "scope"), [(HERE, "knowledge-graph:read"), (THERE, "intelligence:read")]
)
def test_both_methods_on_both_paths_answer_the_same(
    acme: Caller, client: Client, method: str, path: str, scope: str
) -> None:
    text = {"query": "MATCH (n) RETURN count(n) AS total"}
    asked = request(f"{method} {path}").json(text)

    allowed = client.send(asked.bearer(acme.token(scope)))
    refused = client.send(asked.bearer(acme.token("metrics:read")))

    assert answered(allowed).rows == [[3]]
    assert allowed.header("accept-query") == "application/json"
    assert problem(refused)[:2] == (403, "permission_denied")


def test_a_node_is_answered_as_the_api_has_it(acme: Caller) -> None:
    node = acme.read("/nodes/a")

    found = answered(ask(acme, "MATCH (n {entity_id: 'a'}) RETURN n"))

    assert found.rows == [[node]]


def test_lines_have_the_head_first_and_a_row_each(acme: Caller) -> None:
    answer = acme.call(
        "POST /query",
        {"query": "MATCH (n) RETURN n.entity_id, n.size ORDER BY n.size", "max_rows": 2},
        headers={"accept": "application/x-ndjson"},
    )

    head, *rows = [msgspec.json.decode(line) for line in answer.body.splitlines()]
    assert answer.header("content-type") == "application/x-ndjson"
    assert (head["columns"], head["truncated"]) == (["n.entity_id", "n.size"], True)
    assert rows == [["a", 1], ["b", 2]]


def test_more_rows_than_wanted_are_cut_and_told(acme: Caller) -> None:
    found = answered(ask(acme, "MATCH (n) RETURN n.name ORDER BY n.name", max_rows=2))

    assert (found.rows, found.truncated) == ([["A"], ["B"]], True)


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("CREATE (n) RETURN n", "CREATE"),
        ("MATCH (n) SET n.name = 'x'", "SET"),
        ("MATCH (n) DETACH DELETE n", "DETACH DELETE"),
        ("match (n) remove n.name", "REMOVE"),
        ("MERGE (n {entity_id: 'a'})", "MERGE"),
        ("CALL db.labels()", "CALL"),
        ("CALL { CREATE (n) } RETURN 1", "CALL"),
        ("LOAD CSV FROM 'file:///etc/passwd' AS line RETURN line", "LOAD CSV"),
        ("MATCH (n) FOREACH (x IN [1] | SET n.x = 1)", "FOREACH"),
        ("MATCH (n) RETURN n; MATCH (n) DELETE n", None),
        ("DROP CONSTRAINT x", "DROP"),
    ],
)
def test_a_query_that_would_change_something_is_refused_by_its_clause(
    acme: Caller, text: str, clause: str | None
) -> None:
    answer = ask(acme, text)

    status, code, _ = problem(answer)
    if clause is None:
        assert (status, code) == (400, "validation_error")
    else:
        assert (status, code) == (403, "permission_denied")
        assert f"a query reads only: {clause} is refused".encode() in answer.body
    assert answered(ask(acme, "MATCH (n) RETURN count(n)")).rows == [[3]]


def test_what_cannot_be_read_is_refused_with_its_place(acme: Caller) -> None:
    answer = ask(acme, "MATCH (n)\nRETRUN n")

    assert problem(answer) == (400, "validation_error", ["query"])
    assert b"line 2, column 1: expected WHERE, MATCH" in answer.body
    assert b"found 'RETRUN'" in answer.body


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"query": ""}, 422, "query"),
        ({"query": "x" * 16_001}, 422, "query"),
        ({}, 422, "query"),
        ({"query": "RETURN 1", "timeout": 0.5}, 422, "timeout"),
        ({"query": "RETURN 1", "timeout": 11}, 422, "timeout"),
        ({"query": "RETURN 1", "max_rows": 0}, 422, "max_rows"),
        ({"query": "RETURN 1", "max_rows": 100_001}, 422, "max_rows"),
        ({"query": "RETURN 1", "valid_at": "yesterday"}, 422, "valid_at"),
        ({"query": "RETURN $x"}, 422, "parameters.x"),
        ({"query": "MATCH (n) RETURN n LIMIT $x", "parameters": {"x": -1}}, 422, "parameters.x"),
        (
            {"query": "MATCH (n) WHERE n.created_at > $x RETURN n", "parameters": {"x": "now"}},
            422,
            "parameters.x",
        ),
    ],
)
def test_a_field_that_is_wrong_is_named(
    acme: Caller, body: dict[str, object], status: int, field: str
) -> None:
    answer = acme.call("POST /query", body)

    assert problem(answer) == (status, "validation_error", [field])


def test_a_field_that_is_not_known_is_refused(acme: Caller) -> None:
    answer = ask(acme, "RETURN 1", valid_att="2026-01-01T00:00:00Z")

    assert problem(answer)[:2] == (422, "validation_error")


def test_a_query_that_is_too_dear_is_refused_with_its_estimate(acme: Caller) -> None:
    answer = ask(acme, "UNWIND range(1, 100000) AS a UNWIND range(1, 100000) AS b RETURN count(*)")

    details = msgspec.json.decode(answer.body)["details"]
    assert answer.status == 422
    assert int(details[0]["message"]) > 10_000_000_000
    assert details[0]["limit"] == "<= 10000000"


def test_a_query_that_runs_on_stops_at_its_time(acme: Caller) -> None:
    slow = (
        "UNWIND range(1, 2000) AS a UNWIND range(1, 2000) AS b"
        " RETURN max(size(replace($text, 'a', 'b')))"
    )

    answer = ask(acme, slow, timeout=1, parameters={"text": "a" * 10_000})

    assert problem(answer)[:2] == (504, "deadline_exceeded")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("RETURN 1 / 0", "divides by zero"),
        ("RETURN 9223372036854775807 + 1", "larger than 64 bits"),
    ],
)
def test_what_cannot_be_evaluated_is_the_callers_fault(
    acme: Caller, text: str, reason: str
) -> None:
    answer = ask(acme, text)

    assert problem(answer)[:2] == (422, "validation_error")
    assert reason.encode() in answer.body


def test_a_token_without_a_tenant_reads_nothing(nobody: Caller) -> None:
    answer = ask(nobody, "MATCH (n) RETURN n")

    assert problem(answer)[:2] == (403, "permission_denied")
