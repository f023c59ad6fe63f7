"""One change of a tenant at a time, within this process: what is read is what is changed.

Between processes the graph's own uniqueness decides (see `store.py`); the turn only keeps writers
of one process from losing to each other.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from nexus_gateway.studio.storage.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

PATIENCE = 5.0
"""Seconds that a change waits for those before it."""


class Turns:
    """Locks by tenant, kept only while somebody holds or waits for them."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, tenant: str) -> AsyncGenerator[None]:
        """Wait for a tenant's turn.

        Raises:
            StorageUnavailable: too much is being changed.
        """
        lock = self._locks.get(tenant)
        if lock is None:
            lock = self._locks[tenant] = asyncio.Lock()
        try:
            await asyncio.wait_for(lock.acquire(), PATIENCE)
        except TimeoutError:
            raise StorageUnavailable("too many changes of the graph wait") from None
        try:
            yield
        finally:
            lock.release()
