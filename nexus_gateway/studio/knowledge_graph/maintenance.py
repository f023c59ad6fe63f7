"""What operators do with a whole graph: verify, repair, export and import, of every tenant.

An export is NDJSON: a line for each node, edge, former version and alias, with its tenant. Either
engine reads what the other wrote, and nothing that exists is changed by an import.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import msgspec

from nexus_gateway.studio.knowledge_graph import rows, writes
from nexus_gateway.studio.knowledge_graph.edits import Change
from nexus_gateway.studio.knowledge_graph.explore import Explorer
from nexus_gateway.studio.knowledge_graph.models import (
    Edge,
    EdgeSelection,
    EdgeVersion,
    Node,
    NodeSelection,
    NodeVersion,
    Stamp,
)
from nexus_gateway.studio.knowledge_graph.statements import owned
from nexus_gateway.studio.storage.graph import Statement

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence

    from nexus_gateway.studio.knowledge_graph.store import GraphStore
    from nexus_gateway.studio.storage.graph import Graph, Value

T = TypeVar("T")

ROWS_MAX = 10_000_000
STATEMENT_TIMEOUT_S = 300.0
BATCH = 500
"""Lines that one transaction imports, and that one statement exports."""


class ExportedNode(msgspec.Struct, frozen=True, tag="node"):
    """A node as it is."""

    tenant: str
    node: Node


class ExportedEdge(msgspec.Struct, frozen=True, tag="edge"):
    """An edge as it is."""

    tenant: str
    edge: Edge


class ExportedVersion(msgspec.Struct, frozen=True, tag="version", omit_defaults=True):
    """What a node or an edge was before, until when, and what ended it."""

    tenant: str
    until: datetime
    node: Node | None = None
    edge: Edge | None = None
    ended: str | None = None
    ended_by: str | None = None
    ended_with: str = ""


class ExportedAlias(msgspec.Struct, frozen=True, tag="alias"):
    """An id that leads to a node."""

    tenant: str
    entity_id: str
    target: str


Line: TypeAlias = ExportedNode | ExportedEdge | ExportedVersion | ExportedAlias


class Counts(msgspec.Struct):
    """What a tenant has."""

    nodes: int = 0
    edges: int = 0
    versions: int = 0
    aliases: int = 0


class Fault(msgspec.Struct, frozen=True):
    """Something that should not be: `kind` names what, `subject` which one."""

    kind: str
    tenant: str
    subject: str


class Verified(msgspec.Struct, frozen=True):
    """What a graph holds by tenant, and what is wrong with it."""

    engine: str
    tenants: dict[str, Counts]
    faults: tuple[Fault, ...]


async def verify(graph: Graph) -> Verified:
    """Count what each tenant has, and find what should not be.

    Raises:
        StorageError: the graph cannot be read.
    """
    tenants: dict[str, Counts] = {}
    for field, text in _COUNTS.items():
        for tenant, count in await _all(graph, text):
            counts = tenants.setdefault(str(tenant), Counts())
            setattr(counts, field, count)
    faults = [
        *await _duplicates(graph),
        *await _foreign_edges(graph),
        *await _lost_aliases(graph),
        *await _lost_versions(graph),
    ]
    return Verified(graph.name, dict(sorted(tenants.items())), tuple(faults))


async def repair(graph: Graph, faults: Iterable[Fault]) -> Counter[str]:
    """Remove aliases that lead nowhere and edges between tenants, and end histories of lost things.

    Ids that exist twice are left alone: which of the two is right is not known. How many faults of
    each kind were repaired.
    """
    repaired: Counter[str] = Counter()
    for fault in faults:
        text = _REPAIRS.get(fault.kind)
        if text is not None:
            names: dict[str, Value] = {"owner": fault.tenant, "subject": fault.subject}
            await graph.write([Statement(text, names)], seconds=STATEMENT_TIMEOUT_S)
            repaired[fault.kind] += 1
    return repaired


async def tenants_of(graph: Graph) -> list[str]:
    """List the tenants that have anything in a graph."""
    found: set[str] = set()
    for text in (_COUNTS["nodes"], _COUNTS["versions"], _COUNTS["aliases"]):
        found |= {str(row[0]) for row in await _all(graph, text)}
    return sorted(found)


async def export(store: GraphStore) -> AsyncGenerator[Line]:
    """Read a whole graph, tenant by tenant; nodes come before edges.

    Raises:
        StorageError: the graph cannot be read.
    """
    explorer = Explorer(store)
    for tenant in await tenants_of(store.graph):
        async for node in explorer.all_nodes(tenant, NodeSelection(limit=BATCH)):
            yield ExportedNode(tenant, node)
        async for edge in explorer.all_edges(tenant, EdgeSelection(limit=BATCH)):
            yield ExportedEdge(tenant, edge)
        for entity_id, target in await _owned(store.graph, tenant, _ALIASES):
            yield ExportedAlias(tenant, str(entity_id), str(target))
        async for version in _versions(store.graph, tenant):
            yield version


async def load(store: GraphStore, lines: Iterable[Line]) -> Counter[str]:
    """Write exported lines, in batches of one transaction each; what exists stays as it is.

    How many of each kind were new, and `existing`.

    Raises:
        StorageError: the graph does not take a batch; those before it are stored.
    """
    total: Counter[str] = Counter()
    for batch in _batches(lines):
        for tenant in dict.fromkeys(line.tenant for line in batch):
            total += await _load(store, tenant, [one for one in batch if one.tenant == tenant])
    return total


async def _load(store: GraphStore, tenant: str, lines: list[Line]) -> Counter[str]:
    nodes = {one.node.entity_id: one.node for one in lines if isinstance(one, ExportedNode)}
    edges = {one.edge.edge_id: one.edge for one in lines if isinstance(one, ExportedEdge)}
    aliases = {one.entity_id: one.target for one in lines if isinstance(one, ExportedAlias)}
    versions = {
        str(properties["version"]): properties
        for one in lines
        if isinstance(one, ExportedVersion)
        for properties in [_properties(one)]
    }
    there = await store.present(tenant, nodes)
    linked = await store.edges(tenant, edges)
    led = await store.aliases(tenant, aliases)
    kept = await _owned(store.graph, tenant, _KNOWN, versions=list(versions))
    known = {str(row[0]) for row in kept}
    new_nodes = [Change(None, node) for name, node in nodes.items() if name not in there]
    new_edges = [Change(None, edge) for name, edge in edges.items() if name not in linked]
    new_aliases = {old: new for old, new in aliases.items() if old not in led}
    rest: list[Value] = [one for name, one in versions.items() if name not in known]
    stamp = Stamp(rows.EPOCH, "import")
    statements = writes.statements(tenant, stamp, new_nodes, new_edges, new_aliases, {})
    if rest:
        statements.append(owned(writes.NEW_VERSIONS, tenant, rows=rest))
    if statements:
        await store.graph.write(statements, seconds=STATEMENT_TIMEOUT_S)
    made = Counter(
        nodes=len(new_nodes), edges=len(new_edges), aliases=len(new_aliases), versions=len(rest)
    )
    return made + Counter(existing=len(lines) - made.total())


def _properties(version: ExportedVersion) -> dict[str, Value]:
    record = version.node if version.edge is None else version.edge
    assert record is not None  # noqa: S101 - `read_line` has checked
    return rows.version_properties(
        record,
        version.tenant,
        version.until,
        version.ended,
        version.ended_by or "",
        version.ended_with,
    )


_LINES: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def read_line(text: bytes) -> Line:
    """Read a line of an export.

    Raises:
        ValueError: it is not one.
    """
    line = _LINES.decode(text)
    if isinstance(line, ExportedVersion) and (line.node is None) == (line.edge is None):
        raise ValueError("a version is of a node or of an edge")
    return line


async def _versions(graph: Graph, tenant: str) -> AsyncGenerator[ExportedVersion]:
    for text in (_NODE_VERSIONS, _EDGE_VERSIONS):
        after = ""
        while found := await _owned(graph, tenant, text, after=after, limit=BATCH):
            for name, ended_with, *columns in found:
                after = str(name)
                yield _version(tenant, columns, str(ended_with or ""), edge=text is _EDGE_VERSIONS)


def _version(
    tenant: str, columns: Sequence[Value], ended_with: str, *, edge: bool
) -> ExportedVersion:
    last = rows.edge_version_of(columns) if edge else rows.node_version_of(columns)
    assert last.until is not None  # noqa: S101 - a version has an end
    return ExportedVersion(
        tenant,
        last.until,
        node=last.node if isinstance(last, NodeVersion) else None,
        edge=last.edge if isinstance(last, EdgeVersion) else None,
        ended=last.ended,
        ended_by=last.ended_by,
        ended_with=ended_with,
    )


async def _duplicates(graph: Graph) -> list[Fault]:
    found = await _all(graph, _DUPLICATES)
    return [Fault("duplicate_id", str(tenant), str(name)) for tenant, name, _ in found]


async def _foreign_edges(graph: Graph) -> list[Fault]:
    found = await _all(graph, _FOREIGN)
    return [Fault("dangling_edge", str(tenant), str(name)) for tenant, name in found]


async def _lost_aliases(graph: Graph) -> list[Fault]:
    aliases = [tuple(map(str, row)) for row in await _all(graph, _ALL_ALIASES)]
    live = {(str(tenant), str(name)) for tenant, name in await _all(graph, _ALL_NODES)}
    return [
        Fault("alias_without_target", tenant, name)
        for tenant, name, target in aliases
        if (tenant, target) not in live or (tenant, name) in live
    ]


async def _lost_versions(graph: Graph) -> list[Fault]:
    """Find histories that go on, of nodes and edges that are not there."""
    ended = {str(row[0]): row[1] for row in await _all(graph, _ENDED)}
    live = {
        rows.subject(str(tenant), kind, str(name))
        for kind, text in (("node", _ALL_NODES), ("edge", _ALL_EDGES))
        for tenant, name in await _all(graph, text)
    }
    return [
        Fault("version_without_entity", str(owner), str(subject))
        for owner, subject, revision in await _all(graph, _LAST)
        if str(subject) not in live and ended.get(str(subject)) != revision
    ]


async def _all(graph: Graph, text: str) -> list[tuple[Value, ...]]:
    answer = await graph.read(Statement(text), rows=ROWS_MAX, seconds=STATEMENT_TIMEOUT_S)
    return answer.rows


async def _owned(graph: Graph, tenant: str, text: str, **names: Value) -> list[tuple[Value, ...]]:
    statement = owned(text, tenant, **names)
    answer = await graph.read(statement, rows=ROWS_MAX, seconds=STATEMENT_TIMEOUT_S)
    return answer.rows


def _batches(lines: Iterable[T]) -> Iterator[list[T]]:
    waiting = iter(lines)
    while batch := list(islice(waiting, BATCH)):
        yield batch


_COUNTS = {
    "nodes": "MATCH (n:Entity) RETURN n.tenant, count(n)",
    "edges": "MATCH (:Entity)-[r]->(:Entity) RETURN r.tenant, count(r)",
    "versions": "MATCH (v:Version) RETURN v.owner, count(v)",
    "aliases": "MATCH (x:Alias) RETURN x.owner, count(x)",
}
_ALL_NODES = "MATCH (n:Entity) RETURN n.tenant, n.entity_id"
_ALL_EDGES = "MATCH (:Entity)-[r]->(:Entity) RETURN r.tenant, r.edge_id"
_ALL_ALIASES = "MATCH (x:Alias) RETURN x.owner, x.entity_id, x.target"
_DUPLICATES = (
    "MATCH (n:Entity) WITH n.tenant AS tenant, n.entity_id AS name, count(n) AS total"
    " WHERE total > 1 RETURN tenant, name, total"
)
_FOREIGN = (
    "MATCH (a:Entity)-[r]->(b:Entity) WHERE a.tenant <> r.tenant OR b.tenant <> r.tenant"
    " RETURN r.tenant, r.edge_id"
)
_LAST = "MATCH (v:Version) RETURN v.owner, v.subject, max(v.revision)"
_ENDED = "MATCH (v:Version) WHERE v.ended IS NOT NULL RETURN v.subject, max(v.revision)"
_ALIASES = "MATCH (x:Alias) RETURN x.entity_id, x.target"
_KNOWN = "UNWIND $versions AS name MATCH (v:Version {version: name}) RETURN v.version"
_FORMER = (
    "MATCH (v:Version) WHERE v.version > $after AND v.edge_type {comparison} ''"
    " RETURN v.version, v.ended_with, {columns} ORDER BY v.version LIMIT $limit"
)
_NODE_VERSIONS = _FORMER.format(comparison="=", columns=rows.version_columns("v", edge=False))
_EDGE_VERSIONS = _FORMER.format(comparison="<>", columns=rows.version_columns("v", edge=True))
_REPAIRS = {
    "dangling_edge": (
        "MATCH (:Entity)-[r {tenant: $owner, edge_id: $subject}]->(:Entity) DELETE r"
    ),
    "alias_without_target": "MATCH (x:Alias {owner: $owner, entity_id: $subject}) DELETE x",
    "version_without_entity": (
        "MATCH (v:Version {subject: $subject}) WITH max(v.revision) AS last"
        " MATCH (v:Version {subject: $subject}) WHERE v.revision = last"
        " SET v.ended = 'deleted', v.ended_by = 'repair'"
    ),
}
