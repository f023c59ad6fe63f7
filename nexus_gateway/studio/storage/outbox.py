"""The outbox: what was changed, kept in the transaction of the change and told to others later.

Whoever changes rows adds a record with `ADD` and `values` to its own transaction, so that a change
without its record, or a record without its change, cannot be. A `Relay` (in `relay.py`) carries
records to sinks in order. Each sink has a position, the last record that it took, and one process
at a time that carries to it: the holder of a lease. What every sink has taken is deleted.

In PostgreSQL transactions commit in another order than that of their positions. A reader that meets
a gap waits for the transactions that were under way when it saw it, and for no others: after them
the gap is one that was rolled back.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from nexus_gateway.studio.storage.engine import struct_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from nexus_gateway.studio.storage.engine import Engine, Row, Value

LEASE = 5.0
"""Seconds after which another process carries on for one that died."""

ADD = (
    "INSERT INTO outbox (topic, tenant, kind, row_key, payload, at) VALUES ($1, $2, $3, $4, $5, $6)"
)
_READ = """
    SELECT position, topic, tenant, kind, row_key, payload, at FROM outbox
    WHERE position > $1 ORDER BY position LIMIT $2
"""
_READ_HEADS = "SELECT position, tenant FROM outbox WHERE position > $1 ORDER BY position LIMIT $2"
_READ_TENANT = """
    SELECT position, topic, tenant, kind, row_key, payload, at FROM outbox
    WHERE position > $1 AND position <= $2 AND tenant = $3 ORDER BY position LIMIT $4
"""
_LAST_OF_TENANT = "SELECT max(position) FROM outbox WHERE tenant = $1"
_POSITION = "SELECT position FROM outbox_sink WHERE name = $1"
_REGISTER = "INSERT INTO outbox_sink (name, position) VALUES ($1, 0) ON CONFLICT (name) DO NOTHING"
_HOLD = """
    INSERT INTO outbox_sink (name, position, holder, lease_until) VALUES ($1, 0, $2, $3)
    ON CONFLICT (name) DO UPDATE SET holder = $2, lease_until = $3
        WHERE outbox_sink.holder = $2 OR outbox_sink.lease_until <= $4
    RETURNING position
"""
_ADVANCE = """
    UPDATE outbox_sink SET position = $3, lease_until = $4 WHERE name = $1 AND holder = $2
    RETURNING position
"""
_RELEASE = "UPDATE outbox_sink SET lease_until = 0 WHERE name = $1 AND holder = $2"
_TRIM = "DELETE FROM outbox WHERE position <= (SELECT min(position) FROM outbox_sink)"
_LAGS = """
    SELECT sink.name, sink.position, count(outbox.position), min(outbox.at)
    FROM outbox_sink AS sink LEFT JOIN outbox ON outbox.position > sink.position
    GROUP BY sink.name, sink.position ORDER BY sink.name
"""
# The lock of the trigger `outbox_announced`, as `pg_locks` writes its number in two halves.
_UNDER_WAY = f"""
    SELECT virtualtransaction FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
        AND classid = {121382091715330 >> 32} AND objid = {121382091715330 & 0xFFFFFFFF}
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""  # noqa: S608 - numbers of ours


_REFUSE = """
    INSERT INTO outbox_refused
        (sink, position, topic, tenant, kind, row_key, payload, at, reason, replay)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (sink, position, tenant, row_key) DO UPDATE SET reason = $9, replay = $10
"""
_REFUSED = "SELECT sink, count(*) FROM outbox_refused GROUP BY sink"
_REFUSALS = """
    SELECT number, sink, tenant, row_key, reason, at FROM outbox_refused
    WHERE tenant = $1 AND number > $2 ORDER BY number LIMIT $3
"""
_REPLAY = "UPDATE outbox_refused SET replay = 1 WHERE replay = 0 AND tenant = $1 RETURNING number"
_REPLAY_ALL = "UPDATE outbox_refused SET replay = 1 WHERE replay = 0 RETURNING number"
_REPLAYS = """
    SELECT number, position, topic, tenant, kind, row_key, payload, at FROM outbox_refused
    WHERE sink = $1 AND replay = 1 ORDER BY number LIMIT $2
"""
# One that was refused again is not to be replayed any more.
_FORGET = "DELETE FROM outbox_refused WHERE number = $1 AND replay = 1"


class Refusal(msgspec.Struct, frozen=True):
    """A record that a sink refused; `number` is its place in the list of them, `at` its time."""

    number: int
    sink: str
    tenant: str
    key: str
    reason: str
    at: int


class Record(msgspec.Struct, frozen=True):
    """A change, or the changes of one transaction.

    position: later ones have greater numbers; none is used twice.
    topic: what kind of thing was changed; with `kind` it says what `payload` is, as JSON.
    at: microseconds since 1970.
    """

    position: int
    topic: str
    tenant: str
    kind: str
    key: str
    payload: msgspec.Raw
    at: int


class Head(msgspec.Struct, frozen=True):
    """The position of a record, and whose change it is."""

    position: int
    tenant: str


class Lag(msgspec.Struct, frozen=True):
    """How far a sink is behind: in records, and in seconds since the first of them was made."""

    sink: str
    position: int
    records: int
    seconds: float


class Positioned(Protocol):
    """What has a position in the outbox."""

    @property
    def position(self) -> int:
        """Give it."""
        ...


P = TypeVar("P", bound=Positioned)


class Gap(msgspec.Struct, frozen=True):
    """A position that is not there: what was seen beyond it, who was under way then."""

    after: int
    seen: int
    under_way: frozenset[str]


def values(topic: str, tenant: str, kind: str, key: str, payload: object) -> tuple[Value, ...]:
    """Give the parameters of `ADD`, for a record of now."""
    encoded = msgspec.json.encode(payload).decode()
    return topic, tenant, kind, key, encoded, micros()


class Outbox:
    """The records of every tenant, in either engine, which its owner opens and closes.

    Args:
        engine: where they are.
        holder: names this process among those that carry.
        lease: seconds; see `LEASE`.
    """

    def __init__(self, engine: Engine, *, holder: str, lease: float = LEASE) -> None:
        self._engine = engine
        self._holder = holder
        self.lease = lease
        self._wakers: set[asyncio.Event] = set()
        self._gaps: dict[str, Gap] = {}

    # --- for those who change rows ---

    def wake(self) -> None:
        """Let this process's relay look for records now; called after a commit."""
        for waker in self._wakers:
            waker.set()

    # --- for the relay and its sinks ---

    async def register(self, sinks: Sequence[str]) -> None:
        """Keep what these sinks have not taken yet; new ones begin with what is there."""
        for sink in sinks:
            await self._engine.command(_REGISTER, sink)

    async def hold(self, sink: str) -> int | None:
        """Take or renew the lease of a sink; its position, or None where another process has it."""
        moment = micros()
        until = moment + round(self.lease * 1e6)
        held = await self._engine.command(_HOLD, sink, self._holder, until, moment)
        return _number(held[0][0]) if held else None

    async def read(self, sink: str, after: int, limit: int) -> list[Record] | None:
        """Read what follows a position; None where something before it may still be committed."""
        return await self._settled(sink, _READ, _record, after, limit)

    async def heads(self, sink: str, after: int, limit: int) -> list[Head] | None:
        """Read whose changes follow a position, as `read`, without their payloads."""
        return await self._settled(sink, _READ_HEADS, _head, after, limit)

    async def read_tenant(self, tenant: str, after: int, last: int, limit: int) -> list[Record]:
        """Read a tenant's records after a position, up to one that `heads` gave."""
        rows = await self._engine.query(_READ_TENANT, after, last, tenant, limit)
        return [_record(row) for row in rows]

    async def last_of(self, tenant: str) -> int:
        """Tell the position of a tenant's last record; 0 where every sink has taken them all."""
        rows = await self._engine.query(_LAST_OF_TENANT, tenant)
        return _number(rows[0][0] or 0)

    async def position(self, sink: str) -> int:
        """Tell the position up to which a sink, of any process, has taken every record."""
        rows = await self._engine.query(_POSITION, sink)
        return _number(rows[0][0]) if rows else 0

    async def advance(self, sink: str, position: int) -> bool:
        """Say what a sink has taken; whether this process still holds its lease."""
        until = micros() + round(self.lease * 1e6)
        return bool(await self._engine.command(_ADVANCE, sink, self._holder, position, until))

    async def release(self, sink: str) -> None:
        """Give a lease back, so that another process need not wait for its end."""
        await self._engine.command(_RELEASE, sink, self._holder)

    async def add(self, topic: str, tenant: str, kind: str, key: str, payload: object) -> None:
        """Store a record that belongs to no change of rows."""
        await self._engine.command(ADD, *values(topic, tenant, kind, key, payload))
        self.wake()

    async def refuse(self, sink: str, record: Record, reason: str) -> None:
        """Store that a sink refused a record, until it is replayed."""
        await self._engine.command(
            _REFUSE,
            sink,
            record.position,
            record.topic,
            record.tenant,
            record.kind,
            record.key,
            bytes(record.payload).decode(),
            record.at,
            reason[:1000].replace("\0", ""),
            0,
        )

    async def refused(self) -> dict[str, int]:
        """Count the refused records of each sink that has some."""
        rows = await self._engine.query(_REFUSED)
        return {str(name): _number(count) for name, count in rows}

    async def refusals(self, tenant: str, after: int, limit: int) -> list[Refusal]:
        """List a tenant's refused records after one, in the order in which they were refused."""
        rows = await self._engine.query(_REFUSALS, tenant, after, limit)
        return [struct_of(Refusal, row) for row in rows]

    async def replay(self, tenant: str | None = None) -> int:
        """Have refused records of a tenant, or of all, given to their sinks again; how many."""
        if tenant is None:
            asked = await self._engine.command(_REPLAY_ALL)
        else:
            asked = await self._engine.command(_REPLAY, tenant)
        self.wake()
        return len(asked)

    async def replays(self, sink: str, limit: int) -> list[tuple[int, Record]]:
        """Load refused records that are to be given again, each with its number."""
        rows = await self._engine.query(_REPLAYS, sink, limit)
        return [(_number(row[0]), _record(row[1:])) for row in rows]

    async def forget(self, number: int) -> None:
        """Forget a record that was replayed, unless its sink refused it again."""
        await self._engine.command(_FORGET, number)

    async def trim(self) -> None:
        """Delete what every sink has taken."""
        await self._engine.command(_TRIM)

    async def lags(self) -> list[Lag]:
        """Tell how far each sink is."""
        moment = micros()
        return [_lag(row, moment) for row in await self._engine.query(_LAGS)]

    def listen(self, waker: asyncio.Event) -> None:
        """Have an event set when this process has committed a record."""
        self._wakers.add(waker)

    def unlisten(self, waker: asyncio.Event) -> None:
        """Stop that."""
        self._wakers.discard(waker)

    async def _settled(
        self, sink: str, statement: str, decode: Callable[[Row], P], after: int, limit: int
    ) -> list[P] | None:
        found = [decode(row) for row in await self._engine.query(statement, after, limit)]
        if self._engine.name == "sqlite":
            return found
        whole = _without_gap(found, after)
        if whole or not found:
            return whole
        # Pass a gap once nobody can fill it any more.
        rows = await self._engine.query(_UNDER_WAY)
        under_way = frozenset(str(row[0]) for row in rows)
        gap = self._gaps.get(sink)
        if gap is None or gap.after != after:
            gap = Gap(after, found[-1].position, under_way)
            self._gaps[sink] = gap
        if gap.under_way & under_way:
            return None
        # Read again: one that was under way may have committed since the first look.
        again = await self._engine.query(statement, after, limit)
        del self._gaps[sink]
        return [one for one in map(decode, again) if one.position <= gap.seen]


def micros() -> int:
    """Tell the time as records keep it: microseconds since 1970."""
    return time.time_ns() // 1000


def _without_gap(found: Sequence[P], after: int) -> list[P]:
    whole: list[P] = []
    for number, one in enumerate(found, start=after + 1):
        if one.position != number:
            break
        whole.append(one)
    return whole


def _record(row: Row) -> Record:
    position, topic, tenant, kind, key, payload, at = row
    raw = msgspec.Raw(str(payload).encode())
    return Record(_number(position), str(topic), str(tenant), str(kind), str(key), raw, _number(at))


def _head(row: Row) -> Head:
    return Head(_number(row[0]), str(row[1]))


def _lag(row: Row, moment: int) -> Lag:
    name, position, records, first = row
    seconds = 0.0 if first is None else max(0, moment - _number(first)) / 1e6
    return Lag(str(name), _number(position), _number(records), round(seconds, 3))


def _number(value: Value) -> int:
    assert isinstance(value, int)  # noqa: S101 - a column of integers
    return value
