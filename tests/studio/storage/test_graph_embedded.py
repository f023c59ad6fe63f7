"""The embedded graph: its file, its lock, its queue, and what a kill leaves."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nexus_gateway.studio.knowledge_graph.models import NodeSelection
from nexus_gateway.studio.knowledge_graph.store import GraphStore
from nexus_gateway.studio.storage import graph_embedded
from nexus_gateway.studio.storage.errors import GraphTimeout, StorageUnavailable
from nexus_gateway.studio.storage.graph import Rows, Statement
from nexus_gateway.studio.storage.graph_embedded import EmbeddedGraph
from nexus_gateway.studio.storage.graph_schema import SCHEMA
from nexus_gateway.studio.storage.read_share import ReadShares

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nexus_gateway.studio.storage.graph import Value

ROOT = Path(__file__).parents[3]
ENDLESS = Statement(
    "UNWIND range(1, 3000) AS a UNWIND range(1, 3000) AS b UNWIND range(1, 3000) AS c"
    " RETURN max(a * b * c) AS x"
)
IDS = Statement("MATCH (n:Entity {tenant: 'acme'}) RETURN n.entity_id AS id")


@pytest.fixture
async def graph(tmp_path: Path) -> AsyncIterator[EmbeddedGraph]:
    async with EmbeddedGraph(tmp_path / "graph.kgl", readers=1, queue=2) as opened:
        yield opened


def test_acknowledged_writes_survive_kill_nine_and_none_is_half(tmp_path: Path) -> None:
    path = tmp_path / "graph.kgl"
    writer = subprocess.run(
        [sys.executable, "-m", "tests.studio.storage.link_and_die", str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=False,
        timeout=60,
    )

    async def kept() -> set[str]:
        async with EmbeddedGraph(path) as graph:
            found = await graph.read(IDS, rows=10_000, seconds=10)
        return {str(row[0]) for row in found.rows}

    ids = asyncio.run(kept())

    assert writer.returncode == -signal.SIGKILL
    acknowledged = {line.decode() for line in writer.stdout.split()}
    assert len(acknowledged) >= 100
    assert ids.issuperset({f"l{number}" for number in acknowledged})
    assert {one[1:] for one in ids if one[0] == "l"} == {one[1:] for one in ids if one[0] == "r"}


async def test_a_second_process_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "graph.kgl"
    code = (
        "import asyncio, sys; from pathlib import Path\n"
        "from nexus_gateway.studio.storage.graph_embedded import EmbeddedGraph\n"
        "async def main():\n"
        "    async with EmbeddedGraph(Path(sys.argv[1]), patience=0.2): pass\n"
        "asyncio.run(main())"
    )

    async with EmbeddedGraph(path):
        second = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", code, str(path)],
            cwd=ROOT,
            capture_output=True,
            check=False,
            timeout=60,
        )

    assert second.returncode == 1
    assert b"is open in another process (pid" in second.stderr
    assert b"NEXUS_NEO4J_URL" in second.stderr


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "graph.kgl"
    async with EmbeddedGraph(path) as graph:
        await graph.write(
            [Statement("CREATE (:Entity {tenant: 'acme', entity_id: 'a'})")], seconds=5
        )

    async with EmbeddedGraph(path) as graph:
        found = await graph.read(IDS, rows=10, seconds=5)

    assert found.rows == [("a",)]


def previous_version(path: Path) -> None:
    """Write a file as version 0.1 did: automatic ids, and gaps where nodes were deleted."""
    import kglite

    session = kglite.open_session(str(path), durable="normal")
    for text in SCHEMA:
        session.execute(text)
    create = "CREATE (n:{} {{{}: 'acme', entity_id: $id, version: $id}})"
    labels = (("Entity", "tenant"), ("Version", "owner"), ("Alias", "owner"))
    for number in range(4):
        for label, owner in labels:
            session.execute(create.format(label, owner), params={"id": f"{label}{number}"})
    session.execute("MATCH (n) WHERE n.id < 6 DETACH DELETE n")
    for label, owner in labels:
        session.execute(create.format(label, owner), params={"id": f"{label}4"})
    session.close()


async def test_a_file_of_the_previous_version_with_gaps_between_ids_takes_writes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "graph.kgl"
    previous_version(path)

    for start in range(3):
        async with EmbeddedGraph(path) as graph:
            for label, owner in (("Entity", "tenant"), ("Version", "owner"), ("Alias", "owner")):
                text = (
                    f"UNWIND $rows AS row CREATE (n:{label} {{{owner}: 'other',"
                    " entity_id: row.name}) SET n.version = row.name"
                )
                rows: list[Value] = [{"name": f"{label}-{start}-{n}"} for n in range(5)]
                await graph.write([Statement(text, {"rows": rows})], seconds=5)
            labels = "MATCH (n) RETURN labels(n)[0] AS label, count(n), count(DISTINCT n.id)"
            found = await graph.read(Statement(labels), rows=10, seconds=5)

        total = 3 + 5 * (start + 1)
        assert sorted(map(str, (row[0] for row in found.rows))) == ["Alias", "Entity", "Version"]
        assert {row[1:] for row in found.rows} == {(total, total)}


async def test_writes_go_on_after_deletions_and_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "graph.kgl"
    create = "CREATE (:Entity {tenant: 'acme', entity_id: $id})"
    delete = "MATCH (n:Entity {tenant: 'acme', entity_id: $id}) DETACH DELETE n"

    for start in range(4):
        async with EmbeddedGraph(path) as graph:
            for number in range(3):
                made = Statement(create, {"id": f"{start}.{number}"})
                await graph.write([made], seconds=5)
            gone = [Statement(delete, {"id": f"{start}.{number}"}) for number in (0, 1)]
            await graph.write(gone, seconds=5)
            await graph.write([Statement(create, {"id": f"{start}.3"})], seconds=5)

    async with EmbeddedGraph(path) as graph:
        found = await graph.read(IDS, rows=100, seconds=5)
    assert {str(row[0]) for row in found.rows} == {f"{n}.{m}" for n in range(4) for m in (2, 3)}


def test_writes_go_on_after_deletions_and_kill_nine(tmp_path: Path) -> None:
    path = tmp_path / "graph.kgl"

    for run, ending in enumerate(("stop", "kill", "kill")):
        ended = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.studio.storage.delete_and_die",
                str(path),
                str(run),
                ending,
            ],
            cwd=ROOT,
            check=False,
            timeout=60,
        )
        assert ended.returncode == (0 if ending == "stop" else -signal.SIGKILL)

    async def stored() -> set[str]:
        async with EmbeddedGraph(path) as graph:
            found = await graph.read(IDS, rows=100, seconds=10)
        return {str(row[0]) for row in found.rows}

    assert asyncio.run(stored()) == {f"{n}.{m}" for n in range(3) for m in (2, 3)}


async def test_ids_that_the_engine_assigned_itself_do_not_stop_writes(tmp_path: Path) -> None:
    async with EmbeddedGraph(tmp_path / "graph.kgl") as graph:
        await graph.write(
            [Statement("CREATE (a:Entity)"), Statement("CREATE (b:Entity)")], seconds=5
        )
        create = Statement("CREATE (:Entity {tenant: 'acme', entity_id: 'a'})")
        await graph.write([create], seconds=5)

        found = await graph.read(IDS, rows=100, seconds=5)

    assert found.rows == [("a",)]


async def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "graph.kgl"
    path.write_bytes(b"something else")

    with pytest.raises(StorageUnavailable, match=r"graph\.kgl cannot be opened as a graph"):
        await EmbeddedGraph(path).__aenter__()


async def test_a_library_that_cannot_be_loaded_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kglite", None)

    with pytest.raises(StorageUnavailable, match="needs kglite"):
        await EmbeddedGraph(tmp_path / "graph.kgl").__aenter__()


async def test_calls_beyond_the_queue_are_refused_at_once(graph: EmbeddedGraph) -> None:
    running = [asyncio.create_task(graph.read(ENDLESS, rows=1, seconds=0.5)) for _ in range(2)]
    await asyncio.sleep(0)

    with pytest.raises(StorageUnavailable, match="too many calls"):
        await graph.read(ENDLESS, rows=1, seconds=0.5)

    ends = await asyncio.gather(*running, return_exceptions=True)
    assert [type(end) for end in ends] == [GraphTimeout, GraphTimeout]
    await graph.ping()


async def test_a_call_that_found_no_thread_in_its_time_never_runs(graph: EmbeddedGraph) -> None:
    first = asyncio.create_task(graph.read(ENDLESS, rows=1, seconds=0.5))
    await asyncio.sleep(0)

    with pytest.raises(GraphTimeout, match="no thread free"):
        await graph.read(Statement("RETURN 1 AS one"), rows=1, seconds=0.1)

    with pytest.raises(GraphTimeout):
        await first


async def test_reads_of_one_tenant_leave_a_thread_for_the_others(tmp_path: Path) -> None:
    async with EmbeddedGraph(tmp_path / "graph.kgl", patience=0) as graph:
        text = "UNWIND range(1, 200000) AS x RETURN sum(x) AS total"
        ended = 0

        async def ask(tenant: str, query: str) -> None:
            nonlocal ended
            await graph.read(Statement(query, {"tenant": tenant}), rows=1, seconds=30.0)
            ended += tenant == "busy"

        busy = [asyncio.create_task(ask("busy", text)) for _ in range(24)]
        await asyncio.sleep(0)
        await asyncio.gather(*(ask("quiet", "RETURN 1 AS one") for _ in range(3)))
        before = ended
        await asyncio.gather(*busy)
        assert before < 12
        assert ended == 24


async def test_reads_of_one_tenant_are_bounded_and_give_their_places_back() -> None:
    shares = ReadShares(running=1, waiting=2)
    await shares.acquire("acme", 1.0)
    with pytest.raises(GraphTimeout, match="other reads of this tenant"):
        await shares.acquire("acme", 0.01)
    waiting = asyncio.create_task(shares.acquire("acme", 5.0))
    await asyncio.sleep(0)
    with pytest.raises(StorageUnavailable, match="too many reads"):
        await shares.acquire("acme", 1.0)
    await shares.acquire("other", 0.1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    shares.release("acme")
    await shares.acquire("acme", 0.1)


async def test_memory_is_given_back_after_a_large_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import kglite

    trimmed = threading.Event()
    monkeypatch.setattr(kglite, "trim_memory", trimmed.set)
    monkeypatch.setattr(graph_embedded, "TRIM_DELAY_S", 0.0)
    async with EmbeddedGraph(tmp_path / "graph.kgl", patience=0) as graph:
        asked = {"tenant": "acme"}
        await graph.read(Statement("RETURN 1 AS one", asked), rows=1, seconds=5.0)
        await graph.ping()
        small = trimmed.is_set()
        text = "UNWIND range(1, 10000) AS x RETURN x"
        await graph.read(Statement(text, asked), rows=10_000, seconds=5.0)
        assert await asyncio.to_thread(trimmed.wait, 10)
    assert not small


async def test_lists_write_their_limit_as_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EmbeddedGraph(tmp_path / "graph.kgl", patience=0) as graph:
        read, asked = graph.read, list[str]()

        async def listening(statement: Statement, *, rows: int, seconds: float) -> Rows:
            asked.append(statement.text)
            return await read(statement, rows=rows, seconds=seconds)

        monkeypatch.setattr(graph, "read", listening)
        store = GraphStore(graph)
        moment = datetime.now(UTC)
        await store.node_page("acme", NodeSelection(as_of=moment), "", 51)
        await store.sources("acme", "", 51, gone=True)

    assert len(asked) == 4
    # With a parameter the engine sorts everything first.
    assert all(text.endswith("LIMIT 51") for text in asked)
