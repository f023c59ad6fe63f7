"""Sequences of changes, restarts and kills against a simple model, over both engines.

Entities of one tenant are created, changed, linked, merged, deleted and restored; a second tenant
writes last after each step. An edge of the model is a fact: it shows while both of its nodes do,
and a merge moves it. `TEST_GRAPH_EXAMPLES` sets how many sequences are tried.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from nexus_gateway.studio.conditions import Condition
from nexus_gateway.studio.feed.graph import SUBJECT
from nexus_gateway.studio.knowledge_graph import maintenance
from nexus_gateway.studio.knowledge_graph.models import EdgeDraft, NodeDraft
from nexus_gateway.studio.knowledge_graph.service import Author, KnowledgeGraph
from nexus_gateway.studio.knowledge_graph.store import GraphStore
from nexus_gateway.studio.storage.graph_embedded import EmbeddedGraph
from nexus_gateway.studio.storage.graph_neo4j import Neo4jGraph

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from nexus_gateway.studio.storage.graph import Graph
    from tests.harness import neo4j_server

ANY = Condition()
NAMES = ("a", "b", "c", "d", "e")
names = st.sampled_from(NAMES)


class Changes(RuleBasedStateMachine):
    """Both the graph and the model of it; subclasses say how a graph is opened."""

    opened: Callable[[Path], Graph]
    killable = False

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folders = TemporaryDirectory()
        self.path = Path(self.folders.name) / "0.kgl"
        tenant = uuid4().hex
        self.mirror, self.alice = Author(tenant, SUBJECT), Author(tenant, "alice")
        self.other = Author(f"{tenant}-other", "bob")
        self.written = 0
        self.alive: dict[str, int] = {}
        self.deleted: dict[str, int] = {}
        self.merged: dict[str, str] = {}
        self.asleep: dict[str, list[str]] = {}
        self.facts: set[tuple[str, str]] = set()
        self.open()

    def run(self, work: Coroutine[object, object, object]) -> None:
        self.runner.run(work)

    def open(self) -> None:
        self.graph = type(self).opened(self.path)
        self.run(self.graph.__aenter__())
        self.store = GraphStore(self.graph)
        self.service = KnowledgeGraph(self.store)

    def teardown(self) -> None:
        self.run(self.graph.__aexit__(None, None, None))
        self.runner.close()
        self.folders.cleanup()

    def draft(self, name: str) -> NodeDraft:
        return NodeDraft(entity_id=name, entity_type="tool", attributes={"v": self.alive[name]})

    def shown(self) -> set[str]:
        return self.alive.keys() - self.merged.keys()

    def move(self, old: str, new: str) -> None:
        moved = {(new if a == old else a, new if b == old else b) for a, b in self.facts}
        self.facts = {(a, b) for a, b in moved if a != b}
        self.merged |= {name: new for name, target in self.merged.items() if target == old}
        self.merged[old] = new

    @rule(name=names)
    def create_or_update(self, name: str) -> None:
        if name not in self.deleted:
            self.alive[name] = self.alive.get(name, 0) + 1
            self.run(self.service.mirror(self.mirror, [self.draft(name)], []))

    @rule(name=names)
    def delete(self, name: str) -> None:
        free = all(name not in aliases for aliases in self.asleep.values())
        if name in self.shown() and free:
            aliases = [old for old, new in self.merged.items() if new == name]
            self.deleted[name] = self.alive.pop(name)
            self.asleep[name] = aliases
            for old in aliases:
                del self.merged[old]
            drafts = [self.draft(old) for old in aliases]
            self.run(self.service.mirror(self.mirror, drafts, [name]))

    @precondition(lambda self: self.deleted)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.deleted)))
        self.alive[name] = self.deleted.pop(name)
        for old in self.asleep.pop(name):
            self.move(old, name)
        self.run(self.service.restore(self.mirror, [self.draft(name)]))

    @rule(start=names, end=names)
    def link(self, start: str, end: str) -> None:
        if start != end and {start, end} <= self.shown():
            self.facts.add((start, end))
            edge = EdgeDraft(source=start, target=end, type="uses")
            self.run(self.service.take(self.alice, [], [edge]))

    @rule(into=names, duplicate=names)
    def merge(self, into: str, duplicate: str) -> None:
        if into != duplicate and not self.deleted and {into, duplicate} <= self.shown():
            self.move(duplicate, into)
            self.run(self.service.merge(self.alice, into, duplicate, ANY))

    @rule()
    def restart(self) -> None:
        self.run(self.graph.__aexit__(None, None, None))
        self.open()

    @precondition(lambda self: self.killable)
    @rule()
    def kill(self) -> None:
        """Continue with the files as a kill would leave them; what is open is let go."""
        there, before = self.path, self.graph
        self.path = there.with_name(f"{int(there.stem) + 1}.kgl")
        for suffix in ("", "-wal"):
            file = there.with_name(there.name + suffix)
            if file.exists():
                shutil.copy(file, self.path.with_name(self.path.name + suffix))
        self.run(before.__aexit__(None, None, None))
        self.open()

    @invariant()
    def the_second_tenant_writes_last(self) -> None:
        draft = NodeDraft(entity_id=f"n{self.written}", entity_type="tool")
        self.written += 1
        self.run(self.service.create_node(self.other, draft))

    @invariant()
    def the_graph_is_as_the_model_says(self) -> None:
        self.run(self.check())

    async def check(self) -> None:
        tenant, shown = self.alice.tenant, self.shown()
        nodes = await self.store.nodes(tenant, NAMES)
        assert set(nodes) == shown
        for name, node in nodes.items():
            aliases = {old for old, new in self.merged.items() if new == name}
            assert set(node.aliases) == aliases
            assert msgspec.json.decode(node.attributes) == {"v": self.alive[name]}
        assert await self.store.aliases(tenant, NAMES) == self.merged
        edges = await self.store.incident(tenant, NAMES)
        visible = {fact for fact in self.facts if shown.issuperset(fact)}
        assert {(edge.source, edge.target) for edge in edges} == visible
        verified = await maintenance.verify(self.graph)
        assert [fault for fault in verified.faults if fault.tenant.startswith(tenant)] == []
        counts = verified.tenants.get(self.other.tenant, maintenance.Counts())
        assert counts.nodes == self.written


@pytest.mark.parametrize("engine", ["embedded", "neo4j"])
def test_sequences_of_changes_leave_the_graph_as_a_model_says(
    request: pytest.FixtureRequest, engine: str
) -> None:
    class Machine(Changes):
        killable = engine == "embedded"

    def embedded(path: Path) -> EmbeddedGraph:
        return EmbeddedGraph(path, patience=0)

    if engine == "embedded":
        Machine.opened = staticmethod(embedded)
    else:
        server: neo4j_server.Server = request.getfixturevalue("neo4j")

        def connected(_: Path) -> Neo4jGraph:
            return Neo4jGraph(server.url, user=server.user, password=server.password)

        Machine.opened = staticmethod(connected)
    examples = int(os.environ.get("TEST_GRAPH_EXAMPLES", "10" if Machine.killable else "2"))
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=20 if Machine.killable else 10,
            deadline=None,
            suppress_health_check=[
                HealthCheck.too_slow,
                HealthCheck.filter_too_much,
                HealthCheck.data_too_large,
            ],
        ),
    )
