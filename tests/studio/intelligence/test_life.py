"""The life of an entity over HTTP: keys, aliases, provenance, deletion, restoring, history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from nexus_gateway.testing import request
from tests.harness.entity_caller import (
    ENTITIES,
    NDJSON,
    ROOM,
    Caller,
    document,
    fields,
    ids,
    items,
    rows,
    tool,
)

if TYPE_CHECKING:
    from nexus_gateway.server.settings import Settings
    from nexus_gateway.testing import Answer, Client


def restore(caller: Caller, entity_id: str) -> Answer:
    return caller.send(request(f"POST {ENTITIES}/{entity_id}/restore"))


def history(caller: Caller, entity_id: str, query: str = "") -> Answer:
    return caller.get(f"{ENTITIES}/{entity_id}/history{query}")


def told(answer: Answer) -> list[tuple[object, object, object]]:
    return [(item["revision"], item["change"], item["changed"]) for item in items(answer)]


# --- keys ---


def test_a_draft_with_a_key_is_the_same_entity_each_time(alice: Caller) -> None:
    draft = {"key": "4711", "source": "crm", "entity_type": "customer", "name": "Ann"}

    first = alice.post(ENTITIES, draft)
    again = alice.post(ENTITIES, draft)
    changed = alice.post(ENTITIES, {**draft, "name": "Bob"})
    other = alice.post(ENTITIES, {**draft, "source": "erp"})

    assert (first.status, again.status, changed.status, other.status) == (201, 200, 200, 201)
    assert document(first) == document(again)
    assert document(changed)["entity_id"] == document(first)["entity_id"]
    assert (document(changed)["revision"], document(changed)["name"]) == (2, "Bob")
    assert document(other)["entity_id"] != document(first)["entity_id"]


def test_a_draft_without_id_and_key_is_refused(alice: Caller) -> None:
    answer = alice.post(ENTITIES, {"entity_type": "tool"})

    assert answer.status == 422
    assert "entity_id or key" in str(document(answer))


# --- aliases ---


def test_an_alias_leads_to_its_entity_with_308(alice: Caller) -> None:
    alice.post(ENTITIES, tool("a", aliases=["b", "c", "a", "b"]))

    for answer in (
        alice.get(f"{ENTITIES}/b"),
        alice.put("b", {"entity_type": "tool"}),
        alice.send(request(f"PATCH {ENTITIES}/c").json({})),
        alice.delete("c"),
    ):
        assert (answer.status, answer.header("location")) == (308, f"{ENTITIES}/a")
    assert history(alice, "b").header("location") == f"{ENTITIES}/a"
    assert document(alice.get(f"{ENTITIES}/a"))["aliases"] == ["b", "c"]
    assert document(alice.get(f"{ROOM}/recommendations/b"))["entity_id"] == "a"
    assert ids(alice.get(f"{ENTITIES}/search?q=c")) == ["a"]


def test_an_alias_that_is_taken_answers_409(alice: Caller) -> None:
    alice.post(ENTITIES, tool("a", aliases=["b"]))
    alice.post(ENTITIES, tool("z"))

    for answer in (
        alice.post(ENTITIES, tool("b")),
        alice.post(ENTITIES, tool("c", aliases=["b"])),
        alice.post(ENTITIES, tool("c", aliases=["z"])),
        alice.put("z", {"entity_type": "tool", "aliases": ["b"]}),
        alice.send(request(f"PATCH {ENTITIES}/z").json({"aliases": ["a"]})),
        alice.post(f"{ENTITIES}:batch", {"items": [tool("b")]}),
    ):
        assert (answer.status, document(answer)["code"]) == (409, "conflict")
    assert ids(alice.get(ENTITIES)) == ["a", "z"]


def test_aliases_come_and_go_with_their_entity(alice: Caller) -> None:
    alice.post(ENTITIES, tool("a", aliases=["b", "c"]))

    alice.send(request(f"PATCH {ENTITIES}/a").json({"aliases": ["c"], "source": "crm"}))
    freed = alice.post(ENTITIES, tool("b"))
    alice.delete("a")
    gone = alice.get(f"{ENTITIES}/c")
    alice.post(ENTITIES, tool("c"))
    taken = restore(alice, "a")
    alice.delete("c")
    restored = restore(alice, "a")

    assert (freed.status, gone.status, taken.status, restored.status) == (201, 404, 409, 200)
    assert document(restored)["source"] == "crm"
    assert alice.get(f"{ENTITIES}/c").status == 308


def test_a_reserved_alias_is_refused(alice: Caller) -> None:
    assert alice.post(ENTITIES, tool("a", aliases=["search"])).status == 422


# --- provenance ---


def test_an_entity_says_where_it_is_from_and_who_changed_it(alice: Caller, root: Caller) -> None:
    alice.post(ENTITIES, tool("a", source="debian"))

    same = root.put("a", tool("a", source="debian"))
    other = root.put("a", tool("a", source="debian", name="A"))

    assert (document(same)["created_by"], document(same)["updated_by"]) == ("alice", "alice")
    assert (document(other)["created_by"], document(other)["updated_by"]) == ("alice", "root")
    assert document(other)["source"] == "debian"


# --- deletion ---


def test_a_deleted_entity_can_be_restored(alice: Caller) -> None:
    alice.post(ENTITIES, tool("a", tags=["x"], attributes={"text": "needle"}))
    alice.post(ENTITIES, tool("b"))

    alice.delete("a")
    missing = alice.get(f"{ENTITIES}/a")
    restored = restore(alice, "a")

    assert (missing.status, restored.status) == (404, 200)
    assert (document(restored)["revision"], document(restored)["tags"]) == (3, ["x"])
    assert ids(alice.get(f"{ENTITIES}/search?q=needle")) == ["a"]
    assert ids(alice.get(ENTITIES)) == ["a", "b"]
    assert alice.get(f"{ENTITIES}/a").header("etag") == restored.header("etag")


def test_what_is_not_deleted_cannot_be_restored(alice: Caller) -> None:
    alice.post(ENTITIES, tool("a"))

    assert restore(alice, "a").status == 409
    assert restore(alice, "b").status == 404


def test_a_new_entity_takes_the_place_of_a_deleted_one(alice: Caller) -> None:
    alice.post(ENTITIES, tool("a", name="old"))
    alice.delete("a")

    again = alice.post(ENTITIES, tool("a", name="new"))

    assert (again.status, document(again)["revision"]) == (201, 1)
    assert restore(alice, "a").status == 409
    assert told(history(alice, "a")) == [
        (1, "created", []),
        (2, "deleted", []),
        (1, "created", []),
    ]


def test_to_purge_takes_the_scope_and_forgets_all(alice: Caller, root: Caller) -> None:
    alice.post(ENTITIES, tool("a", tags=["x"]))
    etag = alice.put("a", tool("a", name="A")).header("etag") or ""
    alice.post(ENTITIES, tool("b"))
    alice.delete("b")

    refused = alice.delete("a", "?purge=true")
    stale = root.delete("a", "?purge=true", if_match='"1-1"')
    done = [root.delete("a", "?purge=true", if_match=etag), root.delete("b", "?purge=true")]
    again = root.delete("a", "?purge=true")

    assert (refused.status, document(refused)["code"]) == (403, "permission_denied")
    assert stale.status == 412
    assert [answer.status for answer in done] == [204, 204]
    assert again.status == 404
    assert history(root, "a").status == history(root, "b").status == 404
    report = document(root.get(f"{ROOM}/comprehensive-report"))
    assert report["totals"] == {"entities": 0, "types": 0, "tags": 0}


# --- history ---


def test_history_tells_who_changed_what(alice: Caller, root: Caller) -> None:
    alice.post(ENTITIES, tool("a", attributes={"k": 1, "l": 2, "n": None}))
    root.put("a", tool("a", name="A", attributes={"k": 1, "l": 3, "m": 4}))
    alice.delete("a")
    restore(root, "a")

    found = items(history(alice, "a"))

    assert told(history(alice, "a")) == [
        (4, "restored", []),
        (3, "deleted", []),
        (2, "updated", ["name", "attributes.l", "attributes.n", "attributes.m"]),
        (1, "created", []),
    ]
    assert [item["by"] for item in found] == ["root", "alice", "root", "alice"]
    states = [msgspec.convert(item["entity"], dict[str, object]) for item in found]
    assert [state["name"] for state in states] == ["A", "A", "A", None]
    assert states[3]["attributes"] == {"k": 1, "l": 2, "n": None}
    assert f'"{found[0]["version"]}"' == alice.get(f"{ENTITIES}/a").header("etag")


def test_history_goes_on_by_cursor_and_gives_one_revision(alice: Caller) -> None:
    for number in range(5):
        alice.put("a", tool("a", name=str(number)))

    first = history(alice, "a", "?limit=2")
    second = history(alice, "a", f"?limit=2&cursor={document(first)['next_cursor']}")
    third = history(alice, "a", f"?limit=2&cursor={document(second)['next_cursor']}")
    one = history(alice, "a", "?revision=3")

    assert [row[0] for row in told(first) + told(second) + told(third)] == [5, 4, 3, 2, 1]
    assert document(third)["next_cursor"] is None
    assert told(first)[1] == (4, "updated", ["name"])
    assert (told(one), document(one)["next_cursor"]) == ([(3, "updated", ["name"])], None)
    assert history(alice, "a", "?revision=9").status == 404
    assert history(alice, "b", "?revision=1").status == 404
    assert history(alice, "b").status == 404
    wrong = history(alice, "a", "?cursor=abc")
    assert (wrong.status, fields(wrong)) == (400, ["cursor"])


def test_tenants_do_not_see_aliases_history_or_deleted_entities(
    client: Client, settings: Settings
) -> None:
    one = Caller(client, settings, "*", "one")
    two = Caller(client, settings, "*", "two")
    one.post(ENTITIES, tool("a", aliases=["b"]))
    one.post(ENTITIES, tool("c"))
    one.delete("c")

    assert two.get(f"{ENTITIES}/b").status == 404
    assert history(two, "a").status == history(two, "c").status == 404
    assert restore(two, "c").status == 404
    assert two.delete("c", "?purge=true").status == 404
    assert two.post(ENTITIES, tool("b")).status == 201
    assert one.get(f"{ENTITIES}/b").status == 308
    assert restore(one, "c").status == 200


# --- lists as NDJSON ---


def test_a_list_is_streamed_as_ndjson(alice: Caller) -> None:
    alice.post(f"{ENTITIES}:batch", {"items": [tool(f"e{number}") for number in range(7)]})

    streamed = alice.get(f"{ENTITIES}?limit=3", accept=NDJSON)

    assert streamed.header("content-type") == NDJSON
    assert [row["entity_id"] for row in rows(streamed)] == [f"e{number}" for number in range(7)]
    assert rows(alice.get(f"{ENTITIES}?type=none", accept=NDJSON)) == []


@pytest.mark.parametrize("query", ["cursor=abc"])
def test_a_stream_that_cannot_begin_is_refused(alice: Caller, query: str) -> None:
    answer = alice.get(f"{ENTITIES}?{query}", accept=NDJSON)

    assert (answer.status, fields(answer)) == (400, ["cursor"])
