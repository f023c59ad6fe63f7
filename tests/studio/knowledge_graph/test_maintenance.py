"""Verify, repair, export and import of whole graphs, over both engines and as commands."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec
from typer.testing import CliRunner

from nexus_gateway.cli import app
from nexus_gateway.studio.conditions import Condition
from nexus_gateway.studio.feed.graph import SUBJECT
from nexus_gateway.studio.knowledge_graph import maintenance
from nexus_gateway.studio.knowledge_graph.models import EdgeDraft, NodeDraft, NodePatch
from nexus_gateway.studio.knowledge_graph.service import Author, KnowledgeGraph
from nexus_gateway.studio.knowledge_graph.store import GraphStore
from nexus_gateway.studio.storage.graph import Statement
from nexus_gateway.studio.storage.graph_embedded import EmbeddedGraph
from nexus_gateway.studio.storage.graph_neo4j import Neo4jGraph

if TYPE_CHECKING:
    import pytest

    from nexus_gateway.studio.storage.graph import Graph

ANY = Condition()
OLD = Path(__file__).parent / "files" / "graph-0.1.kgl"


def tool(name: str, **more: object) -> NodeDraft:
    return NodeDraft(entity_id=name, entity_type="tool", attributes=more)


async def filled(graph: Graph) -> str:
    """Write nodes, edges, a merge, and a deletion that can be undone; the tenant."""
    if isinstance(graph, Neo4jGraph):
        # The server is shared: what other tests have written by hand cannot be exported.
        await graph.write([Statement("MATCH (n) DETACH DELETE n", {})], seconds=10)
    tenant = uuid4().hex
    alice, mirror = Author(tenant, "alice"), Author(tenant, SUBJECT)
    service = KnowledgeGraph(GraphStore(graph))
    await service.mirror(mirror, [tool(name, size=1) for name in "abcd"], [])
    edges = [("a", "b"), ("b", "c"), ("d", "a")]
    await service.take(
        alice, [], [EdgeDraft(source=a, target=b, type="uses", key="k") for a, b in edges]
    )
    await service.patch_node(alice, "c", NodePatch(name="née"), ANY)
    await service.merge(alice, "c", "b", ANY)
    await service.mirror(mirror, [], ["d"])
    return tenant


async def exported(graph: Graph, tenant: str) -> list[bytes]:
    lines = [msgspec.json.encode(one) async for one in maintenance.export(GraphStore(graph))]
    return [line for line in lines if tenant.encode() in line]


async def faults(graph: Graph, tenant: str) -> set[tuple[str, str]]:
    found = (await maintenance.verify(graph)).faults
    return {(one.kind, one.subject) for one in found if one.tenant == tenant}


async def test_an_export_is_the_same_graph_in_another_engine(graph: Graph, tmp_path: Path) -> None:
    tenant = await filled(graph)
    lines = await exported(graph, tenant)
    counts = (await maintenance.verify(graph)).tenants[tenant]

    async with EmbeddedGraph(tmp_path / "other.kgl") as other:
        store = GraphStore(other)
        made = await maintenance.load(store, map(maintenance.read_line, lines))
        again = await maintenance.load(store, map(maintenance.read_line, lines))

        assert sorted(await exported(other, tenant)) == sorted(lines)
        assert (await maintenance.verify(other)).tenants == {tenant: counts}
        assert await faults(other, tenant) == set()
        await KnowledgeGraph(store).restore(Author(tenant, SUBJECT), [tool("d", size=1)])
        assert [(one.source, one.target) for one in await store.incident(tenant, ["d"])] == [
            ("d", "a")
        ]
    assert made["existing"] == 0
    assert dict(again) == {"existing": len(lines)}
    assert (counts.nodes, counts.edges, counts.aliases) == (2, 1, 1)


async def test_faults_are_found_and_repaired(graph: Graph) -> None:
    tenant = await filled(graph)
    damage = [
        "MATCH (x:Alias {owner: $t, entity_id: 'b'}) SET x.target = 'nowhere'",
        "MATCH (a:Entity {tenant: $t, entity_id: 'a'})-[r]->(:Entity) SET r.tenant = $other",
        "MATCH (v:Version {owner: $t}) WHERE v.entity_id = 'd' SET v.ended = null",
    ]
    other = f"{tenant}-other"
    await graph.write(
        [Statement(text, {"t": tenant, "other": other}) for text in damage], seconds=10
    )

    found = await maintenance.verify(graph)
    await maintenance.repair(graph, [one for one in found.faults if one.tenant.startswith(tenant)])

    kinds = {one.kind for one in found.faults if one.tenant.startswith(tenant)}
    assert kinds == {"alias_without_target", "dangling_edge", "version_without_entity"}
    assert await faults(graph, tenant) == await faults(graph, other) == set()


def test_commands_repair_export_and_import_a_file_of_the_previous_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(folder: str, *words: str) -> tuple[int, str]:
        monkeypatch.setenv("NEXUS_DATA_DIR", str(tmp_path / folder))
        result = CliRunner().invoke(app, ["graph", *words])
        return result.exit_code, result.output

    (tmp_path / "old").mkdir()
    shutil.copy(OLD, tmp_path / "old" / "graph.kgl")
    file = str(tmp_path / "graph.ndjson")

    code, text = run("old", "verify", "--json")
    assert (code, json.loads(text)["ok"], list(json.loads(text)["tenants"])) == (0, True, ["acme"])
    assert run("old", "repair")[0] == 0
    code, text = run("old", "export", file)
    assert (code, "lines exported" in text) == (0, True)
    code, text = run("new", "import", file, "--json")
    made = json.loads(text)
    assert (code, made["aliases"], made.get("existing", 0)) == (0, 2, 0)
    assert run("new", "verify", "--json")[1] == run("old", "verify", "--json")[1]
    assert run("old", "replay")[1] == "0 changes are replayed\n"
    (tmp_path / "bad.ndjson").write_text('{"type": "node"}\n')
    assert run("new", "import", str(tmp_path / "bad.ndjson"))[0] == 2
    assert run("new", "import", str(tmp_path / "missing"))[0] == 2

    async def damage() -> None:
        async with EmbeddedGraph(tmp_path / "new" / "graph.kgl") as graph:
            text = "MATCH (x:Alias {entity_id: 'ma'}) SET x.target = 'nowhere'"
            await graph.write([Statement(text)], seconds=5)

    asyncio.run(damage())
    assert run("new", "verify")[0] == 1
    code, text = run("new", "repair", "--json")
    assert (code, json.loads(text)["repaired"]) == (0, {"alias_without_target": 1})
