"""`/api/intelligence` through the whole gateway: statuses, headers, scopes, tenants, conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from nexus_gateway.server.settings import Settings
from nexus_gateway.studio.app import compose
from nexus_gateway.testing import Client, request
from tests.harness.entity_caller import ENTITIES, ROOM, Caller, document, fields, ids, tool

if TYPE_CHECKING:
    from pathlib import Path


def test_create_answers_201_with_its_place(alice: Caller) -> None:
    created = alice.post(ENTITIES, tool("a", tags=["x"], attributes={"k": [1, {"l": None}]}))

    assert created.status == 201
    assert created.header("location") == f"{ENTITIES}/a"
    got = alice.get(f"{ENTITIES}/a")
    assert (got.status, document(got)) == (200, document(created))
    assert document(got)["attributes"] == {"k": [1, {"l": None}]}
    assert got.header("etag") == created.header("etag")


def test_create_of_what_exists_answers_409(alice: Caller) -> None:
    alice.post(ENTITIES, tool("a"))

    again = alice.post(ENTITIES, tool("a"))

    assert (again.status, document(again)["code"]) == (409, "conflict")


def test_a_wrong_entity_answers_422_with_every_field(alice: Caller) -> None:
    wrong = {"entity_id": "a/b", "entity_type": "", "tags": ["x", "", 3], "attributes": []}

    answer = alice.post(ENTITIES, wrong)

    assert (answer.status, document(answer)["code"]) == (422, "validation_error")
    assert set(fields(answer)) == {
        "entity_id",
        "entity_type",
        "tags[1]",
        "tags[2]",
        "attributes",
    }


@pytest.mark.parametrize(
    "wrong",
    [
        tool("search"),
        tool("a\n"),
        tool("a", tags=["x\u0000"]),
        tool("a", attributes={"k": msgspec.json.decode(b"[" * 40 + b"]" * 40)}),
        tool("a" * 129),
        tool("a", tags=[f"t{number}" for number in range(65)]),
    ],
)
def test_what_a_schema_cannot_say_is_refused_too(alice: Caller, wrong: dict[str, object]) -> None:
    assert alice.post(ENTITIES, wrong).status == 422


def test_what_is_unknown_answers_404(alice: Caller) -> None:
    for answer in (
        alice.get(f"{ENTITIES}/a"),
        alice.get(f"{ROOM}/recommendations/a"),
        alice.send(request(f"PATCH {ENTITIES}/a").json({})),
        alice.send(request(f"DELETE {ENTITIES}/a")),
    ):
        assert (answer.status, document(answer)["code"]) == (404, "not_found")


def test_put_creates_with_201_and_replaces_with_200(alice: Caller) -> None:
    assert alice.put("a", {"entity_type": "tool"}).status == 201
    assert alice.put("a", tool("a", name="A")).status == 200
    assert document(alice.get(f"{ENTITIES}/a"))["name"] == "A"


def test_put_of_another_id_answers_422(alice: Caller) -> None:
    answer = alice.put("a", tool("b"))

    assert (answer.status, fields(answer)) == (422, ["entity_id"])


def test_patch_merges(alice: Caller) -> None:
    alice.post(ENTITIES, tool("a", attributes={"k": 1, "l": 2}))

    patch = request(f"PATCH {ENTITIES}/a").body(
        b'{"attributes": {"k": null, "m": 3}}', "application/merge-patch+json"
    )
    answer = alice.send(patch)

    assert (answer.status, document(answer)["attributes"]) == (200, {"l": 2, "m": 3})


def test_delete_answers_204_and_then_404(alice: Caller) -> None:
    alice.post(ENTITIES, tool("a"))

    first = alice.send(request(f"DELETE {ENTITIES}/a"))
    second = alice.send(request(f"DELETE {ENTITIES}/a"))

    assert (first.status, first.body, second.status) == (204, b"", 404)


def test_if_match_guards_a_change(alice: Caller) -> None:
    etag = alice.put("a", {"entity_type": "tool"}).header("etag") or ""
    newer = alice.put("a", {"entity_type": "other"}, if_match=etag)

    stale = alice.put("a", {"entity_type": "third"}, if_match=etag)
    weak = alice.put("a", {"entity_type": "third"}, if_match=f'W/{newer.header("etag")}, "x"')
    absent = alice.put("b", {"entity_type": "tool"}, if_match="*")

    assert (newer.status, weak.status) == (200, 200)
    for answer in (stale, absent):
        assert (answer.status, document(answer)["code"]) == (412, "precondition_failed")


def test_if_none_match_star_only_creates(alice: Caller) -> None:
    assert alice.put("a", {"entity_type": "tool"}, if_none_match="*").status == 201
    assert alice.put("a", {"entity_type": "tool"}, if_none_match="*").status == 412


def test_malformed_tags_are_refused_before_an_entity_is_looked_for(alice: Caller) -> None:
    alice.put("a", {"entity_type": "tool", "aliases": ["other"]})

    for entity_id in ("a", "other", "none"):
        answer = alice.get(f"{ENTITIES}/{entity_id}", if_none_match="0")
        assert answer.status == 400, entity_id


def test_if_none_match_of_what_is_known_answers_304(alice: Caller) -> None:
    etag = alice.put("a", {"entity_type": "tool"}).header("etag") or ""
    asked = request(f"GET {ENTITIES}/a").header("if-none-match", f'"x", {etag}')

    known = alice.send(asked)
    alice.put("a", {"entity_type": "other"})
    changed = alice.send(asked)

    assert (known.status, known.body, known.header("etag")) == (304, b"", etag)
    assert changed.status == 200


@pytest.mark.parametrize("header", ["if_match", "if_none_match"])
@pytest.mark.parametrize("value", ["abc", "", ",", '"a" "b"', '"a b"', '*, "a"', 'w/"a"'])
def test_a_header_that_is_no_entity_tag_answers_400(alice: Caller, header: str, value: str) -> None:
    answer = alice.put("a", {"entity_type": "tool"}, **{header: value})

    assert (answer.status, fields(answer)) == (400, [header.replace("_", "-")])


@pytest.mark.parametrize("value", ["", "abc", '"a" "b"'])
def test_if_none_match_of_a_read_is_checked_too(alice: Caller, value: str) -> None:
    alice.put("a", {"entity_type": "tool"})
    answer = alice.send(request(f"GET {ENTITIES}/a").header("if-none-match", value))

    assert (answer.status, fields(answer)) == (400, ["if-none-match"])


def test_if_none_match_of_a_tag_makes_no_sense_for_a_change(alice: Caller) -> None:
    answer = alice.put("a", {"entity_type": "tool"}, if_none_match='"1"')

    assert (answer.status, fields(answer)) == (400, ["if-none-match"])


def test_lists_go_on_by_cursor(alice: Caller) -> None:
    alice.post(f"{ENTITIES}:batch", {"items": [tool(f"e{number}") for number in range(5)]})

    first = alice.get(f"{ENTITIES}?limit=3")
    second = alice.get(f"{ENTITIES}?limit=3&cursor={document(first)['next_cursor']}")

    assert (ids(first), ids(second)) == (["e0", "e1", "e2"], ["e3", "e4"])
    assert document(second)["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "field"),
    [("cursor=abc", "cursor"), ("limit=0", "limit"), ("limit=x", "limit"), ("tag=", "tag")],
)
def test_a_wrong_query_answers_400_with_its_field(alice: Caller, query: str, field: str) -> None:
    answer = alice.get(f"{ENTITIES}?{query}")

    assert (answer.status, fields(answer)) == (400, [field])


def test_a_batch_tells_what_became_of_it(alice: Caller) -> None:
    answer = alice.post(f"{ENTITIES}:batch", {"items": [tool("a"), tool("b")]})

    result = document(answer)
    assert answer.status == 200
    assert (result["created"], result["updated"], result["unchanged"]) == (2, 0, 0)


def test_a_batch_with_one_wrong_entity_keeps_none(alice: Caller) -> None:
    answer = alice.post(f"{ENTITIES}:batch", {"items": [tool("a"), {"entity_id": "b"}]})

    assert (answer.status, fields(answer)) == (422, ["items[1].entity_type"])
    assert ids(alice.get(ENTITIES)) == []


def test_the_report_has_all_sections(alice: Caller) -> None:
    alice.post(ENTITIES, tool("a", tags=["x"]))

    report = document(alice.get(f"{ROOM}/comprehensive-report"))

    assert report["totals"] == {"entities": 1, "types": 1, "tags": 1}
    assert report["by_type"] == [{"value": "tool", "count": 1}]
    assert report["degraded"] == []
    assert {"generated_at", "by_tag", "growth", "newest"} <= report.keys()


def test_each_tenant_has_its_own_entities(client: Client, settings: Settings) -> None:
    scopes = "intelligence:read intelligence:write"
    one = Caller(client, settings, scopes, "one")
    two = Caller(client, settings, scopes, "two")

    one.post(ENTITIES, tool("a"))

    assert two.get(f"{ENTITIES}/a").status == 404
    assert two.post(ENTITIES, tool("a")).status == 201


def test_scopes_are_asked_for(client: Client, settings: Settings) -> None:
    reader = Caller(client, settings, "intelligence:read", None)
    nobody = request(f"GET {ENTITIES}").reply(client)

    assert nobody.status == 401
    assert reader.get(ENTITIES).status == 200
    for answer in (reader.post(ENTITIES, tool("a")), reader.put("a", {"entity_type": "x"})):
        assert (answer.status, document(answer)["code"]) == (403, "permission_denied")


def test_the_rate_limit_counts_each_subject(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, log_level="error", rate_limit="2/min")
    with Client(compose(settings)) as client:
        alice = Caller(client, settings, "intelligence:read", None)
        statuses = [alice.get(ENTITIES).status for _ in range(3)]
        health = request("GET /health").reply(client)

    assert statuses == [200, 200, 429]
    assert health.status == 200


def test_a_database_that_fails_answers_503(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "own", log_level="error")
    with Client(compose(settings)) as opened:
        caller = Caller(opened, settings, "*", None)
        caller.post(ENTITIES, tool("a"))
        (settings.data_dir / "nexus.db").write_bytes(b"x" * 8192)
        (settings.data_dir / "nexus.db-wal").write_bytes(b"")

        answer = caller.get(f"{ENTITIES}/search?q=word")

    assert (answer.status, document(answer)["code"]) == (503, "database_error")
    assert answer.header("retry-after") == "1"
