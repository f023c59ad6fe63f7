"""What the outbox says of changes of entities: the ids for each kind of change, and the states.

A transaction of few changes carries each with its revision and the state after it, so that a
message tells the change that it is of, whenever it is delivered. A large one, as of an import,
carries ids alone and costs one record: those who need the states read what is stored by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from nexus_gateway.studio.intelligence.models import Entity
from nexus_gateway.studio.storage import outbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexus_gateway.studio.intelligence.models import Stamp
    from nexus_gateway.studio.storage.engine import Value

TOPIC = "entities"
KIND = "changed"
CHANGES_MAX = 64
"""Changes of a transaction that are recorded one by one."""
STATE_BYTES_MAX = 256 << 10
"""Bytes of a state in a record; of a larger one the revision is recorded alone."""
RECORD_BYTES_MAX = 256 << 10
"""Bytes of the states of one record; a transaction with more has several records."""

Verb: TypeAlias = Literal["created", "updated", "deleted", "restored"]


class StateChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """One change, with the revision that it made and the state after it.

    entity: None after a deletion, and of a state above `STATE_BYTES_MAX`.
    """

    change: Verb
    entity_id: str
    revision: int
    entity: Entity | None = None


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """The entities that one transaction changed, and the subject who did.

    states: each change in order; empty where there are more than `CHANGES_MAX`.
    """

    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    by: str = ""
    states: tuple[StateChange, ...] = ()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.created) + len(self.updated) + len(self.deleted) + len(self.restored)

    def changes(self) -> list[tuple[Verb, str]]:
        """List each entity with what became of it."""
        return [
            *(("created", one) for one in self.created),
            *(("updated", one) for one in self.updated),
            *(("deleted", one) for one in self.deleted),
            *(("restored", one) for one in self.restored),
        ]


class Telling:
    """Collects what a transaction changes."""

    def __init__(self, tenant: str, stamp: Stamp) -> None:
        self._tenant = tenant
        self._by = stamp.by
        self._verbs: dict[str, Verb] = {}
        self._changes: list[tuple[Verb, Entity]] = []

    def add(self, verb: Verb, entity: Entity) -> None:
        """Note a change; `entity` is the state after it, or before a deletion."""
        if verb != "updated" or entity.entity_id not in self._verbs:
            self._verbs[entity.entity_id] = verb
        # One above the limit says that there are more; the rest would only take memory.
        if len(self._changes) <= CHANGES_MAX:
            self._changes.append((verb, entity))

    def records(self) -> list[tuple[Value, ...]]:
        """Give the records for the outbox, none where nothing was changed, and begin again."""
        verbs, self._verbs = self._verbs, {}
        changes, self._changes = self._changes, []
        if len(changes) > CHANGES_MAX:
            return [self._record(verbs)]
        found: list[tuple[Value, ...]] = []
        for states in _parts(changes):
            part: dict[str, Verb] = {}
            for one in states:
                if one.change != "updated" or one.entity_id not in part:
                    part[one.entity_id] = one.change
            found.append(self._record(part, states))
        return found

    def _record(
        self, verbs: dict[str, Verb], states: list[StateChange] | None = None
    ) -> tuple[Value, ...]:
        named: dict[str, list[str]] = {}
        for one, verb in verbs.items():
            named.setdefault(verb, []).append(one)
        payload: dict[str, object] = {**named, "by": self._by}
        if states:
            payload["states"] = states
        return outbox.values(TOPIC, self._tenant, KIND, next(iter(verbs)), payload)


def _parts(changes: list[tuple[Verb, Entity]]) -> Iterator[list[StateChange]]:
    """Divide changes into those of one record each, by the bytes of their states."""
    part: list[StateChange] = []
    total = 0
    for verb, entity in changes:
        state, size = _state(verb, entity)
        if part and total + size > RECORD_BYTES_MAX:
            yield part
            part, total = [], 0
        part.append(state)
        total += size
    if part:
        yield part


def _state(verb: Verb, entity: Entity) -> tuple[StateChange, int]:
    if verb == "deleted":
        # As the history counts it: a deletion is a revision, too.
        return StateChange(verb, entity.entity_id, entity.revision + 1), 0
    size = len(bytes(entity.attributes))
    if size > STATE_BYTES_MAX:
        return StateChange(verb, entity.entity_id, entity.revision), 0
    return StateChange(verb, entity.entity_id, entity.revision, entity), size
