"""What the outbox says of changes of entities: whose ids, for each kind of change.

One record stands for one transaction, however many entities it changed, so that an import costs a
record a chunk. What the entities are now is not in it: whoever is told reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from nexus_gateway.studio.storage import outbox

if TYPE_CHECKING:
    from nexus_gateway.studio.intelligence.models import Stamp
    from nexus_gateway.studio.storage.engine import Value

TOPIC = "entities"
KIND = "changed"
Verb: TypeAlias = Literal["created", "updated", "deleted", "restored"]


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """The entities that one transaction changed, and the subject who did."""

    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    by: str = ""

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.created) + len(self.updated) + len(self.deleted) + len(self.restored)

    def changes(self) -> list[tuple[Verb, str]]:
        """List each change."""
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

    def add(self, verb: Verb, *ids: str) -> None:
        """Note a change of entities; what is made and then changed was made."""
        for one in ids:
            if verb == "updated" and one in self._verbs:
                continue
            self._verbs[one] = verb

    def record(self) -> tuple[Value, ...] | None:
        """Give the outbox's record, or None where nothing was changed, and begin anew."""
        verbs, self._verbs = self._verbs, {}
        if not verbs:
            return None
        named: dict[str, list[str]] = {}
        for one, verb in verbs.items():
            named.setdefault(verb, []).append(one)
        first = next(iter(verbs))
        told: dict[str, object] = {**named, "by": self._by}
        return outbox.values(TOPIC, self._tenant, KIND, first, told)
