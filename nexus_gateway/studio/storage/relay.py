"""Carries the outbox's records to sinks, each at its own pace, in the background of the gateway.

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

from nexus_gateway.studio.storage.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
    from types import TracebackType

    from nexus_gateway.studio.storage.outbox import Outbox, Record

_logger = logging.getLogger(__name__)

BATCH = 64
"""Records that a sink is given at once, at most."""
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


class Relay:
    """Carries records to sinks.

    Args:
        outbox: where they are.
        sinks: by name, which stands for the sink's position: never rename one.
        able: for some sinks, whether this process can carry to it now; another one does otherwise.
    """

    def __init__(
        self,
        outbox: Outbox,
        sinks: Mapping[str, Sink],
        *,
        able: Mapping[str, Callable[[], bool]] | None = None,
    ) -> None:
        self._outbox = outbox
        self._able = dict(able or {})
        self._sinks = dict(sinks)
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = asyncio.Event()
        self._trimmed = 0.0
        self._trimmable = True
        self._held: dict[str, tuple[int, float]] = {}

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
        for task in late:
            task.cancel()
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

    async def _carry(self, name: str, sink: Sink) -> None:
        """Carry to one sink until the relay closes."""
        woken = asyncio.Event()
        self._outbox.listen(woken)
        tries = 0
        try:
            while not self._closing.is_set():
                woken.clear()
                try:
                    pause = await self._pass(name, sink, skip=tries >= TRIES)
                    tries = 0
                except StorageUnavailable as error:
                    _logger.warning("changes wait for %s: %s", name, error)
                    tries = min(tries + 1, TRIES - 1)
                    pause = _pause(tries)
                except Exception:
                    tries += 1
                    _logger.exception("changes could not be given to %s (try %d)", name, tries)
                    pause = _pause(tries)
                # News do not make a sink come back; only the end is heard while it is away.
                event = self._closing if tries or self._closing.is_set() else woken
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(event.wait(), pause)
        finally:
            self._outbox.unlisten(woken)

    async def _pass(self, name: str, sink: Sink, *, skip: bool) -> float:
        """Carry what there is; the seconds to wait before the next look.

        With `skip`, records of the batch that broke its sink are given one by one, and those that
        break it again are left out.
        """
        able = self._able.get(name)
        if able is not None and not able():
            if self._held.pop(name, None) is not None:
                await self._outbox.release(name)
            return self._outbox.lease / 2
        position = await self._position(name)
        if position is None:
            return self._outbox.lease / 2
        await self._replay(name, sink)
        while not self._closing.is_set():
            records = await self._outbox.read(name, position, BATCH)
            if records is None:
                return UNSETTLED
            await self._trim()
            if not records:
                return POLL
            async with self._holding(name):
                await (self._each(name, sink, records) if skip else sink.take(records))
            skip = False
            position = records[-1].position
            # Whatever becomes of it, the database is asked for the position until this is noted.
            self._held.pop(name, None)
            if not await self._outbox.advance(name, position):
                return self._outbox.lease / 2
            self._held[name] = (position, time.monotonic())
            self._trimmable = True
        return 0

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


def _pause(tries: int) -> float:
    return min(0.2 * 2.0**tries, LONGEST)
