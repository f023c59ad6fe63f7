"""Neo4j goes away in the middle of writes: the graph says so, all else goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests import neo4j_server
from tests.faults.gateway import (
    ENTITIES,
    NODES,
    REPORT,
    Writers,
    check_kept,
    client_of,
    entity,
    node,
    ready,
    refusals,
    serve,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.acceptance.support import Gateway

DEADLINE = 17.0
"""Seconds: a change waits 5 for its turn, may take 10, and 1 more to say so."""
ROOM = "/api/knowledge-graph"
EVERYTHING: list[tuple[str, str, object]] = [
    ("GET", NODES, None),
    ("POST", NODES, node("x")),
    ("GET", f"{NODES}/x", None),
    ("PUT", f"{NODES}/x", {"entity_type": "thing"}),
    ("PATCH", f"{NODES}/x", {"name": "x"}),
    ("DELETE", f"{NODES}/x", None),
    ("GET", f"{NODES}/x/history", None),
    ("GET", f"{NODES}/x/neighbours", None),
    ("POST", f"{NODES}/x/merge", {"duplicate": "y"}),
    ("GET", f"{ROOM}/edges", None),
    ("POST", f"{ROOM}/edges", {"source": "x", "target": "y", "type": "LIKES"}),
    ("POST", f"{ROOM}/bulk", {"nodes": [node("x")]}),
    ("GET", f"{ROOM}/paths?source=x&target=y", None),
    ("GET", f"{ROOM}/subgraph?root=x", None),
    ("GET", f"{ROOM}/stats", None),
    ("GET", f"{ROOM}/schema", None),
    ("POST", f"{ROOM}/query", {"query": "MATCH (n:Entity) RETURN n.entity_id AS id LIMIT 1"}),
    ("GET", f"{REPORT}?required=graph", None),
]


@pytest.fixture(scope="module")
def neo4j() -> Iterator[neo4j_server.Server]:
    with neo4j_server.serve() as server:
        yield server


@pytest.fixture
def gateway(tmp_path: Path, neo4j: neo4j_server.Server) -> Iterator[Gateway]:
    environment = {
        "NEXUS_NEO4J_URL": neo4j.url,
        "NEXUS_NEO4J_USER": neo4j.user,
        "NEXUS_NEO4J_PASSWORD": neo4j.password,
    }
    with serve(tmp_path / "gateway", **environment) as gateway:
        yield gateway


def test_killed_in_the_middle_of_writes_nothing_acknowledged_is_lost_and_it_comes_back(
    gateway: Gateway, neo4j: neo4j_server.Server
) -> None:
    restarted = None
    try:
        with client_of(gateway) as client:
            with Writers(gateway, NODES, node) as writers:
                writers.wait(30)
                neo4j.kill()
                missing = ready(client)
                refused = refusals(client, EVERYTHING)
                other = client.post(ENTITIES, json=entity("x")).status_code
                report = client.get(REPORT)
                restarted = neo4j_server.start(neo4j.home, neo4j.port)
                wait_until(lambda: ready(client).status == "ok", "ready again")
                writers.wait(30)
            check_kept(client, NODES, writers)
    finally:
        if restarted is not None:
            restarted.kill()

    # Without the graph the rest works: degraded, and not out of the load balancer.
    assert (missing.code, missing.status) == (200, "degraded")
    assert list(missing.failed()) == ["graph"]
    unlike = [
        (what, answer)
        for what, answer in refused
        if (answer.status, answer.retry_after) != (503, "1") or answer.seconds > DEADLINE
    ]
    assert unlike == []
    assert (other, report.status_code, report.json()["degraded"]) == (201, 200, ["graph"])
    assert {status for status, _ in writers.refused} <= {503}
    assert writers.unanswered == []
    assert writers.longest < DEADLINE
