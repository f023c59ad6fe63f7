"""Nodes that are on their way: entities that are stored, and that the graph has not taken yet.

An edge may be given directly after the entities at its ends. Whoever finds no node for one of them
waits here, for a bounded time, until the records that the tenant has by then are in the graph.
"""

from __future__ import annotations

import asyncio
import time
from itertools import islice
from typing import TYPE_CHECKING

from nexus_gateway.studio.storage.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from nexus_gateway.studio.intelligence.store import EntityStore
    from nexus_gateway.studio.knowledge_graph.store import GraphStore
    from nexus_gateway.studio.storage.outbox import Outbox

PENDING_TIMEOUT_S = 5.0
"""Seconds that an edge waits for its nodes."""
PENDING_POLL_S = 0.02
"""Seconds between two looks."""
LOOKUP_ROWS = 250
"""Entities that are looked up at once."""


class PendingNodes:
    """Waits for nodes of stored entities.

    Args:
        entities: where they are stored.
        outbox: the records of their changes.
        nodes: the graph that takes them.
        taken: tells the position up to which the graph has taken a tenant's records.
    """

    def __init__(
        self,
        entities: EntityStore,
        outbox: Outbox,
        nodes: GraphStore,
        taken: Callable[[str], Awaitable[int]],
    ) -> None:
        self._entities = entities
        self._outbox = outbox
        self._nodes = nodes
        self._taken = taken

    async def wait(self, tenant: str, ids: Collection[str]) -> bool:
        """Wait for those of the ids that are entities; whether there was anything to wait for.

        Raises:
            StorageUnavailable: the graph has not taken them in time, or something is away.
        """
        last = await self._outbox.last_of(tenant)
        if last == 0 or await self._taken(tenant) >= last:
            # They may have been taken since the caller looked.
            return bool(await self._nodes.present(tenant, ids))
        pending = await self._stored(tenant, ids)
        if not pending:
            return False
        until = time.monotonic() + PENDING_TIMEOUT_S
        while await self._taken(tenant) < last:
            pending -= await self._nodes.present(tenant, pending)
            if not pending:
                break
            if time.monotonic() > until:
                raise StorageUnavailable(
                    "nodes of an edge are stored as entities and not in the graph yet: try again"
                )
            await asyncio.sleep(PENDING_POLL_S)
        return True

    async def _stored(self, tenant: str, ids: Collection[str]) -> set[str]:
        found: set[str] = set()
        waiting = iter(ids)
        while some := list(islice(waiting, LOOKUP_ROWS)):
            found |= {one.entity_id for one in await self._entities.some(tenant, some)}
        return found
