"""Changes of entities on channels of the hub.

    entities:{tenant}:changes             every change; of a large transaction, one sum
    entities:{tenant}:entity:{entity_id}  changes of one entity

Each comes once, in the order of the changes, with the `position` that tells one that a crash made
come twice. It carries the revision that the change made and the state after it, as the transaction
of the change recorded them.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from nexus_gateway.realtime.hub import HubError
from nexus_gateway.studio.intelligence.models import Entity
from nexus_gateway.studio.intelligence.told import CHANGES_MAX, TOPIC, StateChange, Told, Verb
from nexus_gateway.studio.storage.errors import StorageUnavailable
from nexus_gateway.values.segment import segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_gateway.studio.intelligence.store import EntityStore
    from nexus_gateway.studio.storage.outbox import Record

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
    """One change; without `entity` there is none any more, or none that fits a message.

    revision: of the state after the change; that of a deletion follows the last state's.
    """

    change: Verb
    entity_id: str
    position: int
    by: str = ""
    entity: Entity | None = None
    revision: int = 0


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
        states = await self._states(record.tenant, told)
        if states is None:
            made = len(told.created) + len(told.restored)
            counts = (made, len(told.updated), len(told.deleted))
            await self._publish(channel, EntitiesEvent(*counts, record.position, told.by))
            return
        for one in states:
            event = EntityEvent(
                one.change, one.entity_id, record.position, told.by, one.entity, one.revision
            )
            await self._publish(channel, event)
            await self._publish(f"entities:{segment(record.tenant)}:entity:{one.entity_id}", event)

    async def _states(self, tenant: str, told: Told) -> Sequence[StateChange] | None:
        """Give the changes one by one; None where they are too many for it."""
        if told.states:
            large = [
                one.entity_id
                for one in told.states
                if one.entity is None and one.change != "deleted"
            ]
            if not large:
                return told.states
            # Too large for a record, and perhaps for a message: told while it is the present state.
            now = {one.entity_id: one for one in await self._entities.some(tenant, large)}
            return [_completed(one, now.get(one.entity_id)) for one in told.states]
        if told.count > CHANGES_MAX:
            return None
        # A record of an earlier release has ids alone.
        found = await self._entities.some(tenant, [name for _, name in told.changes()])
        now = {one.entity_id: one for one in found}
        return [
            StateChange(verb, name, now[name].revision if name in now else 0, now.get(name))
            for verb, name in told.changes()
        ]

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


def _completed(change: StateChange, now: Entity | None) -> StateChange:
    if change.entity is None and now is not None and now.revision == change.revision:
        return msgspec.structs.replace(change, entity=now)
    return change
