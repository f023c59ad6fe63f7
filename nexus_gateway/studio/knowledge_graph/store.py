"""Nodes, edges and their versions in a graph; every call is one tenant's.

What is now are nodes and edges of the graph itself. What was before the last change of one is a
node `Version`, written in the transaction of that change; so an answer of an earlier time is read
out of both. A version's name is unique: of two writers that change the same state one is told
`Conflict`, whatever engine and however many processes.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from nexus_gateway.studio.knowledge_graph import rows, writes
from nexus_gateway.studio.knowledge_graph.edits import Change, Past
from nexus_gateway.studio.knowledge_graph.models import (
    Edge,
    EdgeVersion,
    Node,
    NodeVersion,
    source_of,
)
from nexus_gateway.studio.knowledge_graph.statements import along, owned
from nexus_gateway.studio.knowledge_graph.tally import Tallies
from nexus_gateway.studio.storage.errors import BadStatement, Conflict

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from nexus_gateway.studio.knowledge_graph.models import (
        Direction,
        NodeSelection,
        Stamp,
    )
    from nexus_gateway.studio.storage.graph import Graph, Statement, Value

SECONDS = 5.0
"""Seconds that one statement, or one change, may take."""
ROWS = 200_000
"""Rows that one statement may answer."""

_NODES = rows.node_columns("n")
_NODE_VERSIONS = rows.version_columns("v", edge=False)
_EDGES = rows.edge_columns("r", "a", "b")
_EDGE_VERSIONS = rows.version_columns("v", edge=True)


def held(name: str) -> str:
    """Write when something held, by what is known of it."""
    start, end = f"{name}.valid_from", f"{name}.valid_to"
    return f"({start} IS NULL OR {start} <= $at) AND ({end} IS NULL OR {end} > $at)"


def live(name: str) -> str:
    """Write when what is now answers for an earlier moment too.

    It was known then as it is now, or it was not known at all and says of itself that it held.
    """
    known, dated = f"{name}.changed_at <= $at", f"{name}.valid_from <= $at"
    return f"({known} OR {name}.created_at > $at AND {dated}) AND {held(name)}"


def past(name: str) -> str:
    """Write when a version answers for a moment: it was what was known, and held."""
    return f"{name}.changed_at <= $at AND {name}.until > $at AND {held(name)}"


class GraphStore:
    """The nodes and edges of a graph, which its owner opens and closes."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        # Only an embedded graph has one process that makes all changes.
        self.tallies = Tallies() if graph.name == "embedded" else None

    # --- what is, or was ---

    async def nodes(
        self, tenant: str, ids: Collection[str], at: datetime | None = None
    ) -> dict[str, Node]:
        """Load nodes by id; those that are not there are left out."""
        if not ids:
            return {}
        names: dict[str, Value] = {"ids": list(ids), **_at(at)}
        where = f"WHERE {live('n')} " if at else ""
        text = f"UNWIND $ids AS id MATCH (n:Entity {{entity_id: id}}) {where}RETURN {_NODES}"
        found = {node.entity_id: node for node in await self._nodes(text, tenant, names)}
        absent = [name for name in ids if name not in found]
        if at and absent:
            names["ids"] = [rows.subject(tenant, "node", name) for name in absent]
            text = (
                f"UNWIND $ids AS id MATCH (v:Version {{subject: id}}) WHERE {past('v')}"
                f" RETURN {_NODE_VERSIONS}"
            )
            found |= {node.entity_id: node for node in await self._nodes(text, tenant, names)}
        return found

    async def present(self, tenant: str, ids: Collection[str]) -> set[str]:
        """Tell which ids are of nodes."""
        text = "UNWIND $ids AS id MATCH (n:Entity {entity_id: id}) RETURN n.entity_id"
        found = await self._read(text, tenant, {"ids": list(ids)}) if ids else []
        return {str(row[0]) for row in found}

    async def edges(
        self, tenant: str, ids: Collection[str], at: datetime | None = None
    ) -> dict[str, Edge]:
        """Load edges by id; those that are not there are left out."""
        wanted: list[Value] = [{"edge_id": one, "source": source_of(one)} for one in ids]
        if not wanted:
            return {}
        where = f"WHERE {live('r')} " if at else ""
        text = (
            "UNWIND $ids AS id MATCH (a:Entity {entity_id: id.source})"
            f"-[r {{edge_id: id.edge_id}}]->(b:Entity) {where}RETURN {_EDGES}"
        )
        names: dict[str, Value] = {"ids": wanted, **_at(at)}
        found = {edge.edge_id: edge for edge in await self._edges(text, tenant, names)}
        absent = [one for one in ids if one not in found]
        if at and absent:
            names["ids"] = [rows.subject(tenant, "edge", one) for one in absent]
            text = (
                f"UNWIND $ids AS id MATCH (v:Version {{subject: id}}) WHERE {past('v')}"
                f" RETURN {_EDGE_VERSIONS}"
            )
            found |= {edge.edge_id: edge for edge in await self._edges(text, tenant, names)}
        return found

    async def incident(
        self,
        tenant: str,
        ids: Collection[str],
        *,
        direction: Direction = "both",
        types: Sequence[str] = (),
        at: datetime | None = None,
    ) -> list[Edge]:
        """Load the edges that leave nodes, or come to them, or both; each once.

        Raises:
            BadStatement: there are more than one answer may hold.
        """
        found: dict[str, Edge] = {}
        for way in _ways(direction):
            start, end = ("a", "b") if way == "out" else ("b", "a")
            arrow = f"-[r{along(types)}]->" if way == "out" else f"<-[r{along(types)}]-"
            where = f"WHERE {live('r')} " if at else ""
            text = (
                f"UNWIND $ids AS id MATCH ({start}:Entity {{entity_id: id}}){arrow}"
                f"({end}:Entity) {where}RETURN {_EDGES}"
            )
            names: dict[str, Value] = {"ids": list(ids), **_at(at)}
            edges = await self._edges(text, tenant, names)
            if at:
                edges += await self._past_incident(tenant, ids, way, types, at)
            found |= {edge.edge_id: edge for edge in edges}
        return list(found.values())

    async def steps(
        self,
        tenant: str,
        ids: Collection[str],
        way: Direction,
        types: Sequence[str] = (),
        at: datetime | None = None,
    ) -> list[tuple[str, str]]:
        """Take one step from each node: pairs of where from and where to, each once."""
        pairs: set[tuple[str, str]] = set()
        for one in _ways(way):
            arrow = f"-[r{along(types)}]->" if one == "out" else f"<-[r{along(types)}]-"
            where = f"WHERE {live('r')} AND {live('b')} " if at else ""
            text = (
                f"UNWIND $ids AS id MATCH (a:Entity {{entity_id: id}}){arrow}(b:Entity)"
                f" {where}RETURN DISTINCT id, b.entity_id"
            )
            answer = await self._read(text, tenant, {"ids": list(ids), **_at(at)})
            pairs |= {(str(row[0]), str(row[1])) for row in answer}
            if at:
                pairs |= await self._past_steps(tenant, ids, one, types, at)
        return sorted(pairs)

    async def aliases(self, tenant: str, ids: Collection[str]) -> dict[str, str]:
        """Tell into which node each of the ids was merged, if it was."""
        text = "UNWIND $ids AS id MATCH (x:Alias {entity_id: id}) RETURN x.entity_id, x.target"
        found = await self._read(text, tenant, {"ids": list(ids)}) if ids else []
        return {str(row[0]): str(row[1]) for row in found}

    async def pasts(self, tenant: str, kind: str, ids: Collection[str]) -> dict[str, Past]:
        """Tell what became of ids that are no more; those that never were are left out."""
        if not ids:
            return {}
        subjects = {rows.subject(tenant, kind, one): one for one in ids}
        text = (
            "UNWIND $ids AS id MATCH (v:Version {subject: id})"
            " RETURN v.subject, max(v.revision), min(v.created_at)"
        )
        found = await self._read(text, tenant, {"ids": list(subjects)})
        return {
            subjects[str(name)]: Past(revision, created_at)
            for name, revision, created in found
            if isinstance(revision, int) and (created_at := rows.moment(created))
        }

    async def ended_nodes(self, tenant: str, ids: Collection[str]) -> dict[str, NodeVersion]:
        """Load the version with which each node ended last; those that never did are left out."""
        if not ids:
            return {}
        names: dict[str, Value] = {"ids": [rows.subject(tenant, "node", one) for one in ids]}
        text = (
            "UNWIND $ids AS id MATCH (v:Version {subject: id}) WHERE v.ended IS NOT NULL"
            f" RETURN {_NODE_VERSIONS}"
        )
        found: dict[str, NodeVersion] = {}
        for row in await self._read(text, tenant, names):
            version = rows.node_version_of(row)
            other = found.get(version.node.entity_id)
            if other is None or other.node.revision < version.node.revision:
                found[version.node.entity_id] = version
        return found

    async def taken_edges(
        self, tenant: str, versions: Collection[NodeVersion]
    ) -> dict[str, list[Edge]]:
        """Load the edges that the deletion of nodes ended, by the node; live ones are left out.

        Versions of an earlier release do not name the node: they ended at the same moment.
        """
        names: list[Value] = [
            {
                "id": version.node.entity_id,
                "ended_with": version_of(tenant, version.node),
                "until": None if version.until is None else rows.micros(version.until),
            }
            for version in versions
        ]
        found: dict[str, list[Edge]] = {}
        for end in ("source", "target") if names else ():
            text = (
                f"UNWIND $ids AS id MATCH (v:Version {{{end}: id.id}})"
                " WHERE v.ended = 'deleted' AND (v.ended_with = id.ended_with"
                " OR v.ended_with IS NULL AND v.until = id.until)"
                f" RETURN id.id, {_EDGE_VERSIONS}"
            )
            for row in await self._read(text, tenant, {"ids": names}):
                found.setdefault(str(row[0]), []).append(rows.edge_of(row[1:]))
        ids = {edge.edge_id for edges in found.values() for edge in edges}
        live = await self.edges(tenant, ids)
        pasts = await self.pasts(tenant, "edge", ids)
        return {
            name: [
                edge
                for edge in {edge.edge_id: edge for edge in edges}.values()
                if edge.edge_id not in live and pasts[edge.edge_id].revision == edge.revision
            ]
            for name, edges in found.items()
        }

    async def node_versions(self, tenant: str, entity_id: str) -> list[NodeVersion]:
        """Load what was known of a node before, the newest first."""
        text = _VERSIONS.format(columns=_NODE_VERSIONS)
        names: dict[str, Value] = {"subject": rows.subject(tenant, "node", entity_id)}
        return [rows.node_version_of(row) for row in await self._read(text, tenant, names)]

    async def edge_versions(self, tenant: str, edge_id: str) -> list[EdgeVersion]:
        """Load what was known of an edge before, the newest first."""
        text = _VERSIONS.format(columns=_EDGE_VERSIONS)
        names: dict[str, Value] = {"subject": rows.subject(tenant, "edge", edge_id)}
        return [rows.edge_version_of(row) for row in await self._read(text, tenant, names)]

    # --- lists ---
    # A limit is written into the text: with a parameter the embedded engine sorts all that matches
    # before it takes the first, with a number it keeps no more than these.

    async def node_page(
        self, tenant: str, selection: NodeSelection, after: str, limit: int
    ) -> list[Node]:
        """Load at most `limit` nodes with ids after one, in the order of their ids."""
        names: dict[str, Value] = {
            "type": selection.type,
            "tag": selection.tag,
            "after": after,
            **_at(selection.as_of),
        }
        now = live("n") if selection.as_of else ""
        where = _where("n", selection, now)
        text = f"MATCH (n:Entity) {where} RETURN {_NODES} ORDER BY n.entity_id LIMIT {limit:d}"
        found = await self._nodes(text, tenant, names)
        if selection.as_of:
            where = _where("v", selection, f"v.edge_id IS NULL AND {past('v')}")
            text = (
                f"MATCH (v:Version) {where} RETURN {_NODE_VERSIONS}"
                f" ORDER BY v.entity_id LIMIT {limit:d}"
            )
            found += await self._nodes(text, tenant, names)
            found.sort(key=lambda node: node.entity_id)
        return found[:limit]

    async def sources(self, tenant: str, first: str, limit: int, *, gone: bool) -> list[str]:
        """List ids from which edges may leave, from `first` on; `gone` takes former nodes too."""
        names: dict[str, Value] = {"first": first}
        text = (
            "MATCH (n:Entity) WHERE n.entity_id >= $first"
            f" RETURN n.entity_id ORDER BY n.entity_id LIMIT {limit:d}"
        )
        found = {str(row[0]) for row in await self._read(text, tenant, names)}
        if gone:
            text = (
                "MATCH (v:Version) WHERE v.source >= $first AND v.source <> ''"
                f" RETURN DISTINCT v.source AS source ORDER BY source LIMIT {limit:d}"
            )
            found |= {str(row[0]) for row in await self._read(text, tenant, names)}
        return sorted(found)[:limit]

    async def grouped(
        self, tenant: str, ids: Collection[str], name: str
    ) -> Counter[bool | int | float | str | None]:
        """Count nodes by a property, whose name was checked; lists count as none."""
        text = (
            "UNWIND $ids AS id MATCH (n:Entity {entity_id: id})"
            f" RETURN n.`{name}` AS value, count(n) AS total"
        )
        counts: Counter[bool | int | float | str | None] = Counter()
        for value, total in await self._read(text, tenant, {"ids": list(ids)}):
            single = value if isinstance(value, bool | int | float | str) else None
            counts[single] += total if isinstance(total, int) else 0
        return counts

    async def counted(self, text: str, tenant: str, **names: Value) -> list[tuple[Value, ...]]:
        """Answer a text of `stats.py`: counts over all that a tenant has."""
        return await self._read(text, tenant, names)

    async def others(self, tenant: str, at: datetime) -> int:
        """Count the nodes and edges that were others at a moment than they are now."""
        text = f"MATCH (v:Version) WHERE {past('v')} RETURN count(v)"
        found = await self._read(text, tenant, _at(at))
        return found[0][0] if found and isinstance(found[0][0], int) else 0

    # --- changes ---

    async def apply(
        self,
        tenant: str,
        stamp: Stamp,
        *,
        nodes: Sequence[Change[Node]] = (),
        edges: Sequence[Change[Edge]] = (),
        aliases: Mapping[str, str] | None = None,
        waiting: Mapping[str, str] | None = None,
    ) -> None:
        """Keep changes, all or none, with the versions that they end.

        Args:
            tenant: whose they are.
            stamp: when they are made, and by whom.
            nodes: of nodes.
            edges: of edges, whose nodes are there or among the changes.
            aliases: ids that lead to other ids from now on.
            waiting: versions of ended edges, and the version of the node they are restored with.

        Raises:
            Conflict: somebody else was faster; nothing was changed.
        """
        statements = writes.statements(tenant, stamp, nodes, edges, aliases or {}, waiting or {})
        if not statements:
            return
        try:
            await self._write(tenant, statements, nodes, edges)
        except BadStatement as exc:
            # An edge to a node that is no more cannot be made: its other end is nothing.
            if any(change.before is None for change in edges):
                raise Conflict(f"a node of an edge is no more: {exc}") from exc
            raise

    async def _write(
        self,
        tenant: str,
        statements: Sequence[Statement],
        nodes: Sequence[Change[Node]],
        edges: Sequence[Change[Edge]],
    ) -> None:
        async def write() -> None:
            await self.graph.write(statements, seconds=writes.seconds(nodes, edges))

        if self.tallies is None:
            await write()
        else:
            await self.tallies.apply(tenant, nodes, edges, write)

    async def _past_incident(
        self, tenant: str, ids: Collection[str], way: str, types: Sequence[str], at: datetime
    ) -> list[Edge]:
        text, names = _past_edges(ids, way, types, at, _EDGE_VERSIONS)
        return await self._edges(text, tenant, names)

    async def _past_steps(
        self, tenant: str, ids: Collection[str], way: str, types: Sequence[str], at: datetime
    ) -> set[tuple[str, str]]:
        """Step along what is no more, and to nodes that are, or were."""
        end = "target" if way == "out" else "source"
        text, names = _past_edges(ids, way, types, at, f"id, v.{end}")
        pairs = {(str(row[0]), str(row[1])) for row in await self._read(text, tenant, names)}
        # Edges that are still there may lead to nodes that were other then.
        arrow = f"-[r{along(types)}]->" if way == "out" else f"<-[r{along(types)}]-"
        text = (
            f"UNWIND $ids AS id MATCH (a:Entity {{entity_id: id}}){arrow}(b:Entity)"
            f" WHERE {live('r')} AND NOT (b.changed_at <= $at) RETURN DISTINCT id, b.entity_id"
        )
        pairs |= {(str(row[0]), str(row[1])) for row in await self._read(text, tenant, names)}
        there = await self.nodes(tenant, {end for _, end in pairs}, at)
        return {pair for pair in pairs if pair[1] in there}

    async def _nodes(self, text: str, tenant: str, names: Mapping[str, Value]) -> list[Node]:
        return [rows.node_of(row) for row in await self._read(text, tenant, names)]

    async def _edges(self, text: str, tenant: str, names: Mapping[str, Value]) -> list[Edge]:
        return [rows.edge_of(row) for row in await self._read(text, tenant, names)]

    async def _read(
        self, text: str, tenant: str, names: Mapping[str, Value]
    ) -> list[tuple[Value, ...]]:
        statement = owned(text, tenant, **names)
        answer = await self.graph.read(statement, rows=ROWS, seconds=SECONDS)
        if answer.truncated:
            raise TooMany(f"the answer has more than {ROWS:,} parts: ask for fewer steps")
        return answer.rows


class TooMany(BadStatement):
    """Say that an answer is larger than one may be."""


def version_of(tenant: str, record: Node | Edge) -> str:
    """Name the version of a record as it is."""
    return rows.version_name(rows.subject_of(tenant, record), record.revision)


_VERSIONS = "MATCH (v:Version {{subject: $subject}}) RETURN {columns} ORDER BY v.revision DESC"


def _past_edges(
    ids: Collection[str], way: str, types: Sequence[str], at: datetime, columns: str
) -> tuple[str, dict[str, Value]]:
    start = "source" if way == "out" else "target"
    kinds = " AND v.edge_type IN $types" if types else ""
    text = (
        f"UNWIND $ids AS id MATCH (v:Version {{{start}: id}}) WHERE {past('v')}{kinds}"
        f" RETURN {columns}"
    )
    return text, {"ids": list(ids), "types": list(types), **_at(at)}


def _ways(direction: Direction) -> tuple[Direction, ...]:
    return ("out", "in") if direction == "both" else (direction,)


def _at(at: datetime | None) -> dict[str, Value]:
    return {} if at is None else {"at": rows.micros(at)}


def _where(name: str, selection: NodeSelection, more: str) -> str:
    parts = [f"{name}.entity_id > $after"]
    if selection.type is not None:
        parts.append(f"{name}.entity_type = $type")
    if selection.tag is not None:
        parts.append(f"$tag IN {name}.tags")
    if more:
        parts.append(more)
    return "WHERE " + " AND ".join(parts)
