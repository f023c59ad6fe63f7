"""The report: its sections side by side under one deadline, each with its time, and kept a while.

A section that fails or is late is left out and named; the others are given. Who asks for the same
at the same moment gets the same report, made once. Replicas share what is kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias, cast

import msgspec

from nexus_gateway.studio.intelligence.growth import fill, since
from nexus_gateway.studio.intelligence.models import Part, Report
from nexus_gateway.studio.storage import tasks
from nexus_gateway.studio.storage.cache_local import LocalCache
from nexus_gateway.studio.storage.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from datetime import datetime

    from nexus_gateway.studio.intelligence.models import Growth, Window
    from nexus_gateway.studio.intelligence.store import EntityStore
    from nexus_gateway.studio.storage.cache import Cache

Section: TypeAlias = Callable[[str], Awaitable[object]]
"""Makes a further section of a tenant's report; what it raises as `StorageUnavailable` is told."""

REPORT_SECONDS = 5.0
"""Time for all sections, unless a caller asks for another."""
FRESH_SECONDS = 5.0
"""How long a report is given again while nothing changes."""

_Key: TypeAlias = "tuple[str, str, int]"


class SectionDone(msgspec.Struct, frozen=True):
    """One section as soon as it is there: how it went, and what it holds."""

    part: Part
    value: object


class Kept(msgspec.Struct, frozen=True):
    """A report, and for how many seconds it has been kept."""

    report: Report
    age: float


class _Stored(msgspec.Struct, frozen=True):
    """A report as it is kept, what another room told apart: `Raw` or null cannot be read."""

    report: Report
    graph: msgspec.Raw


_NONE = msgspec.Raw(b"null")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Stored).decode


class Reports:
    """The reports of every tenant.

    Args:
        store: where the entities are.
        clock: tells when a report is made.
        sections: further sections by their names in `Report`.
        fresh: seconds that a report is kept; 0 makes a new one each time.
        cache: where they are kept; by default in this process.
    """

    def __init__(
        self,
        store: EntityStore,
        clock: Callable[[], datetime],
        *,
        sections: Mapping[str, Section] | None = None,
        fresh: float = FRESH_SECONDS,
        cache: Cache | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._sections = dict(sections or {})
        self.fresh = fresh
        self._cache: Cache = LocalCache() if cache is None else cache
        self._making: dict[_Key, asyncio.Task[Report]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all sections."""
        return ("totals", "by_type", "by_tag", "growth", "newest", *self._sections)

    async def forget(self, tenant: str) -> None:
        """Make a tenant's next report anew: something changed."""
        for key in [key for key in self._making if key[0] == tenant]:
            # Whoever waits for it gets it; it is not kept, and nobody joins any more.
            del self._making[key]
        await self._cache.forget(_group(tenant))

    async def report(
        self,
        tenant: str,
        window: Window,
        *,
        seconds: float = REPORT_SECONDS,
        anew: bool = False,
    ) -> Kept:
        """Give a report that was made a moment ago, or make one.

        Args:
            tenant: whose.
            window: what it looks at.
            seconds: that it may take; what is not done then is left out.
            anew: make one whatever is kept.

        Raises:
            StorageUnavailable: not one section could be made.
        """
        key = (tenant, window.bucket, window.top)
        making = self._making.get(key)
        if making is None or anew:
            found = await self._cache.look(_group(tenant), _name(key))
            kept = None if anew or found.value is None else self._kept(found.value)
            if kept is not None:
                return kept
            making = self._making.get(key)  # begun while we looked
            if making is None or anew:
                making = asyncio.create_task(self._make(key, window, seconds, found.state))
                self._making[key] = making
                making.add_done_callback(lambda done: self._made(key, done))
        # One that no longer waits must not end the making for the others; its deadline does.
        return Kept(await asyncio.shield(making), 0)

    def _kept(self, value: bytes) -> Kept | None:
        try:
            stored = _decode(value)
        except msgspec.DecodeError:
            return None  # of a replica of another version
        graph = None if stored.graph == _NONE else stored.graph
        report = msgspec.structs.replace(stored.report, graph=graph)
        # Replicas' clocks differ a little.
        age = max(0.0, (self._clock() - report.generated_at).total_seconds())
        return Kept(report, age) if age < self.fresh else None

    async def steps(
        self, tenant: str, window: Window, *, seconds: float = REPORT_SECONDS
    ) -> AsyncGenerator[SectionDone | Report, None]:
        """Make a report and tell each section as it is done, and at last the report.

        Raises:
            StorageUnavailable: not one section could be made.
        """
        moment = self._clock()
        started = time.perf_counter()
        running = {
            asyncio.ensure_future(_timed(name, work))
            for name, work in self._works(tenant, window, moment).items()
        }
        done: list[SectionDone] = []
        try:
            for next_one in asyncio.as_completed(running, timeout=seconds):
                section = await next_one
                done.append(section)
                yield section
        except TimeoutError:
            late = round((time.perf_counter() - started) * 1000, 3)
            there = {section.part.name for section in done}
            for name in self.names:
                if name not in there:
                    section = SectionDone(Part(name, "late", late), None)
                    done.append(section)
                    yield section
        finally:
            await tasks.cancel(running)
        yield self._report(moment, done)

    async def _make(self, key: _Key, window: Window, seconds: float, state: str) -> Report:
        found: Report | None = None
        async for step in self.steps(key[0], window, seconds=seconds):
            if isinstance(step, Report):
                found = step
        assert found is not None  # noqa: S101 - the last step is the report
        # One with a hole is asked for again; one that a change overtook is old already.
        if not found.degraded and self.fresh > 0:
            apart = msgspec.structs.replace(found, graph=None)
            kept = _encode(_Stored(apart, found.graph or _NONE))
            group, name = _group(key[0]), _name(key)
            await self._cache.keep(group, name, kept, ttl=self.fresh, state=state)
        return found

    def _made(self, key: _Key, done: asyncio.Task[Report]) -> None:
        if self._making.get(key) is done:
            del self._making[key]
        if not done.cancelled():
            done.exception()  # whoever waits is told; where nobody does, nobody needs to be

    def _works(self, tenant: str, window: Window, moment: datetime) -> dict[str, Awaitable[object]]:
        store = self._store
        works: dict[str, Awaitable[object]] = {
            "totals": store.totals(tenant),
            "by_type": store.by_type(tenant, window.top),
            "by_tag": store.by_tag(tenant, window.top),
            "growth": self._growth(tenant, window, moment),
            "newest": store.newest(tenant, window.top),
        }
        return works | {name: _as_json(make(tenant)) for name, make in self._sections.items()}

    async def _growth(self, tenant: str, window: Window, moment: datetime) -> tuple[Growth, ...]:
        start, width = since(moment, window.bucket)
        before, counts = await self._store.growth(tenant, start, width)
        return fill(before, counts, start, width, moment)

    def _report(self, moment: datetime, done: list[SectionDone]) -> Report:
        degraded = sorted(one.part.name for one in done if one.part.status != "ok")
        if len(degraded) == len(self.names):
            raise StorageUnavailable("no section of the report could be made")
        order = {name: place for place, name in enumerate(self.names)}
        parts = sorted((one.part for one in done), key=lambda part: order[part.name])
        values = {one.part.name: _frozen(one.value) for one in done}
        report = Report(generated_at=moment, degraded=tuple(degraded), parts=tuple(parts))
        return msgspec.structs.replace(report, **values)


def _group(tenant: str) -> str:
    return f"report {tenant}"


def _name(key: _Key) -> str:
    return f"{key[1]} {key[2]}"


async def _as_json(work: Awaitable[object]) -> msgspec.Raw:
    """Keep what another room tells as JSON: the report passes it on as it is."""
    return msgspec.Raw(msgspec.json.encode(await work))


async def _timed(name: str, work: Awaitable[object]) -> SectionDone:
    started = time.perf_counter()
    value: object = None
    failed = False
    try:
        value = await work
    except StorageUnavailable:
        failed = True
    took = round((time.perf_counter() - started) * 1000, 3)
    return SectionDone(Part(name, "failed" if failed else "ok", took), value)


def _frozen(value: object) -> object:
    return tuple(cast("list[object]", value)) if isinstance(value, list) else value
