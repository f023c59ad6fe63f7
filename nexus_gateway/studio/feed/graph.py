"""Entities in the knowledge graph: a node for each, of the same id, as the entity is now.

What is carried is ids; the state is read when it is carried. So to take a record twice, or several
at once, leads to the same graph, and one entity that changes often costs one write of a node.
Entities without a tenant are nobody's, and no graph has a place for them.
"""

from __future__ import annotations

import logging
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from nexus_gateway.studio.intelligence.told import KIND, TOPIC, Told
from nexus_gateway.studio.knowledge_graph.errors import GraphError, RevisionMismatch
from nexus_gateway.studio.knowledge_graph.models import NodeDraft
from nexus_gateway.studio.knowledge_graph.service import Author
from nexus_gateway.studio.storage.errors import BadStatement, GraphTimeout, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

    from nexus_gateway.studio.intelligence.models import Entity
    from nexus_gateway.studio.intelligence.store import EntityStore
    from nexus_gateway.studio.knowledge_graph.service import KnowledgeGraph
    from nexus_gateway.studio.storage.outbox import Outbox, Record

_logger = logging.getLogger(__name__)

SUBJECT = "intelligence"
"""Who changes these nodes, as their history says."""
PIECE = 250
"""Nodes that are written in one transaction: others that write wait for one at most."""

REFRESH = "graph_refresh"
"""The topic of records that only the graph reads: entities whose nodes are to be looked at."""

_told = msgspec.json.Decoder(Told).decode
_attributes = msgspec.json.Decoder(dict[str, object]).decode


class Refused(Protocol):
    """Stores that a sink refused a record, so that it can be replayed."""

    async def __call__(self, record: Record, reason: str) -> None:
        """Store it."""
        ...


async def _logged(record: Record, reason: str) -> None:
    _logger.error("entity %r does not become a node: %s", record.key, reason)


class GraphSink:
    """Lets the knowledge graph have a node for each entity.

    Args:
        entities: where they are read.
        graph: where the nodes are.
        refused: is called for each entity that the graph does not take.
    """

    def __init__(
        self,
        entities: EntityStore,
        graph: KnowledgeGraph,
        *,
        refused: Refused = _logged,
    ) -> None:
        self._entities = entities
        self._graph = graph
        self._refused = refused

    async def take(self, records: Sequence[Record]) -> None:
        """Bring the nodes of changed entities up to date.

        Raises:
            StorageUnavailable: the entities cannot be read, or the graph is away.
        """
        changed: dict[str, dict[str, _Change]] = {}
        for record in records:
            if record.topic in (TOPIC, REFRESH) and record.tenant:
                ids = changed.setdefault(record.tenant, {})
                for verb, name in _told(record.payload).changes():
                    restored = verb == "restored" or (name in ids and ids[name].restored)
                    ids[name] = _Change(record, restored and verb != "created")
        for tenant, ids in changed.items():
            for piece in _pieces(ids):
                await self._mirror(tenant, {name: ids[name] for name in piece})

    async def _mirror(self, tenant: str, changes: Mapping[str, _Change]) -> None:
        author = Author(tenant, SUBJECT)
        entities = {one.entity_id: one for one in await self._entities.some(tenant, [*changes])}
        gone = [name for name in changes if name not in entities]
        restored = {name for name in entities if changes[name].restored}
        try:
            # Entities that were merged into nodes that end are nodes of their own again.
            freed = await self._graph.merged_into(tenant, gone) if gone else []
            for one in await self._entities.some(tenant, freed) if freed else ():
                entities.setdefault(one.entity_id, one)
            drafts = [draft(one) for name, one in entities.items() if name not in restored]
            if drafts or gone:
                await self._graph.mirror(author, drafts, gone)
            if restored:
                await self._graph.restore(author, [draft(entities[one]) for one in restored])
        except (GraphTimeout, RevisionMismatch) as error:
            raise StorageUnavailable(str(error)) from error
        except (BadStatement, GraphError) as error:
            if len(changes) == 1:
                # One that the graph does not take must not keep all others from it.
                await self._refuse(tenant, next(iter(changes.items())), error)
                return
            for name, change in changes.items():
                await self._mirror(tenant, {name: change})

    async def _refuse(self, tenant: str, change: tuple[str, _Change], error: Exception) -> None:
        name, found = change
        told = Told(restored=(name,)) if found.restored else Told(updated=(name,))
        record = msgspec.structs.replace(
            found.record, tenant=tenant, key=name, payload=msgspec.Raw(msgspec.json.encode(told))
        )
        await self._refused(record, str(error))


def refresh(outbox: Outbox) -> Callable[[str, Sequence[str]], Awaitable[None]]:
    """Make what has the nodes of entities looked at again, by their ids."""

    async def ask(tenant: str, ids: Sequence[str]) -> None:
        await outbox.add(REFRESH, tenant, KIND, ids[0], Told(updated=tuple(ids)))

    return ask


class _Change(NamedTuple):
    """The last record that names an entity, and whether it was restored in one of the batch."""

    record: Record
    restored: bool


def draft(entity: Entity) -> NodeDraft:
    """Say what node an entity is."""
    return NodeDraft(
        entity_id=entity.entity_id,
        entity_type=entity.entity_type,
        name=entity.name,
        tags=entity.tags,
        attributes=_attributes(entity.attributes),
        origin=entity.source,
    )


def _pieces(ids: Iterable[str]) -> Iterator[list[str]]:
    waiting = iter(ids)
    while piece := list(islice(waiting, PIECE)):
        yield piece
