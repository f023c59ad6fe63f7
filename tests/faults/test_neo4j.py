"""Neo4j goes away in the middle of writes: the graph says so, all else goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.harness import neo4j_server
from tests.harness.gateway_clients import (
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
)
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.gateway_process import Gateway
    from tests.harness.servers import PostgresServer

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


LINES = 2000


class Progress(msgspec.Struct):
    """How far an ingest is, in lines."""

    done: int = 0
    refused: int = 0


class Told(msgspec.Struct):
    """How an ingest stands."""

    state: str
    progress: Progress


class Neo4j:
    """A server that can be killed and started again over what it kept."""

    def __init__(self, server: neo4j_server.Server) -> None:
        self.server = server

    def kill(self) -> None:
        self.server.kill()

    def start(self) -> None:
        self.server = neo4j_server.start(self.server.home, self.server.port)

    def environment(self) -> dict[str, str]:
        return {
            "NEXUS_NEO4J_URL": self.server.url,
            "NEXUS_NEO4J_USER": self.server.user,
            "NEXUS_NEO4J_PASSWORD": self.server.password,
        }


@pytest.fixture(scope="module")
def neo4j() -> Iterator[Neo4j]:
    with neo4j_server.serve() as server:
        holder = Neo4j(server)
        try:
            yield holder
        finally:
            holder.kill()


@pytest.fixture
def gateway(tmp_path: Path, neo4j: Neo4j) -> Iterator[Gateway]:
    with serve(tmp_path / "gateway", **neo4j.environment()) as gateway:
        yield gateway


def test_killed_in_the_middle_of_writes_nothing_acknowledged_is_lost_and_it_comes_back(
    gateway: Gateway, neo4j: Neo4j
) -> None:
    with client_of(gateway) as client:
        with Writers(gateway, NODES, node, threads=2) as writers:
            writers.wait(30)
            neo4j.kill()
            missing = ready(client)
            refused = refusals(client, EVERYTHING)
            other = client.post(ENTITIES, json=entity("x")).status_code
            report = client.get(REPORT)
            neo4j.start()
            wait_until(lambda: ready(client).status == "ok", "ready again")
            writers.wait(30)
        check_kept(client, NODES, writers)

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


def test_an_ingest_goes_on_when_its_database_and_its_graph_are_killed_under_it(
    tmp_path: Path, neo4j: Neo4j, postgres: PostgresServer, url: str
) -> None:
    things = [node(f"n{number}") for number in range(LINES)]
    edges = [
        {"source": f"n{number}", "target": f"n{(number * 7) % LINES}", "type": "TO"}
        for number in range(LINES)
    ]
    text = msgspec.json.Encoder().encode_lines([*edges, *things])
    environment = {**neo4j.environment(), "NEXUS_DATABASE_URL": url}
    with (
        serve(tmp_path / "gateway", **environment) as gateway,
        client_of(gateway, "ingesting") as client,
    ):
        headers = {"content-type": "application/x-ndjson"}
        accepted = client.post(f"{ROOM}/ingest", content=text, headers=headers)
        place = accepted.headers["location"]

        def told() -> Told:
            return msgspec.json.decode(client.get(place).content, type=Told)

        wait_until(lambda: told().progress.done > 0, "the first lines")
        postgres.kill()
        neo4j.kill()
        missing = ready(client)
        postgres.start()
        neo4j.start()
        wait_until(lambda: ready(client).status == "ok", "ready again")
        wait_until(lambda: told().state == "done", "the ingest")
        stats = client.get(f"{ROOM}/stats").json()
        progress = told().progress

    assert accepted.status_code == 202
    assert (missing.code, {*missing.failed()} >= {"database", "graph"}) == (503, True)
    assert progress.refused == 0
    assert (stats["nodes"], stats["edges"], stats["versions"]) == (LINES, LINES, 0)
