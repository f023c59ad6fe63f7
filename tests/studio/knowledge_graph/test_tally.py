"""Counts that changes keep up to date are what the engine counts, and cost no count of all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from nexus_gateway.studio.conditions import Condition
from nexus_gateway.studio.knowledge_graph import stats as statistics
from nexus_gateway.studio.knowledge_graph.errors import RevisionMismatch
from nexus_gateway.studio.knowledge_graph.models import (
    Bulk,
    EdgeDraft,
    EdgePatch,
    NodeContent,
    NodeDraft,
    edge_id,
)
from nexus_gateway.studio.knowledge_graph.service import Author, KnowledgeGraph
from nexus_gateway.studio.knowledge_graph.stats import Statistics
from nexus_gateway.studio.knowledge_graph.store import GraphStore
from nexus_gateway.studio.storage.errors import Conflict
from nexus_gateway.studio.storage.graph_embedded import EmbeddedGraph

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from nexus_gateway.studio.storage.graph import Rows, Statement

ALICE = Author("acme", "alice")
ANY = Condition()


@pytest.fixture
async def graph(tmp_path: Path) -> AsyncIterator[EmbeddedGraph]:
    async with EmbeddedGraph(tmp_path / "graph.kgl", patience=0) as opened:
        yield opened


def node(name: str, kind: str = "tool") -> NodeDraft:
    return NodeDraft(entity_id=name, entity_type=kind)


def edge(source: str, target: str, kind: str = "depends") -> EdgeDraft:
    return EdgeDraft(source=source, target=target, type=kind)


async def test_counts_are_what_the_engine_counts_after_every_kind_of_change(
    graph: EmbeddedGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = GraphStore(graph)
    service, counted = KnowledgeGraph(store), Statistics(store)

    async def check() -> None:
        anew = await Statistics(GraphStore(graph)).stats("acme")
        assert await counted.stats("acme") == anew

    await check()
    edges = (edge("a", "b"), edge("b", "c"), edge("c", "d", "made_by"), edge("a", "d"))
    await service.load(ALICE, Bulk(nodes=tuple(map(node, "abcde")), edges=edges))
    await check()
    await service.put_node(ALICE, "a", NodeContent(entity_type="person"), ANY)
    await service.put_node(ALICE, "a", NodeContent(entity_type="person"), ANY)
    await check()
    name = edge_id("a", "b", "depends", "")
    await service.patch_edge(ALICE, name, EdgePatch(attributes={"n": 1}), ANY)
    await service.take(ALICE, [node("b"), node("f", "person")], [edge("f", "a"), edge("f", "x")])
    await check()
    await service.merge(ALICE, "b", "c", ANY)
    await check()
    await service.mirror(ALICE, [node("m"), node("e", "person")], ["a"])
    await check()
    await service.restore(ALICE, [node("a")])
    await check()
    await service.remove_node(ALICE, "d", ANY)
    await service.remove_edge(ALICE, edge_id("f", "a", "depends", ""), ANY)
    await check()
    await asyncio.gather(*(service.create_node(ALICE, node(f"n{one}")) for one in range(20)))
    await check()
    await service.create_node(Author("other", "bob"), node("a", "odd"))
    await check()

    asked: list[str] = []
    read = graph.read

    async def listening(statement: Statement, *, rows: int, seconds: float) -> Rows:
        asked.append(statement.text)
        return await read(statement, rows=rows, seconds=seconds)

    monkeypatch.setattr(graph, "read", listening)
    await counted.stats("acme")
    assert len(asked) == 1
    assert "Alias" in asked[0]


async def test_a_change_whose_outcome_is_not_known_is_counted_again(
    graph: EmbeddedGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = GraphStore(graph)
    service, counted = KnowledgeGraph(store), Statistics(store)
    await service.create_node(ALICE, node("a"))
    assert (await counted.stats("acme")).nodes == 1
    write = graph.write

    async def made_and_not_answered(
        statements: Sequence[Statement], *, seconds: float
    ) -> list[Rows]:
        await write(statements, seconds=seconds)
        raise Conflict("the answer is lost")

    with monkeypatch.context() as patched:
        patched.setattr(graph, "write", made_and_not_answered)
        with pytest.raises(RevisionMismatch):
            await service.create_node(ALICE, node("b"))

    assert (await counted.stats("acme")).nodes == 2


async def test_a_schema_counts_names_one_by_one_where_they_differ_too_much(
    graph: EmbeddedGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = GraphStore(graph)
    service = KnowledgeGraph(store)
    drafts = [
        msgspec.structs.replace(node(f"n{one}"), attributes={f"only_{one}": one, "all": 1})
        for one in range(60)
    ]
    await service.take(ALICE, drafts, [])
    grouped = await Statistics(store).schema("acme")
    many = "UNWIND range(1, 200001) AS x RETURN x AS a, x AS b, x AS c"
    monkeypatch.setattr(statistics, "_NAMES", many)

    assert await Statistics(store).schema("acme") == grouped
    assert len(grouped.nodes[0].properties) == 61
