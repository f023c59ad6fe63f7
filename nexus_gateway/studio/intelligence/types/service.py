"""Declared types: the rules, without HTTP and without SQL."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

import msgspec

from nexus_gateway.studio.intelligence.errors import NotFound
from nexus_gateway.studio.intelligence.models import Stamp
from nexus_gateway.studio.intelligence.types.lint import lint
from nexus_gateway.studio.intelligence.types.models import DeclaredTypes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from nexus_gateway.studio.intelligence.types.models import Declaration, DeclaredType


class TypeStore(Protocol):
    """Keeps declared types. Each method raises `StorageUnavailable` where storage fails."""

    async def declare(
        self, tenant: str, name: str, declaration: Declaration, digest: str, stamp: Stamp
    ) -> DeclaredType:
        """Keep a type as declared; one that is the same already stays as it is.

        Raises:
            BadSchema: the tenant has too many types.
        """
        ...

    async def declared(self, tenant: str, name: str) -> DeclaredType | None:
        """Load a type."""
        ...

    async def declarations(self, tenant: str, after: str, limit: int) -> Sequence[DeclaredType]:
        """Load types by name, from after a name on."""
        ...

    async def undeclare(self, tenant: str, name: str) -> bool:
        """Forget a type; whether there was one."""
        ...


class Types:
    """The declared types of every tenant."""

    def __init__(self, store: TypeStore, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock

    async def declare(
        self, tenant: str, name: str, declaration: Declaration, by: str
    ) -> DeclaredType:
        """Say what entities of a type must be from now on; those that exist stay as they are.

        Raises:
            BadSchema: the schema cannot be used.
        """
        lint(declaration.attributes)
        text = msgspec.json.encode(declaration.attributes)
        digest = hashlib.blake2b(text, digest_size=16).hexdigest()
        stamp = Stamp(self._clock(), by)
        return await self._store.declare(tenant, name, declaration, digest, stamp)

    async def get(self, tenant: str, name: str) -> DeclaredType:
        """Load a type.

        Raises:
            NotFound: it is not declared.
        """
        found = await self._store.declared(tenant, name)
        if found is None:
            raise _missing(name)
        return found

    async def page(self, tenant: str, after: str, limit: int) -> DeclaredTypes:
        """List types by name."""
        found = await self._store.declarations(tenant, after, limit + 1)
        items = tuple(found[:limit])
        return DeclaredTypes(items, items[-1].name if len(found) > limit else None)

    async def remove(self, tenant: str, name: str) -> None:
        """Let entities of a type have any attributes again.

        Raises:
            NotFound: it is not declared.
        """
        if not await self._store.undeclare(tenant, name):
            raise _missing(name)


def _missing(name: str) -> NotFound:
    return NotFound(f"entity type {name!r} is not declared")
