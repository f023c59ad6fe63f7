"""Carries the outbox's records to sinks, each at its own pace, in the background of the gateway.

Records of one tenant are carried in order. Tenants with many take turns: each turn is a slice of a
bounded number of records and bytes, so that what one tenant waits for depends on how many tenants
wait, and not on how much they have changed. The position of a sink is the one before the first
record that it has not taken; after a crash, records beyond it may be carried once more.

A `Relay` is opened by `async with` for as long as its process serves; any number of processes may
have one over the same database, and for each sink one of them works at a time. A sink that is away
is asked again, after a growing pause, until it is back: nothing is passed over meanwhile, and other
sinks go on. After a crash a sink may get its last batch once more, so it must be idempotent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Protocol, Self

import msgspec

from nexus_gateway.studio.storage import tasks
from nexus_gateway.studio.storage.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
    from types import TracebackType

    from nexus_gateway.studio.storage.outbox import Head, Outbox, Record

_logger = logging.getLogger(__name__)

BATCH = 64
"""Records that a sink is given at once, at most."""
SLICE_BYTES = 16 << 10
"""Bytes of payloads after which the next tenant has its turn; one record may have more."""
LARGE_BYTES = 4 << 10
"""Bytes of a payload from which on a record is a large one, as of an import."""
QUIET_S = 0.25
DEFERRAL_MAX_S = 3.0
"""Seconds without further records of a tenant before its large ones are carried to a patient sink,
and how long they wait for that at most: an import goes first, and waits for no other tenant."""
HEADS = 1000
"""Records that are looked at in one read, to learn whose they are."""
NOTE_EVERY = 0.05
"""Seconds between two notes of a position while there is more to carry."""
POLL = 0.5
"""Seconds between two looks for records of other processes; own ones are carried at once."""
UNSETTLED = 0.01
"""Seconds to wait for a transaction that may still commit."""
LONGEST = 5.0
"""Seconds between two tries at most."""
TRIES = 5
"""Times that a batch is tried which a sink breaks at, though it is there."""
TRIM_EVERY = 5.0
FAREWELL = 5.0
"""Seconds that a batch may take to end when the process does."""
LATE = 30.0
"""Seconds behind after which a sink counts as failing."""


class Sink(Protocol):
    """Who is told of changes."""

    async def take(self, records: Sequence[Record]) -> None:
        """Take records, in order, some of them perhaps for the second time.

        Raises:
            StorageUnavailable: it is away; it is asked again until it is back.
        """
        ...


class OutboxBehind(Exception):  # noqa: N818 - what is said, not what failed
    """Say that a sink does not keep up, is away, or refused records."""

    def __init__(self, reason: str, detail: Mapping[str, object]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail


class Waiting(msgspec.Struct):
    """A tenant with records that a sink has not taken: those after one position up to another.

    failures: times that the sink broke at the next slice; not_before: when it is tried again.
    deferred_at: when its large records were deferred first; deferred_last: the last one then.
    """

    after: int
    last: int
    failures: int = 0
    not_before: float = 0.0
    deferred_at: float | None = None
    deferred_last: int = 0

    def defer(self, moment: float) -> bool:
        """Let large records wait until the tenant is quiet, for a bounded time; whether they do."""
        if self.deferred_at is None:
            self.deferred_at = moment
        elif self.last == self.deferred_last or moment - self.deferred_at >= DEFERRAL_MAX_S:
            return False
        self.deferred_last = self.last
        self.not_before = moment + QUIET_S
        return True


class Backlog(msgspec.Struct):
    """What a sink has not taken, by tenant in the order of their turns.

    noted: the position that the database has; scanned: the one up to which it is known whose
    records there are. alone: tenants are to be given one by one, since the sink broke at several.
    """

    noted: int
    scanned: int
    noted_at: float = 0.0
    alone: bool = False
    tenants: dict[str, Waiting] = {}

    @property
    def taken(self) -> int:
        """The position up to which every record was taken."""
        return min((one.after for one in self.tenants.values()), default=self.scanned)

    def add(self, heads: Sequence[Head]) -> None:
        """Note whose records follow."""
        for head in heads:
            waiting = self.tenants.get(head.tenant)
            if waiting is None:
                self.tenants[head.tenant] = Waiting(head.position - 1, head.position)
            else:
                waiting.last = head.position
            self.scanned = head.position

    def turn(self, moment: float) -> str | None:
        """Tell whose turn it is; None where all wait for a later moment."""
        found = (name for name, one in self.tenants.items() if one.not_before <= moment)
        return next(found, None)

    def rotate(self, tenant: str) -> None:
        """Let the others have their turns first, or forget a tenant that has nothing left."""
        waiting = self.tenants.pop(tenant)
        if waiting.after < waiting.last:
            self.tenants[tenant] = waiting


class Relay:
    """Carries records to sinks.

    Args:
        outbox: where they are.
        sinks: by name, which stands for the sink's position: never rename one.
        able: for some sinks, whether this process can carry to it now; another one does otherwise.
        patient: sinks to which large records are carried once their tenant is quiet.
    """

    def __init__(
        self,
        outbox: Outbox,
        sinks: Mapping[str, Sink],
        *,
        able: Mapping[str, Callable[[], bool]] | None = None,
        patient: Collection[str] = (),
    ) -> None:
        self._patient = frozenset(patient)
        self._outbox = outbox
        self._able = dict(able or {})
        self._sinks = dict(sinks)
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = asyncio.Event()
        self._trimmed = 0.0
        self._trimmable = True
        self._held: dict[str, tuple[int, float]] = {}
        self._backlogs: dict[str, Backlog] = {}

    async def __aenter__(self) -> Self:
        """Begin to carry.

        Raises:
            StorageUnavailable: the database does not answer.
        """
        # All of them before the first trims: it asks which sink is the furthest behind.
        await self._outbox.register(tuple(self._sinks))
        self._tasks = [
            asyncio.create_task(self._carry(name, sink), name=f"relay {name}")
            for name, sink in self._sinks.items()
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, and let go of the leases; what was not carried yet waits for the next process."""
        # A batch that was taken is noted, too, or the next process would carry it once more.
        self._closing.set()
        self._outbox.wake()
        _, late = await asyncio.wait(self._tasks, timeout=FAREWELL)
        await tasks.cancel(late)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for name in self._sinks:
            with contextlib.suppress(StorageUnavailable):
                await self._outbox.release(name)

    async def lag(self) -> dict[str, dict[str, float]]:
        """Tell how far each sink is behind.

        Raises:
            StorageUnavailable: the database does not answer.
            OutboxBehind: one is further than it should be.
        """
        lags = {lag.sink: lag for lag in await self._outbox.lags() if lag.sink in self._sinks}
        refused = await self._outbox.refused()
        detail = {
            name: {
                "records": float(lag.records),
                "seconds": lag.seconds,
                "refused": float(refused.get(name, 0)),
            }
            for name, lag in lags.items()
        }
        faults = [
            f"{one.sink}: {one.records} since {one.seconds:.0f} s"
            for one in lags.values()
            if one.seconds > LATE
        ]
        faults += [f"{name}: {count} refused" for name, count in refused.items() if count]
        if faults:
            raise OutboxBehind("; ".join(faults), detail)
        return detail

    async def taken(self, name: str, tenant: str) -> int:
        """Tell a position up to which a sink has taken a tenant's records.

        Raises:
            StorageUnavailable: the database does not answer.
        """
        known = 0
        backlog = self._backlogs.get(name)
        if backlog is not None:
            waiting = backlog.tenants.get(tenant)
            known = backlog.scanned if waiting is None else waiting.after
        # Of a sink that another process carries to, only the position of all tenants is known.
        return max(known, await self._outbox.position(name))

    async def _carry(self, name: str, sink: Sink) -> None:
        """Carry to one sink until the relay closes."""
        woken = asyncio.Event()
        self._outbox.listen(woken)
        tries = 0
        try:
            while not self._closing.is_set():
                woken.clear()
                try:
                    pause = await self._pass(name, sink)
                    tries = 0
                except StorageUnavailable as error:
                    _logger.warning("changes wait for %s: %s", name, error)
                    tries = min(tries + 1, TRIES)
                    pause = _pause(tries)
                except Exception:
                    tries = min(tries + 1, TRIES)
                    _logger.exception("changes could not be given to %s (try %d)", name, tries)
                    pause = _pause(tries)
                # News do not make a sink come back; only the end is heard while it is away.
                event = self._closing if tries or self._closing.is_set() else woken
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(event.wait(), pause)
            backlog = self._backlogs.get(name)
            if backlog is not None and name in self._held and backlog.taken != backlog.noted:
                with contextlib.suppress(StorageUnavailable):
                    await self._note(name, backlog)
        finally:
            self._outbox.unlisten(woken)

    async def _pass(self, name: str, sink: Sink) -> float:
        """Carry what there is; the seconds to wait before the next look."""
        able = self._able.get(name)
        if able is not None and not able():
            if self._held.pop(name, None) is not None:
                await self._outbox.release(name)
            return self._outbox.lease / 2
        position = await self._position(name)
        if position is None:
            return self._outbox.lease / 2
        backlog = self._backlogs.get(name)
        if backlog is None or backlog.noted != position:
            backlog = self._backlogs[name] = Backlog(position, position)
        await self._replay(name, sink)
        pause = 0.0
        while not pause and not self._closing.is_set():
            pause = await self._turn(name, sink, backlog)
            late = time.monotonic() - backlog.noted_at > NOTE_EVERY
            behind = backlog.taken != backlog.noted
            # With many tenants in turn the position may stay: the note renews the lease as well.
            due = (late and backlog.tenants) or (behind and (late or pause))
            if due and not await self._note(name, backlog):
                return self._outbox.lease / 2
            await self._trim()
        return pause

    async def _turn(self, name: str, sink: Sink, backlog: Backlog) -> float:
        """Give one tenant its turn, or all where there is little; seconds to wait, 0 for none."""
        if not backlog.tenants and not backlog.alone:
            records = await self._outbox.read(name, backlog.scanned, BATCH)
            if records is None:
                return UNSETTLED
            if not records:
                return POLL
            sizes = [_size(record) for record in records]
            most = LARGE_BYTES if name in self._patient else SLICE_BYTES
            if len(records) < BATCH and sum(sizes) <= SLICE_BYTES and max(sizes) <= most:
                # Until it succeeds: what one tenant's records break must not concern the others.
                backlog.alone = True
                async with self._holding(name):
                    await sink.take(records)
                backlog.alone = False
                backlog.scanned = records[-1].position
                return 0
        heads = await self._outbox.heads(name, backlog.scanned, HEADS)
        backlog.add(heads or ())
        tenant = backlog.turn(time.monotonic())
        if tenant is not None:
            await self._slice(name, sink, backlog, tenant)
            return 0
        backlog.alone = False
        if backlog.tenants:
            first = min(one.not_before for one in backlog.tenants.values())
            return max(UNSETTLED, min(POLL, first - time.monotonic()))
        return UNSETTLED if heads is None else POLL

    async def _slice(self, name: str, sink: Sink, backlog: Backlog, tenant: str) -> None:
        """Give a sink the next records of a tenant.

        A sink that broke at them several times is given them one by one, and those that break it
        again are left out.
        """
        waiting = backlog.tenants[tenant]
        found = await self._outbox.read_tenant(tenant, waiting.after, waiting.last, BATCH)
        records = _slice_of(found)
        large = bool(records) and _size(records[0]) > LARGE_BYTES
        if large and name in self._patient and waiting.defer(time.monotonic()):
            backlog.rotate(tenant)
            return
        try:
            async with self._holding(name):
                if waiting.failures >= TRIES:
                    await self._each(name, sink, records)
                elif records:
                    await sink.take(records)
        except StorageUnavailable:
            backlog.rotate(tenant)
            raise
        except Exception:
            waiting.failures += 1
            waiting.not_before = time.monotonic() + _pause(waiting.failures)
            _logger.exception("changes could not be given to %s (try %d)", name, waiting.failures)
        else:
            waiting.failures, waiting.not_before = 0, 0.0
            waiting.after = records[-1].position if records else waiting.last
        backlog.rotate(tenant)

    async def _note(self, name: str, backlog: Backlog) -> bool:
        """Store a sink's position; whether its lease is still held."""
        position = backlog.taken
        # Whatever becomes of it, the database is asked for the position until this is noted.
        self._held.pop(name, None)
        if not await self._outbox.advance(name, position):
            self._backlogs.pop(name, None)
            return False
        backlog.noted, backlog.noted_at = position, time.monotonic()
        self._held[name] = (position, backlog.noted_at)
        self._trimmable = True
        return True

    async def _each(self, name: str, sink: Sink, records: Sequence[Record]) -> None:
        """Give records one by one; those that a sink breaks at are stored as refused."""
        for record in records:
            try:
                await sink.take([record])
            except StorageUnavailable:
                raise
            except Exception as error:
                _logger.exception("change %d is not given to %s", record.position, name)
                await self._outbox.refuse(name, record, type(error).__name__)

    async def _replay(self, name: str, sink: Sink) -> None:
        """Give refused records again that somebody asked for; those refused again are stored."""
        for number, record in await self._outbox.replays(name, BATCH):
            async with self._holding(name):
                await self._each(name, sink, [record])
            await self._outbox.forget(number)

    async def _position(self, name: str) -> int | None:
        """Tell how far a sink is, where it is ours; the lease is renewed at its half only."""
        position, since = self._held.get(name, (0, -self._outbox.lease))
        if time.monotonic() - since < self._outbox.lease / 2:
            return position
        asked = time.monotonic()
        held = await self._outbox.hold(name)
        if held is None:
            self._held.pop(name, None)
        else:
            self._held[name] = (held, asked)
        return held

    @contextlib.asynccontextmanager
    async def _holding(self, name: str) -> AsyncGenerator[None]:
        """Renew a lease while a sink takes its time."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(self._outbox.lease / 2)
                with contextlib.suppress(StorageUnavailable):
                    await self._outbox.hold(name)

        renewing = asyncio.create_task(renew())
        try:
            yield
        finally:
            renewing.cancel()

    async def _trim(self) -> None:
        if self._trimmable and time.monotonic() - self._trimmed > TRIM_EVERY:
            self._trimmed = time.monotonic()
            self._trimmable = False
            await self._outbox.trim()


def _size(record: Record) -> int:
    return len(bytes(record.payload))


def _slice_of(records: Sequence[Record]) -> list[Record]:
    """Take records up to the bytes of a slice, and at least one."""
    found: list[Record] = []
    total = 0
    for record in records:
        total += _size(record)
        if found and total > SLICE_BYTES:
            break
        found.append(record)
    return found


def _pause(tries: int) -> float:
    return min(0.2 * 2.0**tries, LONGEST)
