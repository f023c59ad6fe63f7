"""What search needs of storage, in either engine; every call but the indexer's is one tenant's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from nexus_gateway.studio.intelligence.models import Entity

if TYPE_CHECKING:
    from collections.abc import Sequence


class Mark(msgspec.Struct, frozen=True):
    """Up to where a tenant's changes are known: by version, and by number within one.

    again: where the engine needs it, the version to begin with next time.
    """

    version: int = 0
    number: int = 0
    again: int = 0


class Seen(msgspec.Struct, frozen=True):
    """What search keeps of an entity; of one that is gone, `entity_type` is None.

    tags: as JSON.
    vector: None while it is not made, or made by another model.
    """

    number: int
    entity_type: str | None
    tags: str
    vector: bytes | None


class Changes(msgspec.Struct, frozen=True):
    """Entities that changed since a mark, in no order that matters; and the next mark.

    complete: whether there were no more than asked for.
    """

    seen: list[Seen]
    mark: Mark
    complete: bool


class Pending(msgspec.Struct, frozen=True):
    """An entity whose vector is to be made, as of a version."""

    number: int
    tenant: str
    version: int
    entity: Entity


class Comparison(msgspec.Struct, frozen=True):
    """What vectors are compared to, among which entities, and how many of the nearest count."""

    vector: bytes
    model: str
    kind: str | None
    tags: tuple[str, ...]
    limit: int
    floor: float


class SearchStore(Protocol):
    """Finds entities. Each method raises `StorageUnavailable` where storage does not answer."""

    async def changes(self, tenant: str, mark: Mark, model: str, limit: int) -> Changes:
        """Tell what changed since a mark; vectors of other models are left out."""
        ...

    async def matching(self, tenant: str, text: str) -> list[int]:
        """Find the entities with all words of a text, perhaps with other tenants' among them."""
        ...

    async def best(
        self, tenant: str, text: str, numbers: Sequence[int] | None, limit: int
    ) -> list[int]:
        """Find the best matches of a text's words, among some numbers or all; the best first.

        Of all they may be other tenants' too.
        """
        ...

    async def best_named(self, tenant: str, text: str, limit: int) -> list[int]:
        """Find the best of those that have the words in their id, aliases, name or tags."""
        ...

    async def exact(self, tenant: str, text: str, limit: int) -> list[int]:
        """Find entities whose id or name is the text, in any case of letters."""
        ...

    async def nearest(self, tenant: str, asked: Comparison) -> list[tuple[int, float]] | None:
        """Find the entities whose vectors are nearest: numbers and cosines, the nearest first.

        None where the engine does not compare vectors.
        """
        ...

    async def numbers_of(self, tenant: str, ids: Sequence[str]) -> dict[str, int]:
        """Tell the numbers of entities; those that are not there are left out."""
        ...

    async def numbered(self, tenant: str, numbers: Sequence[int]) -> list[tuple[int, Entity]]:
        """Load a tenant's entities by number, in the order of the numbers."""
        ...

    async def pending(self, after: int, limit: int) -> list[Pending]:
        """Load entities of any tenant whose vector is to be made, numbered beyond one."""
        ...

    async def keep(self, model: str, made: Sequence[tuple[Pending, bytes]]) -> None:
        """Keep vectors of entities that are still as they were."""
        ...

    async def forget_others(self, model: str, limit: int) -> int:
        """Let vectors that another model made be made anew, so many at most; how many."""
        ...
