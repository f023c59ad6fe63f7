"""Revocations in force: here at once, in the database for later, and in replicas from there.

A `Revoking` is opened by `async with` before the gateway listens: what is stored is in force from
the first request on. Then it looks for what other processes have stored, so that replicas agree
also where no Redis tells them, and after that Redis has lost its data.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol, Self

from nexus_gateway.studio.admin.store import PAGE
from nexus_gateway.studio.storage import tasks
from nexus_gateway.studio.storage.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from nexus_gateway.realtime.frames import Revocation
    from nexus_gateway.studio.admin.store import RevocationStore

_logger = logging.getLogger(__name__)

POLL_S = 1.0
"""Seconds between two looks for what others have stored."""
PRUNE_POLLS = 3_600
"""Looks between two removals of what has ended."""
OVERLAP = 256
"""Rows that are read again: of two transactions, the one with the smaller number may end later."""


class Revoker(Protocol):
    """Where revocations are in force."""

    async def revoke(
        self,
        *,
        jti: str | None = None,
        sub: str | None = None,
        before: int | None = None,
        expires: int | None = None,
        tenant: str | None = None,
    ) -> Revocation:
        """Put one in force, in all replicas that can be told."""
        ...

    def restore(self, revocations: Sequence[Revocation]) -> None:
        """Put stored ones in force here."""
        ...


class Revoking:
    """Puts revocations in force and stores them.

    Args:
        store: where they are stored.
        hub: where they are in force.
        poll: seconds between two looks for what others have stored.
    """

    def __init__(self, store: RevocationStore, hub: Revoker, *, poll: float = POLL_S) -> None:
        self._store = store
        self._hub = hub
        self._poll = poll
        self._newest = 0
        self._recent: set[int] = set()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Put what is stored in force, and begin to look for more.

        Raises:
            StorageUnavailable: the database does not answer: tokens that were revoked would pass.
        """
        await self._store.remove_ended()
        await self.look()
        self._task = asyncio.create_task(self._follow(), name="revocations")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Look no more."""
        await tasks.cancel([self._task])

    async def revoke(
        self,
        *,
        by: str,
        tenant: str | None,
        jti: str | None = None,
        sub: str | None = None,
        before: int | None = None,
        expires: int | None = None,
    ) -> Revocation:
        """Revoke tokens of a tenant, of none where it is empty, of all where it is None.

        It is in force before it is stored: where the database does not answer, the caller is told
        to try again, and meanwhile the tokens pass nowhere.

        Raises:
            HubError: nothing is revoked.
            TooManyRevocations: it is in force, and will not outlive the process.
            StorageUnavailable: the same.
        """
        revoked = await self._hub.revoke(
            jti=jti, sub=sub, before=before, expires=expires, tenant=tenant
        )
        await self._store.add(revoked, by=by)
        return revoked

    async def look(self) -> None:
        """Put in force what was stored since the last look."""
        after = max(self._newest - OVERLAP, 0)
        while True:
            rows = await self._store.after(after)
            new = [one for seq, one in rows if seq not in self._recent]
            if new:
                self._hub.restore(new)
            self._recent |= {seq for seq, _ in rows}
            after = max((seq for seq, _ in rows), default=after)
            self._newest = max(self._newest, after)
            self._recent = {seq for seq in self._recent if seq > self._newest - OVERLAP}
            if len(rows) < PAGE:
                return

    async def _follow(self) -> None:
        polls = 0
        away = False
        while True:
            await asyncio.sleep(self._poll)
            polls += 1
            try:
                await self.look()
                if polls % PRUNE_POLLS == 0:
                    await self._store.remove_ended()
                away = False
            except StorageUnavailable as error:
                if not away:
                    _logger.warning("revocations of other replicas are not seen: %s", error)
                away = True
