"""Entities in the knowledge graph: a node for each, of the same id, as the entity is now.

What is carried is ids; the state is read when it is carried. So to take a record twice, or several
at once, leads to the same graph, and one entity that changes often costs one write of a node.
Entities without a tenant are nobody's, and no graph has a place for them.
"""

from __future__ import annotations

import logging
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.intelligence.told import TOPIC, Told
from nexus_gateway.studio.knowledge_graph.errors import GraphError
from nexus_gateway.studio.knowledge_graph.models import NodeDraft
from nexus_gateway.studio.knowledge_graph.service import Author
from nexus_gateway.studio.storage.errors import BadStatement, GraphTimeout, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    from nexus_gateway.studio.intelligence.models import Entity
    from nexus_gateway.studio.intelligence.store import EntityStore
    from nexus_gateway.studio.knowledge_graph.service import KnowledgeGraph
    from nexus_gateway.studio.storage.outbox import Record

_logger = logging.getLogger(__name__)

SUBJECT = "intelligence"
"""Who changes these nodes, as their history says."""
PIECE = 250
"""Nodes that are written in one transaction: others that write wait for one at most."""

_told = msgspec.json.Decoder(Told).decode
_attributes = msgspec.json.Decoder(dict[str, object]).decode


async def _at_once() -> None:
    """Wait for nothing."""


class GraphSink:
    """Lets the knowledge graph have a node for each entity.

    Args:
        entities: where they are read.
        graph: where the nodes are.
        calm: waits until little is changed, for some time; it is awaited before large parts.
    """

    def __init__(
        self,
        entities: EntityStore,
        graph: KnowledgeGraph,
        *,
        calm: Callable[[], Awaitable[None]] = _at_once,
    ) -> None:
        self._entities = entities
        self._graph = graph
        self._calm = calm

    async def take(self, records: Sequence[Record]) -> None:
        """Bring the nodes of changed entities up to date.

        Raises:
            StorageUnavailable: the entities cannot be read, or the graph is away.
        """
        changed: dict[str, dict[str, None]] = {}
        for record in records:
            if record.topic == TOPIC and record.tenant:
                names = [name for _, name in _told(record.payload).changes()]
                changed.setdefault(record.tenant, {}).update(dict.fromkeys(names))
        for tenant, ids in changed.items():
            for piece in _pieces(ids):
                await self._mirror(tenant, piece)

    async def _mirror(self, tenant: str, ids: Sequence[str]) -> None:
        if len(ids) == PIECE:
            # In the course of an import: it goes first.
            await self._calm()
        entities = {one.entity_id: one for one in await self._entities.some(tenant, ids)}
        gone = [name for name in ids if name not in entities]
        drafts = [draft(entity) for entity in entities.values()]
        try:
            await self._graph.mirror(Author(tenant, SUBJECT), drafts, gone)
        except GraphTimeout as error:
            raise StorageUnavailable(str(error)) from error
        except (BadStatement, GraphError):
            if len(ids) == 1:
                # One that the graph does not take must not keep all others from it.
                _logger.exception("entity %r does not become a node", ids[0])
                return
            for name in ids:
                await self._mirror(tenant, [name])


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
