"""What search needs of storage, in either engine; every call but the indexer's is one tenant's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from nexus_gateway.studio.intelligence.models import Entity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_gateway.studio.intelligence.search.analyser import Phrase


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
    title: characters of its name, or of its id where it has none.
    size: characters of its attributes.
    """

    number: int
    entity_type: str | None
    tags: str
    vector: bytes | None
    title: int = 0
    size: int = 0


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

    async def matching(
        self, tenant: str, phrases: Sequence[Phrase], *, named: bool = False
    ) -> list[int]:
        """Find the entities with all phrases, perhaps with other tenants' among them.

        named: that have them in their id, name or aliases.
        """
        ...

    async def exact(self, tenant: str, key: str, limit: int) -> list[int]:
        """Find entities whose id, name or alias has a key of the analyser; the youngest first."""
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

    async def reindex(self, version: int, limit: int) -> int:
        """Analyse entities again that are indexed by an older version, so many at most.

        Returns:
            how many entities may still have older terms, 0 once none has.
        """
        ...
