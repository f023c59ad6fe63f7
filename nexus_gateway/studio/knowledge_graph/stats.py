"""How large a graph is and what it is made of.

The counts of an embedded graph are kept up to date by its changes (`tally.py`); Neo4j counts when
it is asked. A schema is answered again for some seconds.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from nexus_gateway.studio.knowledge_graph.cypher.figures import Figures
from nexus_gateway.studio.knowledge_graph.models import Count, EdgeKind, NodeKind, Schema, Stats
from nexus_gateway.studio.knowledge_graph.rows import attribute_of
from nexus_gateway.studio.knowledge_graph.store import TooMany
from nexus_gateway.studio.knowledge_graph.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from nexus_gateway.studio.knowledge_graph.store import GraphStore
    from nexus_gateway.studio.storage.graph import Value

T = TypeVar("T")

_NODE_TYPES = "MATCH (n:Entity) RETURN n.entity_type AS type, count(n) AS total"
_EDGE_TYPES = "MATCH (a:Entity)-[r]->(b:Entity) RETURN type(r) AS type, count(r) AS total"
_ALIASES = "MATCH (x:Alias) RETURN count(x)"
_VERSIONS = "MATCH (v:Version) RETURN count(v)"
_PROPERTIES = (
    "MATCH (n:Entity) UNWIND keys(n) AS property"
    " RETURN n.entity_type AS type, property, count(*) AS total"
)
# By the names together: a row for each name of each node would take a gigabyte for 200,000 nodes.
_NAMES = "MATCH (n:Entity) RETURN n.entity_type AS type, keys(n) AS names, count(*) AS total"
_KINDS = (
    "MATCH (a:Entity)-[r]->(b:Entity)"
    " RETURN type(r) AS type, a.entity_type AS source, b.entity_type AS target, count(r) AS total"
)
_SAMPLED = (
    "MATCH (a:Entity) WITH a WHERE rand() < $share MATCH (a)-[r]->(b:Entity)"
    " RETURN type(r) AS type, a.entity_type AS source, b.entity_type AS target, count(r) AS total"
)

FRESH = 5.0
"""Seconds that a schema is answered again without counting."""
TENANTS = 64
"""Tenants whose schema is kept."""
SAMPLE = 2000
"""Nodes whose edges are counted for estimates; of a larger graph it is about so many."""
SHARE = 0.02
"""Of the time, how much may go into counting what estimates of queries are made of."""


class Statistics:
    """Counts what one tenant has."""

    def __init__(self, store: GraphStore) -> None:
        self._store = store
        self._schemas: Recent[Schema] = Recent()
        self._figures: Recent[Figures] = Recent(share=SHARE)

    async def stats(self, tenant: str) -> Stats:
        """Count nodes, edges and what is kept of earlier times."""
        tally = await self._tally(tenant)
        node_types, edge_types = _counts([*tally.nodes.items()]), _counts([*tally.edges.items()])
        return Stats(
            nodes=sum(one.count for one in node_types),
            edges=sum(one.count for one in edge_types),
            aliases=_single(await self._store.counted(_ALIASES, tenant)),
            versions=tally.versions,
            node_types=node_types,
            edge_types=edge_types,
        )

    async def schema(self, tenant: str) -> Schema:
        """Tell the types, their attributes and how they hang together; up to `FRESH` old."""
        return await self._schemas.get(tenant, lambda: self._schema(tenant))

    async def figures(self, tenant: str) -> Figures:
        """Tell how many there are of each type, as old as `SHARE` allows."""
        return await self._figures.get(tenant, lambda: self._count(tenant))

    async def _count(self, tenant: str) -> Figures:
        kinds = await self._node_types(tenant)
        types = {one.value: one.count for one in kinds}
        share = SAMPLE / max(SAMPLE, *types.values(), sum(types.values()))
        if share == 1.0:
            edges = await self._store.counted(_KINDS, tenant)
            return Figures(types, tuple(map(_edge_kind, edges)))
        # To count every edge of a large graph takes longer than most queries.
        found = map(_edge_kind, await self._store.counted(_SAMPLED, tenant, share=share))
        return Figures(
            types,
            tuple(msgspec.structs.replace(edge, count=round(edge.count / share)) for edge in found),
        )

    async def _schema(self, tenant: str) -> Schema:
        kinds = await self._node_types(tenant)
        properties: dict[str, list[Count]] = {}
        for (kind, name), total in (await self._properties(tenant)).items():
            attribute = attribute_of(name)
            if attribute is not None:
                properties.setdefault(kind, []).append(Count(attribute, total))
        edges = await self._store.counted(_KINDS, tenant)
        return Schema(
            tuple(
                NodeKind(one.value, one.count, _largest(properties.get(one.value, [])))
                for one in kinds
            ),
            tuple(map(_edge_kind, sorted(edges, key=lambda row: (-_int(row[3]), str(row[:3]))))),
        )

    async def _tally(self, tenant: str) -> Tally:
        async def count() -> Tally:
            nodes = await self._store.counted(_NODE_TYPES, tenant)
            edges = await self._store.counted(_EDGE_TYPES, tenant)
            versions = _single(await self._store.counted(_VERSIONS, tenant))
            return Tally(_counter(nodes), _counter(edges), versions)

        tallies = self._store.tallies
        return await count() if tallies is None else await tallies.get(tenant, count)

    async def _node_types(self, tenant: str) -> tuple[Count, ...]:
        if self._store.tallies is None:
            return _counts(await self._store.counted(_NODE_TYPES, tenant))
        return _counts([*(await self._tally(tenant)).nodes.items()])

    async def _properties(self, tenant: str) -> Counter[tuple[str, str]]:
        """Count the names of properties, by the type of the node."""
        found: Counter[tuple[str, str]] = Counter()
        try:
            grouped = await self._store.counted(_NAMES, tenant)
        except TooMany:
            # Almost every node has names of its own.
            for kind, name, total in await self._store.counted(_PROPERTIES, tenant):
                found[str(kind), str(name)] += _int(total)
            return found
        for kind, names, total in grouped:
            for name in names if isinstance(names, list) else ():
                found[str(kind), str(name)] += _int(total)
        return found


class Recent(Generic[T]):
    """Answers that are given again for a while; the oldest are forgotten.

    Args:
        share: of the time, how much may go into making them; none: they are given for `FRESH`.
    """

    def __init__(self, share: float | None = None) -> None:
        self._share = share
        self._kept: OrderedDict[str, tuple[float, T]] = OrderedDict()

    async def get(self, key: str, make: Callable[[], Awaitable[T]]) -> T:
        """Give what is kept, or make it."""
        until, answer = self._kept.get(key, (0.0, None))
        began = time.monotonic()
        if answer is not None and began < until:
            return answer
        answer = await make()
        now = time.monotonic()
        fresh = FRESH if self._share is None else (now - began) / self._share
        self._kept[key] = (now + fresh, answer)
        self._kept.move_to_end(key)
        while len(self._kept) > TENANTS:
            self._kept.popitem(last=False)
        return answer


def _edge_kind(row: Sequence[Value]) -> EdgeKind:
    return EdgeKind(str(row[0]), str(row[1]), str(row[2]), _int(row[3]))


def _counts(rows: Sequence[tuple[Value, ...]]) -> tuple[Count, ...]:
    return _largest([Count(str(row[0]), _int(row[1])) for row in rows])


def _counter(rows: Sequence[tuple[Value, ...]]) -> Counter[str]:
    return Counter({str(row[0]): _int(row[1]) for row in rows})


def _largest(counts: list[Count]) -> tuple[Count, ...]:
    return tuple(sorted(counts, key=lambda one: (-one.count, one.value)))


def _single(rows: Sequence[tuple[Value, ...]]) -> int:
    return _int(rows[0][0]) if rows else 0


def _int(value: Value) -> int:
    return value if isinstance(value, int) else 0
