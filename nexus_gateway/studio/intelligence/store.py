"""What intelligence needs of storage, whichever engine it is; every call is one tenant's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec

from nexus_gateway.studio.intelligence.models import Entity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_gateway.studio.intelligence.errors import EntityError
    from nexus_gateway.studio.intelligence.models import (
        Count,
        Outcome,
        Selection,
        Stamp,
        Totals,
    )

Edit: TypeAlias = Callable[[Entity | None], Entity | None]
"""Makes of what is stored what shall be stored; None is no entity, the same object is no change.

It is pure: it runs inside the transaction, on any thread, and what it raises undoes everything.
"""


class Archived(msgspec.Struct, frozen=True):
    """A state of an entity, now or once; `number` tells entities of one id after another apart."""

    number: int
    entity: Entity
    deleted: bool


class EntityStore(Protocol):
    """Keeps entities. Each method raises `StorageUnavailable` where storage does not answer."""

    async def change(
        self, tenant: str, edits: Sequence[tuple[str, Edit]], stamp: Stamp
    ) -> list[tuple[Entity | None, Entity | None]]:
        """Apply each edit to the entity with its id, in order, all or none; before and after.

        Raises:
            AttributesRefused: of a declared type, with what is wrong in all of them.
            AlreadyExists: an alias is taken.
            Moved: an id is an alias.
        """
        ...

    async def take(
        self, tenant: str, entities: Sequence[Entity], stamp: Stamp
    ) -> list[Outcome | EntityError]:
        """Create or replace entities in one transaction, each for itself; what became of each."""
        ...

    async def restore(self, tenant: str, entity_id: str, stamp: Stamp) -> Entity:
        """Bring back what was deleted last under an id.

        Raises:
            AlreadyExists: it is not deleted, or one of its aliases was taken meanwhile.
            NotFound: nothing was deleted under it.
        """
        ...

    async def purge(self, tenant: str, entity_id: str, edit: Edit, stamp: Stamp) -> bool:
        """Forget an entity and its history, once `edit` has seen it; whether there was anything."""
        ...

    async def history(
        self, tenant: str, entity_id: str, start: tuple[int, int] | None, limit: int
    ) -> list[Archived]:
        """Load states of an id, the newest first, from a number and revision on."""
        ...

    async def resolve(self, tenant: str, alias: str) -> str | None:
        """Tell which entity an alias leads to."""
        ...

    async def get(self, tenant: str, entity_id: str) -> Entity | None:
        """Load one entity."""
        ...

    async def some(self, tenant: str, ids: Sequence[str]) -> list[Entity]:
        """Load those of the ids that there are, in any order."""
        ...

    async def page(
        self, tenant: str, selection: Selection, after: int, limit: int
    ) -> list[tuple[int, Entity]]:
        """Load at most `limit` entities made after the one with number `after`, with numbers."""
        ...

    async def newest(self, tenant: str, limit: int) -> list[Entity]:
        """Load the entities that were made last, the newest first."""
        ...

    async def totals(self, tenant: str) -> Totals:
        """Count entities, types and tags."""
        ...

    async def by_type(self, tenant: str, limit: int) -> list[Count]:
        """Count entities by type, the largest first."""
        ...

    async def by_tag(self, tenant: str, limit: int) -> list[Count]:
        """Count entities by tag, the largest first."""
        ...

    async def growth(self, tenant: str, since: int, width: int) -> tuple[int, dict[int, int]]:
        """Count entities made before `since`, and after it by stretches of `width`; microseconds.

        Returns:
            the first count, and for each stretch that is not empty its start and count.
        """
        ...
