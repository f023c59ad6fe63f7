"""Ingests through the gateway, over both databases: kept, brought in, refused by line, repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from nexus_gateway.server.settings import Settings
from nexus_gateway.server.tokens import mint
from nexus_gateway.studio.app import compose
from nexus_gateway.studio.knowledge_graph.ingest import lines
from nexus_gateway.studio.knowledge_graph.ingest.models import Ingest, IngestPage, Refusals
from nexus_gateway.testing import Answer, Client, request
from tests.harness.tokens import TOKEN_LIFETIME_S
from tests.harness.waiting import Polling

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROOM = "/api/knowledge-graph"
NDJSON = "application/x-ndjson"
SCOPES = ("knowledge-graph:read", "knowledge-graph:write")


class Caller:
    """Ingests as somebody of a tenant."""

    def __init__(self, client: Client, settings: Settings, tenant: str | None = "acme") -> None:
        self._client = client
        self._token = mint(
            settings.secret() or b"", "alice", SCOPES, TOKEN_LIFETIME_S, tenant=tenant
        )

    def call(self, line: str, text: bytes = b"", kind: str = NDJSON, **headers: str) -> Answer:
        method, _, target = line.partition(" ")
        asked = request(f"{method} {ROOM}{target}").bearer(self._token)
        for name, value in headers.items():
            asked = asked.header(name.replace("_", "-"), value)
        return self._client.send(asked.body(text, kind) if text else asked)

    def accept(self, text: bytes, kind: str = NDJSON, **headers: str) -> Ingest:
        answer = self.call("POST /ingest", text, kind, **headers)
        assert answer.status == 202, answer.body
        told = msgspec.json.decode(answer.body, type=Ingest)
        assert answer.header("location") == f"{ROOM}/ingest/{told.job_id}"
        return told

    def done(self, told: Ingest) -> Ingest:
        polling = Polling("the ingest has ended")
        while told.state in {"queued", "running"}:
            polling.pause()
            answer = self.call(f"GET /ingest/{told.job_id}")
            assert answer.status == 200, answer.body
            told = msgspec.json.decode(answer.body, type=Ingest)
        return told

    def refusals(self, told: Ingest, query: str = "") -> Refusals:
        answer = self.call(f"GET /ingest/{told.job_id}/refusals{query}")
        return msgspec.json.decode(answer.body, type=Refusals)


@pytest.fixture
def settings(where: Path | str, tmp_path: Path) -> Settings:
    url = where if isinstance(where, str) else f"sqlite:///{where}"
    return Settings(data_dir=tmp_path, log_level="error", database_url=url, rate_limit="")


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with Client(compose(settings)) as opened:
        yield opened


@pytest.fixture
def alice(client: Client, settings: Settings) -> Caller:
    return Caller(client, settings)


def text(*items: object) -> bytes:
    return b"\n".join(
        item if isinstance(item, bytes) else msgspec.json.encode(item) for item in items
    )


def node(name: str, **more: object) -> dict[str, object]:
    return {"entity_id": name, "entity_type": "thing", **more}


def edge(source: str, target: str, **more: object) -> dict[str, object]:
    return {"source": source, "target": target, "type": "depends", **more}


def test_lines_become_nodes_and_edges_whatever_their_order(alice: Caller) -> None:
    told = alice.done(alice.accept(text(edge("a", "b"), node("a"), b"", node("b"))))
    around = alice.call("GET /nodes/a/neighbours")

    assert (told.state, told.progress.lines, told.progress.done) == ("done", 3, 3)
    assert (told.progress.nodes.created, told.progress.edges.created) == (2, 1)
    assert b'"entity_id":"b"' in around.body


def test_a_document_of_nodes_and_edges_is_taken_too(alice: Caller) -> None:
    whole = b'{"edges": [{"source": "a",\n "target": "b", "type": "is"}],\n "nodes": [%s, %s]}'
    document = whole % (msgspec.json.encode(node("a")), msgspec.json.encode(node("b")))

    told = alice.done(alice.accept(document, "application/json"))

    assert (told.progress.nodes.created, told.progress.edges.created) == (2, 1)


def test_each_bad_line_is_refused_for_itself_with_its_reason(alice: Caller) -> None:
    good = [node("a"), node("b"), edge("a", "b")]
    bad = [b"{", node("c", tags=7), edge("a", "nowhere"), [1], edge("a", "b", type="no type")]
    told = alice.done(alice.accept(text(*good, *bad)))

    first = alice.refusals(told, "?limit=3")
    rest = alice.refusals(told, f"?after={first.next_after}")

    assert (told.state, told.progress.refused, told.progress.nodes.created) == ("done", 5, 2)
    assert [one.line for one in (*first.items, *rest.items)] == [4, 5, 6, 7, 8]
    reasons = [one.reason for one in (*first.items, *rest.items)]
    assert reasons[0].startswith("not JSON")
    assert "tags" in reasons[1]
    assert reasons[2] == "there is no node 'nowhere'"
    assert rest.next_after is None


def test_an_ingest_whose_lines_are_all_refused_has_failed_and_is_retried(alice: Caller) -> None:
    told = alice.done(alice.accept(text(edge("a", "b"))))
    alice.done(alice.accept(text(node("a"), node("b"))))

    again = alice.call(f"POST /ingest/{told.job_id}/retry")
    done = alice.done(msgspec.json.decode(again.body, type=Ingest))

    assert (told.state, told.progress.lines, told.progress.refused) == ("failed", 1, 1)
    assert told.error == "all 1 lines were refused"
    assert (done.state, done.progress.edges.created) == ("done", 1)


def test_refused_lines_are_given_again_once_what_they_lacked_is_there(alice: Caller) -> None:
    told = alice.done(alice.accept(text(node("a"), edge("a", "late"))))
    alice.done(alice.accept(text(node("late"))))

    answer = alice.call(f"POST /ingest/{told.job_id}/retry")
    again = alice.done(msgspec.json.decode(answer.body, type=Ingest))

    assert answer.status == 202
    assert answer.header("location") == f"{ROOM}/ingest/{again.job_id}"
    assert (again.progress.edges.created, again.progress.refused) == (1, 0)
    refused = alice.call(f"POST /ingest/{again.job_id}/retry")
    assert (refused.status, msgspec.json.decode(refused.body)["code"]) == (409, "conflict")


def test_an_ingest_that_has_not_ended_is_not_retried(alice: Caller) -> None:
    told = alice.accept(text(*(node(f"n{number}") for number in range(2000))))

    # Whether it has ended meanwhile or not, there is nothing to retry.
    answer = alice.call(f"POST /ingest/{told.job_id}/retry")

    assert (answer.status, msgspec.json.decode(answer.body)["code"]) == (409, "conflict")


def test_the_same_lines_change_nothing_the_second_time(alice: Caller) -> None:
    lines_ = text(node("a"), node("b"), edge("a", "b"))
    alice.done(alice.accept(lines_))
    told = alice.done(alice.accept(lines_))

    assert (told.progress.nodes.unchanged, told.progress.edges.unchanged) == (2, 1)


def test_a_key_makes_a_repeated_ingest_the_same_and_other_content_a_conflict(
    alice: Caller,
) -> None:
    first = alice.done(alice.accept(text(node("a")), idempotency_key="load-1"))
    second = alice.accept(text(node("a")), idempotency_key="load-1")
    other = alice.call("POST /ingest", text(node("b")), idempotency_key="load-1")

    assert second.job_id == first.job_id
    assert other.status == 409


def test_lines_beyond_a_part_are_in_the_graph_as_well(
    alice: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "PART", 200)
    nodes = [node(f"n{number}") for number in range(50)]
    edges = [edge(f"n{number}", f"n{number + 1}") for number in range(49)]

    told = alice.done(alice.accept(text(*edges, *nodes, b"{")))

    assert (told.progress.nodes.created, told.progress.edges.created) == (50, 49)
    assert [one.line for one in alice.refusals(told).items] == [100]


@pytest.mark.parametrize(
    ("kind", "content", "status", "code"),
    [
        ("text/plain", b"x", 415, "unsupported_media_type"),
        (NDJSON, b"\n \n", 422, "validation_error"),
        ("application/json", b"{", 400, "validation_error"),
        ("application/json", b'{"nodes": 7}', 422, "validation_error"),
    ],
)
def test_what_is_no_ingest_is_refused(
    alice: Caller, kind: str, content: bytes, status: int, code: str
) -> None:
    answer = alice.call("POST /ingest", content, kind)

    assert (answer.status, msgspec.json.decode(answer.body)["code"]) == (status, code)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (NDJSON, msgspec.json.encode(node("a"))),
        ("application/json", msgspec.json.encode({"nodes": [node("a")]})),
    ],
)
def test_a_byte_order_mark_before_an_ingest_is_skipped(
    alice: Caller, kind: str, content: bytes
) -> None:
    answer = alice.call("POST /ingest", b"\xef\xbb\xbf" + content, kind)
    told = alice.done(msgspec.json.decode(answer.body, type=Ingest))

    assert (told.progress.nodes.created, told.progress.refused) == (1, 0)


def test_another_tenant_sees_nothing_of_an_ingest(
    alice: Caller, client: Client, settings: Settings
) -> None:
    mallory, nobody = Caller(client, settings, "evil"), Caller(client, settings, None)
    told = alice.done(alice.accept(text(node("a"), b"{")))

    for rest in ("", "/refusals", "/events"):
        assert mallory.call(f"GET /ingest/{told.job_id}{rest}").status == 404
    assert mallory.call(f"POST /ingest/{told.job_id}/retry").status == 404
    assert mallory.call("GET /nodes/a").status == 404
    assert nobody.call("POST /ingest", text(node("a"))).status == 403


def test_ingests_are_listed_the_newest_first(
    alice: Caller, client: Client, settings: Settings
) -> None:
    made = [alice.done(alice.accept(text(node(name)))).job_id for name in "abc"]

    first = pages(alice.call("GET /ingest?limit=2"))
    rest = pages(alice.call(f"GET /ingest?before={first.next_before}&state=done"))

    assert [one.job_id for one in (*first.items, *rest.items)] == made[::-1]
    assert rest.next_before is None
    assert pages(Caller(client, settings, "evil").call("GET /ingest")).items == ()


def pages(answer: Answer) -> IngestPage:
    return msgspec.json.decode(answer.body, type=IngestPage)


def test_an_ingest_is_followed_until_it_is_done(alice: Caller) -> None:
    told = alice.accept(text(*(node(f"n{number}") for number in range(2500))))

    answer = alice.call(f"GET /ingest/{told.job_id}/events")
    events = [
        msgspec.json.decode(line.removeprefix(b"data: "), type=Ingest)
        for line in answer.body.splitlines()
        if line.startswith(b"data: ")
    ]

    assert (answer.header("content-type") or "").startswith("text/event-stream")
    assert events[-1].state == "done"
    done = [one.progress.done for one in events]
    assert done == sorted(done)
    assert done[-1] == 2500
