"""Changes of entities on channels of the hub.

    entities:{tenant}:changes             every change; of a large transaction, one sum
    entities:{tenant}:entity:{entity_id}  changes of one entity

Each comes once, in the order in which they were kept, with the `position` that tells one that a
crash made come twice. The entity is told as it is when it is told: it may have changed again.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from nexus_gateway.hub import HubError
from nexus_gateway.segment import segment
from nexus_gateway.studio.intelligence.models import Entity
from nexus_gateway.studio.intelligence.told import TOPIC, Told, Verb
from nexus_gateway.studio.storage.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_gateway.studio.intelligence.store import EntityStore
    from nexus_gateway.studio.storage.outbox import Record

EVENTS = 64
"""Changes of a transaction that are told one by one; of more, how many they were."""

AWAY = frozenset({"deadline_exceeded", "service_unavailable", "internal_error"})
"""Codes of a hub that may take a message later."""

_logger = logging.getLogger(__name__)
_told = msgspec.json.Decoder(Told).decode


class Publisher(Protocol):
    """Where events go."""

    async def publish(self, channel: str, value: object) -> object:
        """Publish to whoever is subscribed."""
        ...


class EntityEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One change; without `entity` there is none any more, or none that fits a message."""

    change: Verb
    entity_id: str
    position: int
    by: str = ""
    entity: Entity | None = None


class EntitiesEvent(msgspec.Struct, frozen=True):
    """Many changes of one transaction."""

    created: int
    updated: int
    deleted: int
    position: int
    by: str
    change: Literal["bulk"] = "bulk"


class HubSink:
    """Tells the hub of changes.

    Args:
        entities: where they are read.
        publisher: the hub.
    """

    def __init__(self, entities: EntityStore, publisher: Publisher) -> None:
        self._entities = entities
        self._publisher = publisher

    async def take(self, records: Sequence[Record]) -> None:
        """Publish what was changed.

        Raises:
            StorageUnavailable: the entities cannot be read.
        """
        for record in records:
            # What belongs to no tenant has no channel: nobody's token would open it.
            if record.topic == TOPIC and record.tenant:
                await self._tell(record, _told(record.payload))

    async def _tell(self, record: Record, told: Told) -> None:
        channel = f"entities:{segment(record.tenant)}:changes"
        if told.count > EVENTS:
            made = len(told.created) + len(told.restored)
            counts = (made, len(told.updated), len(told.deleted))
            await self._publisher.publish(channel, EntitiesEvent(*counts, record.position, told.by))
            return
        ids = [name for _, name in told.changes()]
        found = await self._entities.some(record.tenant, ids)
        now = {one.entity_id: one for one in found}
        for verb, name in told.changes():
            event = EntityEvent(verb, name, record.position, told.by, now.get(name))
            for one in (channel, f"entities:{segment(record.tenant)}:entity:{name}"):
                await self._publish(one, event)

    async def _publish(self, channel: str, event: EntityEvent | EntitiesEvent) -> None:
        try:
            await self._publisher.publish(channel, event)
        except HubError as error:
            if error.code in AWAY:
                raise StorageUnavailable(f"the hub does not take a message: {error}") from error
            if isinstance(event, EntityEvent) and event.entity is not None:
                # It is too large for a message, perhaps; that it has changed is not.
                await self._publish(channel, msgspec.structs.replace(event, entity=None))
            else:
                _logger.warning("a change is not told on %s: %s", channel, error)
        except RuntimeError as error:
            # Before the server listens, and after it has stopped.
            raise StorageUnavailable("the hub is not open") from error
