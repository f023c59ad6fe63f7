"""Changes as statements of one transaction: what is ended, what is new, what is other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_gateway.studio.knowledge_graph import rows
from nexus_gateway.studio.knowledge_graph.statements import along, owned

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nexus_gateway.studio.knowledge_graph.edits import Change
    from nexus_gateway.studio.knowledge_graph.models import Edge, Node, Stamp
    from nexus_gateway.studio.storage.graph import Statement, Value

PATIENCE = 5.0
"""Seconds that a change of one thing may take; each more adds a thousandth."""

NEW_VERSIONS = "UNWIND $rows AS row CREATE (v:Version {version: row.version}) SET v += row"
"""Writes versions as `rows.version_properties` gives them."""
# What every node has stands in the pattern: the embedded engine makes a node so in a third of the
# time that it takes to set the same properties afterwards. What may be null does not: opened anew,
# that engine refuses a pattern with a property that no node has a value of.
_FIXED = tuple(name for name in rows.NODE if name not in rows.OPTIONAL)
_WAITING_VERSIONS = (
    "UNWIND $rows AS row MATCH (v:Version {version: row.version}) SET v.ended_with = row.ended_with"
)
_NEW_NODES = (
    "UNWIND $rows AS row CREATE (n:Entity {"
    + ", ".join(f"{name}: row.{name}" for name in _FIXED)
    + "}) SET n += row.own"
)
_OTHER_NODES = "UNWIND $rows AS row MATCH (n:Entity {entity_id: row.entity_id}) SET n = row"
_NO_NODES = "UNWIND $rows AS row MATCH (n:Entity {entity_id: row}) DETACH DELETE n"
_OLD_ALIASES = "UNWIND $rows AS row MATCH (x:Alias {entity_id: row.entity_id}) DELETE x"
# Created and never merged: the embedded engine needs an explicit id, which is no part of MERGE.
_NEW_ALIASES = (
    "UNWIND $rows AS row CREATE (x:Alias {entity_id: row.entity_id}) SET x.target = row.target"
)
_MOVED_ALIASES = (
    "UNWIND $rows AS row MATCH (x:Alias {target: row.entity_id}) SET x.target = row.target"
)
_NO_ALIASES = "UNWIND $rows AS row MATCH (x:Alias {target: row}) DELETE x"
_NEW_EDGES = (
    "UNWIND $rows AS row OPTIONAL MATCH (a:Entity {{entity_id: row.source}})"
    " OPTIONAL MATCH (b:Entity {{entity_id: row.target}})"
    # With MERGE a missing end is an error on both engines, which undoes everything.
    " MERGE (a)-[r{type} {{edge_id: row.edge_id}}]->(b) SET r += row.properties"
)
_AN_EDGE = (
    "UNWIND $rows AS row MATCH (a:Entity {{entity_id: row.source}})"
    "-[r{type} {{edge_id: row.edge_id}}]->(b:Entity) "
)
_OTHER_EDGES = _AN_EDGE + "SET r = row.properties"
_NO_EDGES = _AN_EDGE + "DELETE r"


def statements(
    tenant: str,
    stamp: Stamp,
    nodes: Sequence[Change[Node]],
    edges: Sequence[Change[Edge]],
    aliases: Mapping[str, str],
    waiting: Mapping[str, str],
) -> list[Statement]:
    """Write changes as statements, in an order that never meets a thing before it is there."""
    made: list[Statement] = []

    def add(text: str, values: Iterable[Value]) -> None:
        listed = list(values)
        if listed:
            made.append(owned(text, tenant, rows=listed))

    add(NEW_VERSIONS, [*_versions(tenant, stamp, nodes), *_versions(tenant, stamp, edges)])
    add(
        _WAITING_VERSIONS,
        [{"version": version, "ended_with": ended_with} for version, ended_with in waiting.items()],
    )
    for kind, changes in _by_type(edges).items():
        add(_NO_EDGES.format(type=kind), [_edge(c.before) for c in changes if c.after is None])
    add(_NO_NODES, [c.kept.entity_id for c in nodes if c.after is None])
    gone = [c.kept.entity_id for c in nodes if c.after is None and c.ended == "deleted"]
    add(_NO_ALIASES, gone)
    add(_NEW_NODES, [_new_node(c.after) for c in nodes if c.before is None])
    add(_OTHER_NODES, [_node(tenant, c.after) for c in nodes if _is_other(c)])
    led: list[Value] = [{"entity_id": old, "target": new} for old, new in aliases.items()]
    add(_MOVED_ALIASES, led)
    add(_OLD_ALIASES, led)
    add(_NEW_ALIASES, led)
    for kind, changes in _by_type(edges).items():
        add(_NEW_EDGES.format(type=kind), [_edge(c.after) for c in changes if c.before is None])
        other = [_edge(c.after, tenant) for c in changes if _is_other(c)]
        add(_OTHER_EDGES.format(type=kind), other)
    return made


def seconds(nodes: Sequence[object], edges: Sequence[object]) -> float:
    """Tell how long a transaction of so many changes may take."""
    return PATIENCE + (len(nodes) + len(edges)) / 1000


def _versions(
    tenant: str, stamp: Stamp, changes: Sequence[Change[Node]] | Sequence[Change[Edge]]
) -> Iterable[Value]:
    for change in changes:
        before = change.before
        if before is None or before is change.after:
            continue
        ended = change.ended if change.after is None else None
        until = max(stamp.at, before.updated_at)
        yield rows.version_properties(before, tenant, until, ended, stamp.by, change.ended_with)


def _is_other(change: Change[Node] | Change[Edge]) -> bool:
    return None not in (change.before, change.after) and change.before is not change.after


def _by_type(edges: Sequence[Change[Edge]]) -> dict[str, list[Change[Edge]]]:
    found: dict[str, list[Change[Edge]]] = {}
    for change in edges:
        found.setdefault(along([change.kept.type]), []).append(change)
    return found


def _node(tenant: str, node: Node | None) -> Value:
    # SET with = takes the tenant away too, unless the row has it.
    return {} if node is None else {**rows.node_properties(node), "tenant": tenant}


def _new_node(node: Node | None) -> Value:
    if node is None:
        return {}
    fixed = rows.fixed_properties(node)
    own = rows.own_properties(node.attributes)
    own |= {name: value for name in rows.OPTIONAL if (value := fixed.pop(name)) is not None}
    return {**fixed, "own": own}


def _edge(edge: Edge | None, tenant: str | None = None) -> Value:
    if edge is None:
        return {}
    properties = rows.edge_properties(edge)
    if tenant is not None:
        properties["tenant"] = tenant
    ends: dict[str, Value] = {"source": edge.source, "target": edge.target}
    return {"edge_id": edge.edge_id, **ends, "properties": properties}
