"""What the knowledge graph does with nodes and edges: the rules, without HTTP or Cypher."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from nexus_gateway.studio.knowledge_graph.edits import (
    Change,
    Past,
    changed,
    guard,
    held,
    joined,
    missing,
    new_edge,
    new_node,
    patched_edge,
    patched_node,
    put_edge,
    put_node,
    rerouted,
    tally,
)
from nexus_gateway.studio.knowledge_graph.errors import (
    AlreadyExists,
    BadQuery,
    Dangling,
    Moved,
    RevisionMismatch,
)
from nexus_gateway.studio.knowledge_graph.links import links
from nexus_gateway.studio.knowledge_graph.live import Live, Nobody
from nexus_gateway.studio.knowledge_graph.models import (
    Bulk,
    Edge,
    EdgeDraft,
    EdgePatch,
    Loaded,
    Merged,
    Node,
    NodeContent,
    NodeDraft,
    NodePatch,
    Stamp,
    Taken,
    edge_id,
)
from nexus_gateway.studio.knowledge_graph.turns import Turns
from nexus_gateway.studio.storage.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nexus_gateway.studio.conditions import Condition
    from nexus_gateway.studio.knowledge_graph.live import Publisher
    from nexus_gateway.studio.knowledge_graph.store import GraphStore

Clock: TypeAlias = Callable[[], datetime]

ALIASES = 256
"""Ids that may lead to one node."""


class Author(msgspec.Struct, frozen=True):
    """Who asks: a tenant, of whose graph alone is spoken, and a subject of it."""

    tenant: str
    subject: str


def now() -> datetime:
    """Tell the time, in whole microseconds as it is stored."""
    return datetime.now(UTC)


class KnowledgeGraph:
    """The nodes and edges of every tenant; each call is one author's."""

    def __init__(
        self,
        store: GraphStore,
        *,
        publisher: Publisher | None = None,
        clock: Clock = now,
        changed: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Rule over a store.

        Args:
            store: where nodes and edges are.
            publisher: where changes are told, event by event.
            clock: tells the time.
            changed: is called with the tenant after each change, and must not wait.
        """
        self._store = store
        self._changed = changed
        around = None if publisher is None else partial(links, store)
        self._live = Live(publisher or Nobody(), around)
        self._clock = clock
        self._turns = Turns()

    async def create_node(self, author: Author, draft: NodeDraft) -> Node:
        """Keep a new node.

        Raises:
            AlreadyExists: the id is taken, also where it is an alias.
        """
        async with self._turns.of(author.tenant):
            name = draft.entity_id
            if await self._store.nodes(author.tenant, [name]):
                raise AlreadyExists(f"node {name!r} exists already")
            await self._refuse_aliases(author, [name])
            pasts = await self._store.pasts(author.tenant, "node", [name])
            stamp = self._stamp(author)
            change = Change(None, new_node(name, draft, stamp, pasts.get(name)))
            await self._keep(author, stamp, [change])
        return change.kept

    async def put_node(
        self, author: Author, entity_id: str, content: NodeContent, condition: Condition
    ) -> tuple[Node, bool]:
        """Keep a node as given, replacing what was there; and whether it is new.

        Raises:
            Moved: it was merged into another.
            RevisionMismatch: the condition does not hold.
        """
        async with self._turns.of(author.tenant):
            current = await self._current(author, entity_id)
            guard(f"node {entity_id!r}", current, condition)
            pasts: dict[str, Past] = {}
            if current is None:
                pasts = await self._store.pasts(author.tenant, "node", [entity_id])
            stamp = self._stamp(author)
            change = put_node(current, (entity_id, content), stamp, pasts.get(entity_id))
            await self._keep(author, stamp, [change])
        return change.kept, current is None

    async def patch_node(
        self, author: Author, entity_id: str, patch: NodePatch, condition: Condition
    ) -> Node:
        """Change the named parts of a node.

        Raises:
            Moved: it was merged into another.
            NotFound: there is none.
            RevisionMismatch: the condition does not hold.
        """
        async with self._turns.of(author.tenant):
            current = await self._current(author, entity_id)
            guard(f"node {entity_id!r}", current, condition)
            if current is None:
                raise missing("node", entity_id)
            stamp = self._stamp(author)
            change = changed(current, patched_node(current, patch), stamp)
            await self._keep(author, stamp, [change])
        return change.kept

    async def remove_node(self, author: Author, entity_id: str, condition: Condition) -> None:
        """Forget a node, and the edges at it; their versions stay.

        Raises:
            Moved: it was merged into another.
            NotFound: there is none.
            RevisionMismatch: the condition does not hold.
        """
        async with self._turns.of(author.tenant):
            current = await self._current(author, entity_id)
            guard(f"node {entity_id!r}", current, condition)
            if current is None:
                raise missing("node", entity_id)
            edges = await self._store.incident(author.tenant, [entity_id])
            ended = [Change(edge, None) for edge in edges]
            await self._keep(author, self._stamp(author), [Change(current, None)], ended)

    async def create_edge(self, author: Author, draft: EdgeDraft) -> Edge:
        """Keep a new edge.

        Raises:
            AlreadyExists: there is one of its type, and key, between the nodes.
            Dangling: a node is missing.
        """
        async with self._turns.of(author.tenant):
            await self._refuse_dangling(author, [draft])
            name = edge_id(draft.source, draft.target, draft.type, draft.key)
            if await self._store.edges(author.tenant, [name]):
                raise AlreadyExists(f"edge {name!r} exists already")
            pasts = await self._store.pasts(author.tenant, "edge", [name])
            stamp = self._stamp(author)
            change = Change(None, new_edge(draft, stamp, pasts.get(name)))
            await self._keep(author, stamp, (), [change])
        return change.kept

    async def put_edge(
        self, author: Author, name: str, draft: EdgeDraft, condition: Condition
    ) -> tuple[Edge, bool]:
        """Keep an edge as given, replacing what was there; and whether it is new.

        Raises:
            BadQuery: the edge is not one of that id.
            Dangling: a node is missing.
            RevisionMismatch: the condition does not hold.
        """
        if edge_id(draft.source, draft.target, draft.type, draft.key) != name:
            raise BadQuery(
                "source", "source, target, type and key make another edge_id", location="body"
            )
        async with self._turns.of(author.tenant):
            await self._refuse_dangling(author, [draft])
            current = (await self._store.edges(author.tenant, [name])).get(name)
            guard(f"edge {name!r}", current, condition)
            pasts: dict[str, Past] = {}
            if current is None:
                pasts = await self._store.pasts(author.tenant, "edge", [name])
            stamp = self._stamp(author)
            change = put_edge(current, draft, stamp, pasts.get(name))
            await self._keep(author, stamp, (), [change])
        return change.kept, current is None

    async def patch_edge(
        self, author: Author, name: str, patch: EdgePatch, condition: Condition
    ) -> Edge:
        """Change the named parts of an edge.

        Raises:
            NotFound: there is none.
            RevisionMismatch: the condition does not hold.
        """
        async with self._turns.of(author.tenant):
            current = await self._edge(author, name, condition)
            stamp = self._stamp(author)
            change = changed(current, patched_edge(current, patch), stamp)
            await self._keep(author, stamp, (), [change])
        return change.kept

    async def remove_edge(self, author: Author, name: str, condition: Condition) -> None:
        """Forget an edge; its versions stay.

        Raises:
            NotFound: there is none.
            RevisionMismatch: the condition does not hold.
        """
        async with self._turns.of(author.tenant):
            current = await self._edge(author, name, condition)
            await self._keep(author, self._stamp(author), (), [Change(current, None)])

    async def load(self, author: Author, bulk: Bulk) -> Loaded:
        """Keep many nodes and edges as given, all or none; the last of an id is what counts.

        Raises:
            Dangling: edges name nodes that are neither there nor in the bulk.
            AlreadyExists: a node's id is an alias.
        """
        nodes = {draft.entity_id: draft for draft in bulk.nodes}
        edges = {edge_id(d.source, d.target, d.type, d.key): d for d in bulk.edges}
        async with self._turns.of(author.tenant):
            await self._refuse_dangling(author, bulk.edges, nodes)
            stamp = self._stamp(author)
            node_changes = await self._node_changes(author, nodes, stamp)
            edge_changes = await self._edge_changes(author, edges, stamp)
            await self._keep(author, stamp, node_changes, edge_changes)
        return Loaded(tally(node_changes), tally(edge_changes))

    async def take(
        self, author: Author, nodes: Sequence[NodeDraft], edges: Sequence[EdgeDraft]
    ) -> Taken:
        """Keep nodes and edges as given, each for itself; the last of an id is what counts."""
        refused: dict[str, str] = {}
        named = {draft.entity_id: draft for draft in nodes}
        joined = {edge_id(d.source, d.target, d.type, d.key): d for d in edges}
        async with self._turns.of(author.tenant):
            for old, new in (await self._store.aliases(author.tenant, named)).items():
                refused[old] = f"node {old!r} was merged into {new!r}"
                del named[old]
            ends = {end for draft in joined.values() for end in (draft.source, draft.target)}
            lost = ends - named.keys()
            lost -= await self._store.present(author.tenant, lost)
            for name, draft in list(joined.items()):
                missing_ends = [end for end in (draft.source, draft.target) if end in lost]
                if missing_ends:
                    refused[name] = f"there is no node {missing_ends[0]!r}"
                    del joined[name]
            stamp = self._stamp(author)
            node_changes = await self._node_changes(author, named, stamp)
            edge_changes = await self._edge_changes(author, joined, stamp)
            await self._keep(author, stamp, node_changes, edge_changes)
        return Taken(Loaded(tally(node_changes), tally(edge_changes)), refused)

    async def mirror(
        self, author: Author, drafts: Sequence[NodeDraft], gone: Sequence[str]
    ) -> None:
        """Let nodes be what something else says of them; those that are gone end.

        What only the graph knows of a node, as when it holds, stays. An id that was merged into
        another node is the graph's own decision, and is left alone.
        """
        async with self._turns.of(author.tenant):
            ids = {draft.entity_id for draft in drafts} | set(gone)
            led = await self._store.aliases(author.tenant, ids)
            there = await self._store.nodes(author.tenant, ids)
            named = {
                draft.entity_id: held(there.get(draft.entity_id), draft)
                for draft in drafts
                if draft.entity_id not in led
            }
            stamp = self._stamp(author)
            ended = [there[name] for name in dict.fromkeys(gone) if name in there]
            changes = await self._node_changes(author, named, stamp)
            changes += [Change(node, None) for node in ended]
            names = [node.entity_id for node in ended]
            edges = await self._store.incident(author.tenant, names) if names else []
            await self._keep(author, stamp, changes, [Change(edge, None) for edge in edges])

    async def merge(
        self, author: Author, entity_id: str, duplicate: str, condition: Condition
    ) -> Merged:
        """Take a node into another, with its edges; its id leads to the other from now on.

        An edge that the node has already stays as it is; one between the two is dropped.

        Raises:
            Moved: the node itself was merged into another.
            NotFound: one of the two is missing.
            RevisionMismatch: the condition does not hold.
            BadQuery: they are one, or too many ids lead to it already.
        """
        if duplicate == entity_id:
            raise BadQuery("duplicate", "a node is not merged into itself", location="body")
        async with self._turns.of(author.tenant):
            target = await self._current(author, entity_id)
            guard(f"node {entity_id!r}", target, condition)
            if target is None:
                raise missing("node", entity_id)
            other = (await self._store.nodes(author.tenant, [duplicate])).get(duplicate)
            if other is None:
                raise missing("node", duplicate)
            if len(target.aliases) + len(other.aliases) >= ALIASES:
                raise BadQuery(
                    "duplicate", f"at most {ALIASES} ids lead to one node", location="body"
                )
            stamp = self._stamp(author)
            moved, counts = await self._moved(author, other.entity_id, entity_id, stamp)
            nodes = [
                changed(target, joined(target, other), stamp),
                Change(other, None, "merged"),
            ]
            await self._keep(author, stamp, nodes, moved, {duplicate: entity_id})
        return Merged(nodes[0].kept, *counts)

    async def _moved(
        self, author: Author, old: str, new: str, stamp: Stamp
    ) -> tuple[list[Change[Edge]], tuple[int, int, int]]:
        """Lay a node's edges to another; and count the moved, the joined and the dropped."""
        edges = await self._store.incident(author.tenant, [old])
        drafts = {edge.edge_id: rerouted(edge, old, new) for edge in edges}
        ends = {key: edge_id(d.source, d.target, d.type, d.key) for key, d in drafts.items()}
        there = await self._store.edges(author.tenant, set(ends.values()))
        pasts = await self._store.pasts(author.tenant, "edge", set(ends.values()))
        changes: list[Change[Edge]] = []
        made: set[str] = set()
        joined_, dropped = 0, 0
        for edge in edges:
            draft, name = drafts[edge.edge_id], ends[edge.edge_id]
            changes.append(Change(edge, None, "merged"))
            if new in (edge.source, edge.target):
                dropped += 1
            elif name in there or name in made:
                joined_ += 1
            else:
                made.add(name)
                # It is as old as the edge that it goes on for: no earlier answer becomes another.
                known = pasts.get(name) or Past(0, edge.created_at)
                changes.append(Change(None, new_edge(draft, stamp, known)))
        return changes, (len(made), joined_, dropped)

    async def _node_changes(
        self, author: Author, drafts: Mapping[str, NodeDraft], stamp: Stamp
    ) -> list[Change[Node]]:
        there = await self._store.nodes(author.tenant, drafts)
        new = [name for name in drafts if name not in there]
        await self._refuse_aliases(author, new)
        pasts = await self._store.pasts(author.tenant, "node", new)
        return [
            put_node(there.get(name), (name, draft), stamp, pasts.get(name))
            for name, draft in drafts.items()
        ]

    async def _edge_changes(
        self, author: Author, drafts: Mapping[str, EdgeDraft], stamp: Stamp
    ) -> list[Change[Edge]]:
        there = await self._store.edges(author.tenant, drafts)
        new = [name for name in drafts if name not in there]
        pasts = await self._store.pasts(author.tenant, "edge", new)
        return [
            put_edge(there.get(name), draft, stamp, pasts.get(name))
            for name, draft in drafts.items()
        ]

    async def _current(self, author: Author, entity_id: str) -> Node | None:
        found = await self._store.nodes(author.tenant, [entity_id])
        if not found:
            led = await self._store.aliases(author.tenant, [entity_id])
            if entity_id in led:
                raise Moved(entity_id, led[entity_id])
        return found.get(entity_id)

    async def _edge(self, author: Author, name: str, condition: Condition) -> Edge:
        current = (await self._store.edges(author.tenant, [name])).get(name)
        guard(f"edge {name!r}", current, condition)
        if current is None:
            raise missing("edge", name)
        return current

    async def _refuse_aliases(self, author: Author, names: Sequence[str]) -> None:
        for old, new in (await self._store.aliases(author.tenant, names)).items():
            raise AlreadyExists(f"{old!r} is an alias of node {new!r}")

    async def _refuse_dangling(
        self, author: Author, drafts: Sequence[EdgeDraft], made: Mapping[str, object] | None = None
    ) -> None:
        ends = {end for draft in drafts for end in (draft.source, draft.target)} - set(made or ())
        lost = ends - await self._store.present(author.tenant, ends)
        if lost:
            raise Dangling(list(_faults(drafts, lost, many=made is not None)))

    async def _keep(
        self,
        author: Author,
        stamp: Stamp,
        nodes: Sequence[Change[Node]] = (),
        edges: Sequence[Change[Edge]] = (),
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        try:
            await self._store.apply(author.tenant, stamp, nodes=nodes, edges=edges, aliases=aliases)
        except Conflict as exc:
            raise RevisionMismatch("it was changed at the same moment: read it again") from exc
        self._changed(author.tenant)
        await self._live.tell(author.tenant, nodes, edges)

    def _stamp(self, author: Author) -> Stamp:
        return Stamp(self._clock(), author.subject)


FAULTS = 100
"""Faults of a bulk that are named."""


def _faults(drafts: Sequence[EdgeDraft], lost: set[str], *, many: bool) -> list[tuple[str, str]]:
    faults: list[tuple[str, str]] = []
    for number, draft in enumerate(drafts):
        for field, end in (("source", draft.source), ("target", draft.target)):
            if end in lost and len(faults) < FAULTS:
                path = f"edges[{number}].{field}" if many else field
                faults.append((path, f"there is no node {end!r}"))
    return faults
