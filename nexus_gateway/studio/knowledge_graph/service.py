"""What the knowledge graph does with nodes and edges: the rules, without HTTP or Cypher."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import msgspec

from nexus_gateway.studio.fields import ATTRIBUTES_BYTES_MAX
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
    restored,
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
    NodeVersion,
    Stamp,
    Taken,
    edge_id,
)
from nexus_gateway.studio.knowledge_graph.store import version_of
from nexus_gateway.studio.knowledge_graph.turns import Turns
from nexus_gateway.studio.storage.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexus_gateway.studio.conditions import Condition
    from nexus_gateway.studio.knowledge_graph.live import Publisher
    from nexus_gateway.studio.knowledge_graph.store import GraphStore

Clock: TypeAlias = Callable[[], datetime]
T = TypeVar("T")

ALIASES = 256
"""Ids that may lead to one node."""


class Author(msgspec.Struct, frozen=True):
    """Who asks: a tenant, of whose graph alone is spoken, and a subject of it."""

    tenant: str
    subject: str


def now() -> datetime:
    """Tell the time, in whole microseconds as it is stored."""
    return datetime.now(UTC)


async def _nobody(tenant: str, ids: Sequence[str]) -> None:
    """Ignore ids that are free again."""


async def _none_pending(*_: object) -> bool:
    """Say that no nodes are on their way."""
    return False


class KnowledgeGraph:
    """The nodes and edges of every tenant; each call is one author's."""

    def __init__(
        self,
        store: GraphStore,
        *,
        publisher: Publisher | None = None,
        clock: Clock = now,
        changed: Callable[[str], None] = lambda _: None,
        released: Callable[[str, Sequence[str]], Awaitable[None]] = _nobody,
        pending: Callable[[str, Collection[str]], Awaitable[bool]] = _none_pending,
    ) -> None:
        """Rule over a store.

        Args:
            store: where nodes and edges are.
            publisher: where changes are told, event by event.
            clock: tells the time.
            changed: is called with the tenant after each change, and must not wait.
            released: is called with the ids that had been merged into a node that was deleted.
            pending: waits for those of the ids whose nodes are on their way, for a bounded time,
                and tells whether it makes sense to look again.
        """
        self._pending = pending
        self._released = released
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
        if current.aliases:
            await self._released(author.tenant, current.aliases)

    async def create_edge(self, author: Author, draft: EdgeDraft) -> Edge:
        """Keep a new edge.

        Raises:
            AlreadyExists: there is one of its type, and key, between the nodes.
            Dangling: a node is missing.
            StorageUnavailable: a node is on its way and has not come in time.
        """
        return await self._with_ends(author, [draft], lambda: self._create_edge(author, draft))

    async def _create_edge(self, author: Author, draft: EdgeDraft) -> Edge:
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
        return await self._with_ends(
            author, [draft], lambda: self._put_edge(author, name, draft, condition)
        )

    async def _put_edge(
        self, author: Author, name: str, draft: EdgeDraft, condition: Condition
    ) -> tuple[Edge, bool]:
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
        return await self._with_ends(
            author, bulk.edges, lambda: self._load(author, bulk), bulk.nodes
        )

    async def _load(self, author: Author, bulk: Bulk) -> Loaded:
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
        """Keep nodes and edges as given, each for itself; the last of an id is what counts.

        Raises:
            StorageUnavailable: nodes of edges are on their way and have not come in time.
        """
        lost = await self._lost(author, nodes, edges) if edges else set[str]()
        if lost:
            await self._pending(author.tenant, lost)
        return await self._take(author, nodes, edges)

    async def _take(
        self, author: Author, nodes: Sequence[NodeDraft], edges: Sequence[EdgeDraft]
    ) -> Taken:
        refused: dict[str, str] = {}
        named = {draft.entity_id: draft for draft in nodes}
        joined = {edge_id(d.source, d.target, d.type, d.key): d for d in edges}
        async with self._turns.of(author.tenant):
            for old, new in (await self._store.aliases(author.tenant, named)).items():
                refused[old] = f"node {old!r} was merged into {new!r}"
                del named[old]
            lost = await self._lost(author, list(named.values()), edges)
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

        What only the graph knows of a node, as when it holds or what it was merged with, stays. An
        id that was merged into another node is the graph's own decision, and is left alone, unless
        that node ends: then it is a node of its own again. The edges at a node that ends are
        restored with it (`restore`).
        """
        async with self._turns.of(author.tenant):
            ids = {draft.entity_id for draft in drafts} | set(gone)
            there = await self._store.nodes(author.tenant, ids)
            ended = [there[name] for name in dict.fromkeys(gone) if name in there]
            ending = {node.entity_id for node in ended}
            led = await self._store.aliases(author.tenant, ids)
            released = {old for old, new in led.items() if new in ending}
            before = await self._store.ended_nodes(author.tenant, released)
            named = {
                draft.entity_id: held(_former(there, before, draft.entity_id), draft)
                for draft in drafts
                if draft.entity_id in released or draft.entity_id not in led
            }
            stamp = self._stamp(author)
            changes = await self._mirrored(author, named, there, stamp)
            changes += [Change(node, None) for node in ended]
            await self._keep(author, stamp, changes, await self._taken(author, ended))

    async def merged_into(self, tenant: str, ids: Sequence[str]) -> list[str]:
        """List the ids that were merged into nodes."""
        nodes = await self._store.nodes(tenant, ids)
        return [alias for node in nodes.values() for alias in node.aliases]

    async def restore(self, author: Author, drafts: Sequence[NodeDraft]) -> None:
        """Undo that `mirror` ended nodes: with their edges, and what was merged into them.

        An edge whose other node is deleted too waits for that one. Ids that were merged into a
        node before it ended, and became nodes of their own, are merged into it again.
        """
        async with self._turns.of(author.tenant):
            await self._revive(author, {draft.entity_id: draft for draft in drafts})
            for draft in drafts:
                await self._merge_again(author, draft.entity_id)

    async def _revive(self, author: Author, drafts: dict[str, NodeDraft]) -> None:
        tenant = author.tenant
        there = await self._store.nodes(tenant, drafts)
        ended = {
            name: version
            for name, version in (await self._store.ended_nodes(tenant, drafts)).items()
            # Mirrored, and not deleted in the graph itself; a node that somebody has made in its
            # place gets the edges all the same.
            if version.ended == "deleted"
            and version.ended_by == author.subject
            and (name not in there or there[name].created_by != author.subject)
        }
        claimed = {
            alias: name
            for name, version in ended.items()
            if name not in there
            for alias in version.node.aliases
        }
        led = await self._store.aliases(tenant, {*drafts, *claimed})
        alive = await self._store.nodes(tenant, claimed)
        named = {
            name: held(_former(there, ended, name), draft)
            for name, draft in drafts.items()
            if name not in led and name not in claimed
        }
        aliases = {
            alias: name
            for alias, name in claimed.items()
            if name in named and alias not in alive and alias not in led
        }
        stamp = self._stamp(author)
        changes = await self._mirrored(author, named, there, stamp)
        changes = [_as_before(one, ended, led, stamp) for one in changes]
        revived = [version for name, version in ended.items() if name in named]
        edges, waiting = await self._restored_edges(author, revived, set(named), stamp)
        await self._keep(author, stamp, changes, edges, aliases, waiting)

    async def _restored_edges(
        self, author: Author, versions: Sequence[NodeVersion], named: set[str], stamp: Stamp
    ) -> tuple[list[Change[Edge]], dict[str, str]]:
        """Find the edges that come back with nodes, and those that wait for their other end."""
        tenant = author.tenant
        taken = await self._store.taken_edges(tenant, versions)
        found = {edge.edge_id: edge for edges in taken.values() for edge in edges}
        ends = {end for edge in found.values() for end in (edge.source, edge.target)} - named
        present = named | await self._store.present(tenant, ends)
        led = await self._store.aliases(tenant, ends - present)
        gone = await self._store.ended_nodes(tenant, ends - present - led.keys())
        restoring: dict[str, Change[Edge]] = {}
        moved: dict[str, EdgeDraft] = {}
        waiting: dict[str, str] = {}
        for edge in found.values():
            source, target = (led.get(end, end) for end in (edge.source, edge.target))
            away = [end for end in (edge.source, edge.target) if end in gone]
            if away:
                waiting[version_of(tenant, edge)] = version_of(tenant, gone[away[0]].node)
            elif (source, target) == (edge.source, edge.target):
                restoring[edge.edge_id] = restored(edge, stamp)
            elif source != target:
                # An end was merged into another node meanwhile: the edge would have moved with it.
                draft = rerouted(msgspec.structs.replace(edge, source=source), edge.target, target)
                moved[edge_id(source, target, draft.type, draft.key)] = draft
        new = {name: draft for name, draft in moved.items() if name not in restoring}
        live = await self._store.edges(tenant, new)
        changes = await self._edge_changes(
            author, {name: draft for name, draft in new.items() if name not in live}, stamp
        )
        return [*restoring.values(), *changes], waiting

    async def _merge_again(self, author: Author, name: str) -> None:
        """Merge what became a node of its own while the node that it was merged into was away."""
        tenant = author.tenant
        node = (await self._store.nodes(tenant, [name])).get(name)
        alive = {} if node is None else await self._store.nodes(tenant, node.aliases)
        for other in alive.values():
            current = (await self._store.nodes(tenant, [name]))[name]
            await self._merge(author, current, other)

    async def _mirrored(
        self,
        author: Author,
        drafts: Mapping[str, NodeDraft],
        there: Mapping[str, Node],
        stamp: Stamp,
    ) -> list[Change[Node]]:
        """Say what becomes of mirrored nodes; what was merged into one fills what is left open."""
        aliases = {alias for name in drafts if name in there for alias in there[name].aliases}
        merged = await self._store.ended_nodes(author.tenant, aliases)
        pasts = await self._store.pasts(
            author.tenant, "node", [name for name in drafts if name not in there]
        )
        changes: list[Change[Node]] = []
        for name, draft in drafts.items():
            current = there.get(name)
            others = _merged(() if current is None else current.aliases, merged)
            changes.append(put_node(current, (name, draft), stamp, pasts.get(name), others))
        return changes

    async def _taken(self, author: Author, ended: Sequence[Node]) -> list[Change[Edge]]:
        """End the edges at nodes; each is restored with the node that took it along."""
        if not ended:
            return []
        tenant = author.tenant
        versions = {node.entity_id: version_of(tenant, node) for node in ended}
        edges = await self._store.incident(tenant, versions)
        return [
            Change(edge, None, "deleted", versions.get(edge.source) or versions[edge.target])
            for edge in edges
        ]

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
            return await self._merge(author, target, other)

    async def _merge(self, author: Author, target: Node, other: Node) -> Merged:
        stamp = self._stamp(author)
        both = joined(target, other)
        if len(both.attributes) > ATTRIBUTES_BYTES_MAX:
            message = f"both have more than {ATTRIBUTES_BYTES_MAX} bytes of attributes"
            raise BadQuery("duplicate", message, location="body")
        moved, counts = await self._moved(author, other.entity_id, target.entity_id, stamp)
        nodes = [
            changed(target, both, stamp),
            Change(other, None, "merged"),
        ]
        await self._keep(author, stamp, nodes, moved, {other.entity_id: target.entity_id})
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

    async def _lost(
        self, author: Author, nodes: Sequence[NodeDraft], edges: Sequence[EdgeDraft]
    ) -> set[str]:
        """List the ends of edges that are neither among the nodes nor in the graph."""
        ends = {end for draft in edges for end in (draft.source, draft.target)}
        ends -= {draft.entity_id for draft in nodes}
        return ends - await self._store.present(author.tenant, ends)

    async def _with_ends(
        self,
        author: Author,
        drafts: Sequence[EdgeDraft],
        act: Callable[[], Awaitable[T]],
        nodes: Sequence[NodeDraft] = (),
    ) -> T:
        """Change edges; where nodes are missing, again after those on their way have come.

        The wait is outside the tenant's turn: what brings the nodes needs the turn, too.
        """
        try:
            return await act()
        except Dangling:
            lost = await self._lost(author, nodes, drafts)
            if lost and not await self._pending(author.tenant, lost):
                raise
        return await act()

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
        waiting: Mapping[str, str] | None = None,
    ) -> None:
        try:
            await self._store.apply(
                author.tenant, stamp, nodes=nodes, edges=edges, aliases=aliases, waiting=waiting
            )
        except Conflict as exc:
            raise RevisionMismatch("it was changed at the same moment: read it again") from exc
        self._changed(author.tenant)
        await self._live.tell(author.tenant, nodes, edges)

    def _stamp(self, author: Author) -> Stamp:
        return Stamp(self._clock(), author.subject)


def _former(there: Mapping[str, Node], ended: Mapping[str, NodeVersion], name: str) -> Node | None:
    """Give the state that a mirrored node continues."""
    if name in there:
        return there[name]
    return ended[name].node if name in ended else None


def _as_before(
    change: Change[Node],
    ended: Mapping[str, NodeVersion],
    led: Mapping[str, str],
    stamp: Stamp,
) -> Change[Node]:
    """Give a restored node the aliases and the content that it had beside its entity's."""
    after = change.after
    if change.before is not None or after is None or after.entity_id not in ended:
        return change
    former = ended[after.entity_id].node
    wanted = msgspec.structs.replace(
        joined(after, former),
        aliases=tuple(alias for alias in former.aliases if alias not in led),
        created_by=former.created_by,
        updated_at=max(stamp.at, former.updated_at),
    )
    return Change(None, wanted)


def _merged(aliases: Sequence[str], versions: Mapping[str, NodeVersion]) -> list[Node]:
    """List the nodes that were merged into one, as they were then."""
    found = (versions[alias] for alias in aliases if alias in versions)
    return [version.node for version in found if version.ended == "merged"]


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
