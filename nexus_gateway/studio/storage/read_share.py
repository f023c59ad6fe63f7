"""How many reads of a tenant may run at once, so that some threads are left for the others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nexus_gateway.studio.storage.errors import GraphTimeout, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Hashable


class _Share:
    """The reads of one tenant."""

    def __init__(self, limit: int) -> None:
        self.running = asyncio.Semaphore(limit)
        self.users = 0


class ReadShares:
    """Bounds the concurrent reads of each tenant; used on the event loop only.

    Args:
        running: reads of one tenant that may run at once.
        waiting: reads of one tenant that may run or wait; more are refused at once.
    """

    def __init__(self, running: int, waiting: int) -> None:
        self._running = running
        self._waiting = waiting
        self._shares: dict[Hashable, _Share] = {}

    async def acquire(self, tenant: Hashable, seconds: float) -> None:
        """Wait for a place; each is given back by `release`.

        Raises:
            StorageUnavailable: too many reads of the tenant wait.
            GraphTimeout: there was no place in time.
        """
        share = self._shares.setdefault(tenant, _Share(self._running))
        if share.users >= self._waiting:
            raise StorageUnavailable("too many reads of this tenant wait for the graph")
        share.users += 1
        try:
            await asyncio.wait_for(share.running.acquire(), seconds)
        except BaseException as error:
            self._leave(tenant, share)
            if isinstance(error, TimeoutError):
                message = f"other reads of this tenant took all of {seconds:g} s"
                raise GraphTimeout(message) from None
            raise

    def release(self, tenant: Hashable) -> None:
        """Give a place back."""
        share = self._shares[tenant]
        share.running.release()
        self._leave(tenant, share)

    def _leave(self, tenant: Hashable, share: _Share) -> None:
        share.users -= 1
        if share.users == 0:
            del self._shares[tenant]
