"""A file that version 0.1 wrote, and could not write to any more: it has gaps between ids.

Before it was closed, `ma` was merged into `mb` and `mb` into `mc`, `a` was deleted with its edges
as the node of an entity, and `d` and `e` as nodes of the graph; `g` and `h` were created last.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from nexus_gateway.studio.conditions import Condition
from nexus_gateway.studio.feed.graph import SUBJECT
from nexus_gateway.studio.knowledge_graph.models import NodeDraft, NodePatch
from nexus_gateway.studio.knowledge_graph.service import Author, KnowledgeGraph
from nexus_gateway.studio.knowledge_graph.store import GraphStore
from nexus_gateway.studio.storage.graph_embedded import EmbeddedGraph

FILE = Path(__file__).parent / "files" / "graph-0.1.kgl"
ANY = Condition()
ALICE = Author("acme", "alice")
BOB = Author("other", "bob")


def tool(name: str) -> NodeDraft:
    return NodeDraft(entity_id=name, entity_type="tool", name=name.upper(), attributes={"size": 1})


async def test_every_kind_of_change_is_written_after_each_start(tmp_path: Path) -> None:
    path = tmp_path / "graph.kgl"
    shutil.copy(FILE, path)

    for start in range(3):
        async with EmbeddedGraph(path) as graph:
            service = KnowledgeGraph(GraphStore(graph))
            for name in (f"new{start}", f"dup{start}"):
                await service.create_node(ALICE, tool(name))
                await service.create_node(BOB, tool(name))
            await service.patch_node(ALICE, "b", NodePatch(name=f"B{start}"), ANY)
            await service.merge(ALICE, f"new{start}", f"dup{start}", ANY)
            await service.remove_node(BOB, f"new{start}", ANY)

    async with EmbeddedGraph(path) as graph:
        store = GraphStore(graph)
        names = ["b", "c", "f", "g", "h", "mc", *(f"new{n}" for n in range(3))]
        assert set(await store.nodes("acme", names)) == set(names)
        assert len(await store.node_versions("acme", "b")) == 3
        assert await store.aliases("acme", ["ma", "mb", "dup0", "dup2"]) == {
            "ma": "mc",
            "mb": "mc",
            "dup0": "new0",
            "dup2": "new2",
        }
        assert set(await store.nodes("other", ["new2", "dup2"])) == {"dup2"}


async def test_what_it_deleted_is_restored_with_its_edges(tmp_path: Path) -> None:
    path = tmp_path / "graph.kgl"
    shutil.copy(FILE, path)

    async with EmbeddedGraph(path) as graph:
        store = GraphStore(graph)
        await KnowledgeGraph(store).restore(Author("acme", SUBJECT), [tool("a"), tool("d")])

        edges = await store.incident("acme", ["a", "d"])

    assert sorted((edge.source, edge.type, edge.target) for edge in edges) == [
        ("a", "depends", "b"),
        ("c", "uses", "a"),
    ]
