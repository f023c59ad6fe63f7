"""What a query costs over HTTP, beside the same statement given to the embedded engine directly.

    .venv/bin/python bench/graph_query.py [--data FOLDER] [--rounds 15]

Loads this machine's Debian packages and what they depend on (once, into FOLDER), then asks queries
of two steps in three ways in turn: kglite itself, with the statement that the gateway writes; the
gateway's own code without HTTP; and a gateway on loopback. Prints the medians, and the ratio of the
last to the first.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import kglite
import msgspec

from nexus_gateway.server.settings import Settings
from nexus_gateway.server.tokens import mint
from nexus_gateway.studio.demo.debian import index, relations, stanzas
from nexus_gateway.studio.knowledge_graph.cypher.statement import compiled
from nexus_gateway.studio.knowledge_graph.models import Bulk, EdgeDraft, NodeDraft
from nexus_gateway.studio.knowledge_graph.query import Querying, Question
from nexus_gateway.studio.knowledge_graph.service import Author, KnowledgeGraph
from nexus_gateway.studio.knowledge_graph.stats import Statistics
from nexus_gateway.studio.knowledge_graph.store import GraphStore
from nexus_gateway.studio.storage.graph_embedded import EmbeddedGraph

Way: TypeAlias = Callable[[str, Mapping[str, str]], int]
"""Asks a query with its parameters, and tells how many rows came back."""

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
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data or Path(folder)
        if not (data / "graph.kgl").exists():
            asyncio.run(load(data / "graph.kgl"))
        report(data, arguments.rounds)


def report(data: Path, rounds: int) -> None:
    """Ask in three ways in turn, and print a table of the medians."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        # A file of the graph has one process at a time, and each way wants its own.
        names = ("a.kgl", "b.kgl", "graph.kgl")
        copies = [Path(shutil.copy(data / "graph.kgl", Path(folder) / name)) for name in names]
        over = stack.enter_context(gateway(Path(folder)))
        session = kglite.open_session(str(copies[0]), durable="normal")
        with asyncio.Runner() as runner, inside(runner, copies[1]) as within:
            print("| query | rows | kglite | gateway's code | over HTTP | ratio |")
            print("|---|---|---|---|---|---|")
            for name, (text, given) in QUERIES.items():
                rows, ways = 0, (directly(session, text, given), within, over)
                times: tuple[list[float], ...] = ([], [], [])
                for _ in range(rounds + 1):
                    for way, found in zip(ways, times, strict=True):
                        began = time.perf_counter()
                        rows = way(text, given)
                        found.append(time.perf_counter() - began)
                # The first round fills caches and counts the graph.
                medians = [statistics.median(found[1:]) * 1e3 for found in times]
                shown = " | ".join(f"{one:.2f} ms" for one in medians)
                print(f"| {name} | {rows} | {shown} | {medians[2] / medians[0]:.2f} |")
        session.close()


def directly(session: kglite.Session, text: str, given: Mapping[str, str]) -> Way:
    """Ask the engine itself, for rows as Python has them."""
    query = compiled(text, None)
    parameters = {**query.parameters(given), "tenant": TENANT}

    def ask(_text: str, _given: Mapping[str, str]) -> int:
        return len(session.cypher(query.text, params=parameters).to_list())

    return ask


@contextlib.contextmanager
def inside(runner: asyncio.Runner, path: Path) -> Generator[Way]:
    """Ask the gateway's own code, without HTTP."""
    graph = EmbeddedGraph(path)
    runner.run(graph.__aenter__())
    store = GraphStore(graph)
    querying = Querying(store, Statistics(store))

    def ask(text: str, given: Mapping[str, str]) -> int:
        question = Question(text, parameters=dict(given), max_rows=100_000, timeout=10.0)
        return len(runner.run(querying.answer(TENANT, question)).rows)

    try:
        yield ask
    finally:
        runner.run(graph.__aexit__(None, None, None))


@contextlib.contextmanager
def gateway(data: Path) -> Generator[Way]:
    """Ask a gateway on loopback, over one connection."""
    token = mint(Settings(data_dir=data).secret() or b"", "bench", ["*"], 600, tenant=TENANT)
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    environment = {**os.environ, "NEXUS_DATA_DIR": str(data), "NEXUS_PORT": "0"}
    environment |= {"NEXUS_LOG_LEVEL": "error", "NEXUS_RATE_LIMIT": "100000/s"}
    command = [sys.executable, "-m", "nexus_gateway", "serve"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        connection = http.client.HTTPConnection(line.rpartition("//")[2].strip())

        def ask(text: str, given: Mapping[str, str]) -> int:
            body = {"query": text, "parameters": given, "max_rows": 100_000, "timeout": 10}
            connection.request("POST", PATH, msgspec.json.encode(body), headers)
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status == 200, content
            return len(msgspec.json.decode(content)["rows"])

        try:
            yield ask
        finally:
            process.terminate()


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
