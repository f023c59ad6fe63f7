"""What a query costs over HTTP, beside the same statement given to the embedded engine directly.

    .venv/bin/python bench/graph_query.py [--data FOLDER] [--seconds 1]

Loads this machine's Debian packages and what they depend on (once, into FOLDER), then asks queries
of two steps in three ways, one after the other: kglite itself, with the statement that the gateway
writes; the gateway's own code without HTTP; and a gateway on loopback. Prints median times.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import kglite
import msgspec

from nexus_gateway.settings import Settings
from nexus_gateway.studio.demo.debian import index, relations, stanzas
from nexus_gateway.studio.knowledge_graph.cypher.statement import compiled
from nexus_gateway.studio.knowledge_graph.models import Bulk, EdgeDraft, NodeDraft
from nexus_gateway.studio.knowledge_graph.query import Querying, Question
from nexus_gateway.studio.knowledge_graph.service import Author, KnowledgeGraph
from nexus_gateway.studio.knowledge_graph.stats import Statistics
from nexus_gateway.studio.knowledge_graph.store import GraphStore
from nexus_gateway.studio.storage.graph_embedded import EmbeddedGraph
from nexus_gateway.tokens import mint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

TENANT = "debian"
FIELDS = ("Depends", "Pre-Depends", "Recommends", "Suggests", "Conflicts", "Breaks")
PATH = "/api/knowledge-graph/query"

TWO_STEPS = "MATCH (a {entity_id: $id})-[:depends*1..2]->(b) RETURN DISTINCT b.name"
BY_SECTION = "RETURN b.section AS section, count(DISTINCT b) AS packages ORDER BY packages DESC"
NEEDING = f"MATCH (a {{entity_id: $id}})<-[:depends*1..2]-(b) {BY_SECTION}"
NEEDING_BY_STEPS = f"MATCH (a {{entity_id: $id}})<-[:depends]-(c)<-[:depends]-(b) {BY_SECTION}"
VERSIONS = (
    "MATCH (a)-[:depends]->(b)-[:suggests]->(c) WHERE a.entity_id = $id"
    " RETURN b.name, c.name, c.attributes.version"
)
QUERIES = {
    "what needs libc6 within two steps, by section": (NEEDING, {"id": "libc6"}),
    "what needs zlib1g within two steps, by section": (NEEDING, {"id": "zlib1g"}),
    "what needs what needs zlib1g, by section": (NEEDING_BY_STEPS, {"id": "zlib1g"}),
    "what task-gnome-desktop needs within two steps": (TWO_STEPS, {"id": "task-gnome-desktop"}),
    "what python3 needs suggests": (VERSIONS, {"id": "python3"}),
}


def main() -> None:
    """Load the graph where it is not there yet, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="the folder of the graph; kept")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data or Path(folder)
        if not (data / "graph.kgl").exists():
            asyncio.run(load(data / "graph.kgl"))
        report(data, arguments.seconds)


def report(data: Path, seconds: float) -> None:
    """Measure, and print a table."""
    alone = {name: engine_time(data, *query, seconds) for name, query in QUERIES.items()}
    inside = asyncio.run(inside_times(data, seconds))
    over = http_times(data, seconds)
    print("\n| query | rows | kglite | gateway's code | over HTTP | ratio |")
    print("|---|---|---|---|---|---|")
    for name in QUERIES:
        direct, rows = alone[name]
        times = " | ".join(f"{one * 1e3:.2f} ms" for one in (direct, inside[name], over[name]))
        print(f"| {name} | {rows} | {times} | {over[name] / direct:.2f} |")


def engine_time(
    data: Path, text: str, given: Mapping[str, str], seconds: float
) -> tuple[float, int]:
    """Time the engine itself, to rows as Python has them; tell how many there are."""
    query = compiled(text, None)
    parameters = {**query.parameters(given), "tenant": TENANT}
    session = kglite.open_session(str(data / "graph.kgl"), durable="normal")
    rows = 0

    def ask() -> None:
        nonlocal rows
        rows = len(session.cypher(query.text, params=parameters).to_list())

    try:
        return median(ask, seconds), rows
    finally:
        session.close()


async def inside_times(data: Path, seconds: float) -> dict[str, float]:
    """Time the gateway's own code, without HTTP."""
    times: dict[str, float] = {}
    async with EmbeddedGraph(data / "graph.kgl") as graph:
        store = GraphStore(graph)
        querying = Querying(store, Statistics(store))
        for name, (text, given) in QUERIES.items():
            question = Question(text, parameters=dict(given), max_rows=100_000)
            found: list[float] = []
            await querying.answer(TENANT, question)
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                began = time.perf_counter()
                await querying.answer(TENANT, question)
                found.append(time.perf_counter() - began)
            times[name] = statistics.median(found)
    return times


def http_times(data: Path, seconds: float) -> dict[str, float]:
    """Time a gateway on loopback, over one connection."""
    settings = Settings(data_dir=data)
    token = mint(settings.secret() or b"", "bench", ["*"], 600, tenant=TENANT)
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    environment = {**os.environ, "NEXUS_DATA_DIR": str(data), "NEXUS_PORT": "0"}
    environment |= {"NEXUS_LOG_LEVEL": "error", "NEXUS_RATE_LIMIT": "100000/s"}
    command = [sys.executable, "-m", "nexus_gateway", "serve"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline().decode()
            connection = http.client.HTTPConnection(line.rpartition("//")[2].strip())

            def ask(body: bytes) -> None:
                connection.request("POST", PATH, body, headers)
                answer = connection.getresponse()
                content = answer.read()
                assert answer.status == 200, content

            times: dict[str, float] = {}
            for name, (text, given) in QUERIES.items():
                body = {"query": text, "parameters": given, "max_rows": 100_000}
                encoded = msgspec.json.encode(body)
                times[name] = median(lambda body=encoded: ask(body), seconds)
            return times
        finally:
            process.terminate()


def median(ask: Callable[[], None], seconds: float) -> float:
    """Call for some seconds; the first call is not counted."""
    found: list[float] = []
    ask()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        ask()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


async def load(path: Path) -> None:
    """Load the packages and their edges, as any client could."""
    nodes, edges = packages()
    began = time.perf_counter()
    async with EmbeddedGraph(path) as graph:
        service = KnowledgeGraph(GraphStore(graph))
        author = Author(TENANT, "bench")
        for start in range(0, len(nodes), 2000):
            await service.load(author, Bulk(nodes=tuple(nodes[start : start + 2000])))
        for start in range(0, len(edges), 5000):
            await service.load(author, Bulk(edges=tuple(edges[start : start + 5000])))
    took = time.perf_counter() - began
    print(f"{len(nodes):,} packages and {len(edges):,} edges in {took:.0f} s")


def packages() -> tuple[list[NodeDraft], list[EdgeDraft]]:
    """Read the package index of this machine."""
    found: dict[str, dict[str, str]] = {}
    with index() as lines:
        for stanza in stanzas(lines):
            if "Package" in stanza:
                found.setdefault(stanza["Package"], stanza)
    nodes = [
        NodeDraft(
            entity_id=name,
            entity_type="package",
            name=name,
            attributes={"section": stanza.get("Section", ""), "version": stanza.get("Version", "")},
        )
        for name, stanza in found.items()
    ]
    return nodes, list(_edges(found))


def _edges(found: dict[str, dict[str, str]]) -> Iterator[EdgeDraft]:
    for name, stanza in found.items():
        for field in FIELDS:
            groups = relations(stanza.get(field, ""))
            targets = dict.fromkeys(one["name"] for group in groups for one in group)
            kind = field.lower().replace("-", "_")
            for target in targets:
                if target in found:
                    yield EdgeDraft(source=name, target=target, type=kind)


if __name__ == "__main__":
    main()
