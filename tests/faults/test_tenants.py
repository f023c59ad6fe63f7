"""Two tenants and whatever they may write: nothing crosses, and nothing is an error of ours."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness.gateway_clients import ENTITIES, NODES, REPORT, client_of, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

MARK = "belongs-to-acme"
ROOM = "/api/intelligence"
GRAPH = "/api/knowledge-graph"
BY_NAME = "MATCH (n:Entity) WHERE n.name = $name RETURN n.name AS name"
INJECTIONS = [
    "'", '"', "`", "\\", "\\'", "%", "_", "$1", "$tenant", "?", "*", "\x00", "\n", "\u202e", "ü",
    "' OR '1'='1", "'; DROP TABLE entity; --", "x' UNION SELECT * FROM entity --",
    "1); DELETE FROM job;", "{tenant: 'acme'}", "'}) RETURN n //", "x' OR n.tenant = 'acme",
    "}) MATCH (n) DETACH DELETE n //", "` MATCH (n) RETURN n //", "a:b AND NOT c*", "NEAR(a b)",
    "^a", '"a', "(a", "a OR", "-a", "../../etc/passwd", "%2e%2e%2f", "{{7*7}}", "${jndi:ldap://x}",
    "<script>", "\ud7ff", "\U0001f600", "a" * 5000, "", " ", "null", "NaN", "[]", "acme", "tenant",
    "nexus:group:acme", "}{", "\r\nX-Injected: 1",
]  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from(INJECTIONS),
    st.text(max_size=40),
    st.tuples(st.sampled_from(INJECTIONS), st.text(max_size=10)).map("".join),
)
VALUES = st.recursive(
    st.one_of(TEXTS, st.none(), st.booleans(), st.integers(), st.floats()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module", params=["embedded", "postgres"])
def callers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Give a tenant who has things, and another who tries to get at them."""
    chosen: dict[str, str] = {}
    if request.param == "postgres":
        chosen["NEXUS_DATABASE_URL"] = request.getfixturevalue("module_url")
    folder = tmp_path_factory.mktemp(request.param)
    with (
        serve(folder / "gateway", **chosen) as gateway,
        client_of(gateway, "acme") as acme,
        client_of(gateway, "other") as other,
    ):
        attributes = {"text": MARK}
        for name in ("secret", MARK):
            thing = {"entity_id": name, "entity_type": MARK, "name": MARK, "attributes": attributes}
            assert acme.post(NODES, json=thing).status_code == 201
            thing |= {"tags": [MARK, "shared"], "aliases": [f"alias-{name}"]}
            assert acme.post(ENTITIES, json=thing).status_code == 201
        edge = {"source": "secret", "target": MARK, "type": "KNOWS"}
        assert acme.post(f"{GRAPH}/edges", json=edge).status_code == 201
        schema = {"attributes": {"type": "object"}, "description": MARK}
        assert acme.put(f"{ROOM}/entity-types/{MARK}", json=schema).status_code in (200, 201)
        yield acme, other
        assert acme.get(f"{ENTITIES}/secret").json()["attributes"] == attributes
        assert acme.get(f"{NODES}/secret").json()["attributes"] == attributes
        assert acme.get(f"{NODES}/secret/neighbours").status_code == 200


def attempts(text: str, value: object) -> list[tuple[str, str, object]]:
    """List requests that have a text in every place where callers write one."""
    at, asked = quote(text, safe="") or "%20", quote(text, safe="")
    node = {"entity_id": text, "entity_type": text, "name": text, "attributes": value}
    entity = {**node, "tags": [text], "aliases": [text], "source": text}
    return [
        ("POST", ENTITIES, entity),
        ("POST", ENTITIES, {"key": text, "source": text, "entity_type": "t", "tags": ["shared"]}),
        ("POST", f"{ENTITIES}:batch", {"items": [entity]}),
        ("GET", f"{ENTITIES}/{at}", None),
        ("PUT", f"{ENTITIES}/{at}", {"entity_type": text, "tags": [text], "attributes": value}),
        ("PATCH", f"{ENTITIES}/{at}", {"name": text, "attributes": {text: value}}),
        ("GET", f"{ENTITIES}/{at}/history", None),
        ("POST", f"{ENTITIES}/{at}/restore", None),
        ("GET", f"{ENTITIES}?type={asked}&tag={asked}&cursor={asked}", None),
        ("GET", f"{ENTITIES}/search?q={asked}", None),
        ("GET", f"{ENTITIES}/search?q=a&type={asked}&tag={asked}&cursor={asked}", None),
        ("QUERY", f"{ENTITIES}/search", {"q": text, "type": text, "tag": [text]}),
        ("GET", f"{ROOM}/recommendations/{at}", None),
        ("PUT", f"{ROOM}/entity-types/{at}", {"attributes": value, "description": text}),
        ("GET", f"{ROOM}/entity-types?cursor={asked}", None),
        ("GET", f"{REPORT}?required={asked}", None),
        ("GET", f"{REPORT}/jobs/{at}", None),
        ("POST", NODES, node),
        ("GET", f"{NODES}/{at}", None),
        ("PUT", f"{NODES}/{at}", {"entity_type": text, "attributes": {text: value}}),
        ("PATCH", f"{NODES}/{at}", {"name": text, "attributes": {text: value}}),
        ("GET", f"{NODES}/{at}/neighbours?type={asked}&as_of={asked}", None),
        ("GET", f"{NODES}?type={asked}&cursor={asked}", None),
        ("POST", f"{NODES}/{at}/merge", {"duplicate": text}),
        ("POST", f"{GRAPH}/edges", {"source": text, "target": "secret", "type": text}),
        ("GET", f"{GRAPH}/edges/{at}", None),
        ("GET", f"{GRAPH}/edges?source={asked}&type={asked}", None),
        ("POST", f"{GRAPH}/bulk", {"nodes": [node], "edges": [{"source": text, "target": text}]}),
        ("GET", f"{GRAPH}/paths?source={asked}&target=secret&type={asked}", None),
        ("GET", f"{GRAPH}/subgraph?root={asked}", None),
        ("POST", f"{GRAPH}/query", {"query": text}),
        ("POST", f"{GRAPH}/query", {"query": BY_NAME, "parameters": {"name": text}}),
        ("POST", f"{GRAPH}/query", {"query": f"MATCH (n:Entity) WHERE {text} RETURN n.name"}),
        ("DELETE", f"{NODES}/{at}", None),
        ("DELETE", f"{ENTITIES}/{at}?purge=true", None),
    ]


def check(client: httpx.Client, method: str, target: str, value: object) -> None:
    """Send a request: it may be answered or refused, and shows nothing of the other tenant's."""
    body = (
        None if value is None else json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    )
    headers = {} if body is None else {"content-type": "application/json"}
    answer = client.request(method, target, content=body, headers=headers)
    assert answer.status_code < 500, (method, target, value, answer.text)
    assert MARK not in answer.text, (method, target, value, answer.text)
    assert "x-injected" not in answer.headers
    if answer.status_code >= 400:
        assert set(answer.json()) >= {"error", "code", "timestamp", "request_id"}


@pytest.mark.parametrize("text", INJECTIONS)
def test_no_injection_reaches_another_tenant(
    callers: tuple[httpx.Client, httpx.Client], text: str
) -> None:
    for attempt in attempts(text, {text: text}):
        check(callers[1], *attempt)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=TEXTS, value=VALUES)
def test_whatever_is_written_is_kept_or_refused_and_stays_with_its_tenant(
    callers: tuple[httpx.Client, httpx.Client], text: str, value: object
) -> None:
    for attempt in attempts(text, value):
        check(callers[1], *attempt)


def test_the_things_of_another_tenant_are_as_good_as_not_there(
    callers: tuple[httpx.Client, httpx.Client],
) -> None:
    other = callers[1]
    for place in (f"{ENTITIES}/secret", f"{ENTITIES}/alias-secret", f"{NODES}/secret"):
        statuses = {
            other.get(place).status_code,
            other.get(f"{place}/history").status_code,
            other.delete(place).status_code,
        }
        assert statuses == {404}, place
    everything = {"query": "MATCH (n) RETURN n.entity_id, n.name, n.tenant"}
    assert MARK not in other.post(f"{GRAPH}/query", json=everything).text
    assert other.get(f"{ROOM}/entity-types/{MARK}").status_code == 404
    assert other.get(f"{GRAPH}/paths?source=secret&target={MARK}").status_code == 404
