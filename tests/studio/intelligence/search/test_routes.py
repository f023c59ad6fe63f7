"""Search and recommendations through the whole gateway, upon each engine."""

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
from tests.harness.waiting import Polling

if TYPE_CHECKING:
    from nexus_gateway.server.settings import Settings
    from nexus_gateway.testing import Client

GRAPH = "/api/knowledge-graph"


def wait_for_vectors(caller: Caller) -> None:
    """Wait until the gateway has indexed everything by itself."""
    polling = Polling("everything is indexed")
    while document(caller.get(f"{ENTITIES}/search?limit=1"))["pending"]:
        polling.pause()


def test_search_by_get_and_by_query_find_the_same(alice: Caller) -> None:
    entity = tool("a", name="Hammer", tags=["steel", "hand"])
    alice.post(f"{ENTITIES}:batch", {"items": [entity, tool("b", name="Hammock")]})

    by_get = alice.get(f"{ENTITIES}/search?q=hamm&tag=steel&tag=hand&type=tool")
    by_query = alice.send(
        request(f"QUERY {ENTITIES}/search").json({"q": "hamm", "tag": ["steel", "hand"]})
    )

    assert ids(by_get) == ids(by_query) == ["a"]
    assert document(by_get)["facets"] == {
        "type": [{"value": "tool", "count": 1}],
        "tag": [{"value": "hand", "count": 1}, {"value": "steel", "count": 1}],
        "complete": True,
    }


def test_vectors_are_made_beside_and_likeness_is_found(alice: Caller) -> None:
    alice.post(
        f"{ENTITIES}:batch",
        {"items": [tool("a", name="rotary hammer"), tool("b", name="sewing needle")]},
    )
    wait_for_vectors(alice)

    found = alice.get(f"{ENTITIES}/search?q=rotarry+hamer")
    like = alice.send(request(f"QUERY {ENTITIES}/search").json({"like": "b", "mode": "vector"}))

    first = items(found)[0]
    assert first["entity_id"] == "a"
    assert first["ranks"] == {"vector": 1}
    assert first["score"] == msgspec.convert(first["parts"], dict[str, float])["vector"]
    assert (like.status, ids(like)) == (200, [])


def test_an_edge_of_the_graph_leads_a_search_on(client: Client, settings: Settings) -> None:
    root = Caller(client, settings, "*", "acme")
    root.post(f"{ENTITIES}:batch", {"items": [tool("a", name="anvil"), tool("b", name="smith")]})
    for name in ("a", "b"):
        root.post(f"{GRAPH}/nodes", tool(name))
    root.post(f"{GRAPH}/edges", {"source": "b", "target": "a", "type": "uses"})

    found = root.get(f"{ENTITIES}/search?q=anvil")
    recommended = root.get(f"{ROOM}/recommendations/a")

    assert ids(found) == ["a", "b"]
    assert items(found)[1]["ranks"] == {"graph": 1}
    reasons = msgspec.convert(items(recommended)[0]["because"], list[dict[str, object]])
    edge = {"source": "b", "type": "uses", "target": "a"}
    path = ["a", "<-uses-", "b"]
    assert reasons[0] == {"kind": "edge", "path": path, "weight": 0.6, "edges": [edge]}


def test_all_that_is_found_is_streamed_a_line_each(alice: Caller) -> None:
    alice.take(b"\n".join(msgspec.json.encode(tool(f"e{n}", name="bolt")) for n in range(130)))

    by_get = alice.get(f"{ENTITIES}/search?q=bolt&limit=50", accept=NDJSON)
    by_query = alice.send(
        request(f"QUERY {ENTITIES}/search").json({"q": "bolt"}).header("accept", NDJSON)
    )

    assert by_get.header("content-type") == NDJSON
    for answer in (by_get, by_query):
        found = [row["entity_id"] for row in rows(answer)]
        assert sorted(map(str, found)) == sorted(f"e{number}" for number in range(130))


def test_recommendations_say_why(alice: Caller) -> None:
    entities = [tool("a", tags=["x", "y"]), tool("b", tags=["x", "y"]), tool("c", tags=["y"])]
    alice.post(f"{ENTITIES}:batch", {"items": entities})

    answer = alice.get(f"{ROOM}/recommendations/a?limit=1")

    (first,) = items(answer)
    reasons = msgspec.convert(first["because"], list[dict[str, object]])
    shared = [reason for reason in reasons if reason["kind"] == "shared_tag"]
    assert {str(reason["path"]) for reason in shared} == {
        "['a', 'tag:x', 'b']",
        "['a', 'tag:y', 'b']",
    }
    assert msgspec.convert(first["parts"], dict[str, float])["tags"] == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ("mode=best", 400, "mode"),
        ("mode=vector", 400, "mode"),
        ("mode=text&like=a", 400, "like"),
        ("limit=101", 400, "limit"),
        ("cursor=%21", 400, "cursor"),
    ],
)
def test_what_cannot_be_answered_names_its_field(
    alice: Caller, query: str, status: int, field: str
) -> None:
    answer = alice.get(f"{ENTITIES}/search?{query}")

    assert (answer.status, fields(answer)) == (status, [field])


def test_to_be_like_nothing_answers_404(alice: Caller) -> None:
    for answer in (
        alice.get(f"{ENTITIES}/search?like=a"),
        alice.get(f"{ENTITIES}/search?like=a", accept=NDJSON),
    ):
        assert (answer.status, document(answer)["code"]) == (404, "not_found")


def test_a_search_needs_its_scope(client: Client, settings: Settings) -> None:
    writer = Caller(client, settings, "intelligence:write", None)

    assert writer.get(f"{ENTITIES}/search?q=a").status == 403
    assert request(f"GET {ENTITIES}/search?q=a").reply(client).status == 401
