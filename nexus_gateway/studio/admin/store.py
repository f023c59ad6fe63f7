"""Revocations in the database: they outlive every process, and the Redis that replicas share.

Rows are only added, and removed once they have ended or another covers them, so that a process
reads what others have added by `seq`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

from nexus_gateway.realtime.frames import Revocation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nexus_gateway.studio.storage.engine import Engine, Row

PAGE = 5_000
"""Rows that are read at once."""
REVOCATIONS_MAX = 50_000
"""Rows of one realm."""

_COLUMNS = "seq, realm, tenant, kind, name, before, expires"
_ADD = """
    INSERT INTO revocation (realm, tenant, kind, name, before, expires, created_by)
    SELECT $1, $2, $3, $4, CAST($5 AS BIGINT), CAST($6 AS BIGINT), $7
    WHERE (SELECT count(*) FROM revocation WHERE realm = $1 AND tenant = $2)
        < CAST($8 AS BIGINT)
    RETURNING seq
"""
_COVERED = (
    "DELETE FROM revocation WHERE realm = $1 AND tenant = $2 AND kind = $3 AND name = $4"
    " AND before <= $5 AND expires <= $6 AND seq < $7 RETURNING seq"
)
_AFTER = f"SELECT {_COLUMNS} FROM revocation WHERE seq > $1 ORDER BY seq LIMIT {PAGE}"  # noqa: S608
_ENDED = "DELETE FROM revocation WHERE expires <= $1 RETURNING seq"


class TooManyRevocations(Exception):  # noqa: N818 - what is said, not what failed
    """Say that a tenant has as many revocations in force as it may."""


class RevocationStore:
    """The revocations of every tenant; each method raises `StorageUnavailable` as the engine does.

    Args:
        engine: the database, which its owner opens and closes.
        clock: seconds since 1970.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock

    async def add(self, revocation: Revocation, *, by: str) -> int:
        """Store one, in the place of those that it covers; its number.

        Raises:
            TooManyRevocations: there is no place for more.
        """
        key = _key(revocation)
        ends = (revocation.before or 0, revocation.expires)
        rows = await self._engine.command(_ADD, *key, *ends, by, REVOCATIONS_MAX)
        if not rows:
            raise TooManyRevocations
        seq = cast("int", rows[0][0])
        await self._engine.command(_COVERED, *key, *ends, seq)
        return seq

    async def after(self, seq: int) -> Sequence[tuple[int, Revocation]]:
        """Read those that were added after one, oldest first, at most `PAGE`."""
        return [_read(row) for row in await self._engine.query(_AFTER, seq)]

    async def remove_ended(self) -> int:
        """Remove those whose tokens have expired by themselves; how many."""
        return len(await self._engine.command(_ENDED, int(self._clock())))


def _key(one: Revocation) -> tuple[str, str, str, str]:
    realm = "all" if one.all_tenants else "none" if one.tenant is None else "tenant"
    kind, name = ("jti", one.jti) if one.sub is None else ("sub", one.sub)
    return realm, one.tenant or "", kind, name or ""


def _read(row: Row) -> tuple[int, Revocation]:
    seq, realm, tenant, kind, name, before, expires = cast(
        "tuple[int, str, str, str, str, int, int]", row
    )
    return seq, Revocation(
        expires=expires,
        jti=name if kind == "jti" else None,
        sub=name if kind == "sub" else None,
        before=before if kind == "sub" else None,
        tenant=tenant if realm == "tenant" else None,
        all_tenants=realm == "all",
    )
