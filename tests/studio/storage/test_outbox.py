"""The outbox and its relay, over both engines: what is committed is carried, in order, and once."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from nexus_gateway.studio.storage import outbox as records
from nexus_gateway.studio.storage import relay as relays
from nexus_gateway.studio.storage.errors import StorageUnavailable
from nexus_gateway.studio.storage.outbox import Outbox, Record
from nexus_gateway.studio.storage.postgres import Postgres
from nexus_gateway.studio.storage.relay import OutboxBehind, Relay
from nexus_gateway.studio.storage.sqlite import Database
from tests.harness.waiting import Polling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_gateway.studio.storage.engine import Row, Value
    from nexus_gateway.studio.storage.postgres import Session

ROOT = Path(__file__).parents[3]


class Heard:
    """A sink that keeps what it is given, and can be away."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.away = False
        self.asked = 0
        self._news = asyncio.Event()

    async def take(self, records: Sequence[Record]) -> None:
        self.asked += 1
        self._news.set()
        if self.away:
            raise StorageUnavailable("away")
        self.keys += [record.key for record in records]

    async def until(self, count: int) -> list[str]:
        """Wait until it has heard so many."""
        async with asyncio.timeout(10):
            while len(self.keys) < count:
                self._news.clear()
                await self._news.wait()
        return self.keys


async def add(engine: Database | Postgres, *keys: str) -> None:
    for key in keys:
        await engine.command(records.ADD, *records.values("test", "acme", "made", key, {}))


def outbox(engine: Database | Postgres, holder: str = "here", lease: float = 5.0) -> Outbox:
    return Outbox(engine, holder=holder, lease=lease)


async def test_records_are_carried_in_order_and_once(engine: Database | Postgres) -> None:
    box, heard = outbox(engine), Heard()
    await add(engine, "a", "b")

    async with Relay(box, {"heard": heard}):
        await heard.until(2)
        await add(engine, "c")
        box.wake()
        await heard.until(3)

    assert heard.keys == ["a", "b", "c"]


async def test_what_a_relay_has_carried_the_next_one_does_not_carry_again(
    engine: Database | Postgres,
) -> None:
    first, second = Heard(), Heard()
    await add(engine, "a")
    async with Relay(outbox(engine), {"heard": first}):
        await first.until(1)

    await add(engine, "b")
    async with Relay(outbox(engine, "next"), {"heard": second}):
        await second.until(1)

    assert (first.keys, second.keys) == (["a"], ["b"])


async def test_a_sink_that_is_away_gets_everything_when_it_is_back_and_others_do_not_wait(
    engine: Database | Postgres,
) -> None:
    box, away, there = outbox(engine), Heard(), Heard()
    away.away = True
    await add(engine, "a", "b")

    async with Relay(box, {"away": away, "there": there}):
        await there.until(2)
        polling = Polling("the sink was asked")
        while not away.asked:
            await polling.turn()
        lags = {lag.sink: lag.records for lag in await box.lags()}
        assert lags["away"] == 2
        away.away = False
        await away.until(2)

    assert away.keys == ["a", "b"]
    assert away.asked > 1


class Turns(Heard):
    """A sink that keeps whose records each call had, and can be held up."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, ...]] = []
        self.go = asyncio.Semaphore(0)

    async def take(self, records: Sequence[Record]) -> None:
        await self.go.acquire()
        self.calls.append(tuple(record.tenant for record in records))
        await super().take(records)


async def add_for(engine: Database | Postgres, tenant: str, count: int, size: int) -> None:
    for number in range(count):
        payload = {"text": "x" * size}
        key = f"{tenant}{number}"
        await engine.command(records.ADD, *records.values("test", tenant, "made", key, payload))


@pytest.mark.parametrize("size", [100, 20_000])
async def test_tenants_take_turns_however_much_one_has_changed(
    engine: Database | Postgres, size: int
) -> None:
    box, turns = outbox(engine), Turns()
    await add_for(engine, "large", 200, size)
    await add_for(engine, "small", 1, 10)
    async with Relay(box, {"turns": turns}):
        for _ in range(3):
            turns.go.release()
        await turns.until(2)
        # One that comes when many wait is carried after one turn of each of the others.
        await add_for(engine, "late", 1, 10)
        box.wake()
        for _ in range(400):
            turns.go.release()
        await turns.until(202)
        polling = Polling("the outbox is empty")
        while [lag.records for lag in await box.lags()] != [0]:
            await polling.turn()

    whose = [call[0] for call in turns.calls]
    assert all(len(set(call)) == 1 for call in turns.calls)
    assert whose.index("small") <= 1
    assert whose.index("late") <= 5
    assert [key for key in turns.keys if key.startswith("large")] == [
        f"large{number}" for number in range(200)
    ]
    assert len(turns.keys) == 202


async def test_large_records_wait_for_their_tenant_alone_and_not_for_long(
    engine: Database | Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "QUIET_S", 0.05)
    monkeypatch.setattr(relays, "DEFERRAL_MAX_S", 0.3)
    box, heard = outbox(engine), Heard()
    await add_for(engine, "large", 3, 5000)
    await add_for(engine, "small", 2, 10)
    writing = True

    async def write() -> None:
        while writing:
            await add_for(engine, "small", 1, 10)
            await add_for(engine, "large", 1, 10)
            box.wake()
            await polling.turn()

    polling = Polling("large2 is carried")
    async with Relay(box, {"heard": heard}, patient=["heard"]):
        # The tenant's own writes do not put its large records off without end either.
        task = asyncio.create_task(write())
        polling = Polling("the records arrived")
        while "large2" not in heard.keys:
            await polling.turn()
        writing = False
        await task

    assert heard.keys.index("small0") < heard.keys.index("large0")


async def test_a_sink_that_breaks_at_one_tenant_goes_on_with_the_others(
    engine: Database | Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "LONGEST", 0.05)

    class Picky(Heard):
        async def take(self, records: Sequence[Record]) -> None:
            if any(record.tenant == "bad" for record in records):
                raise ValueError("bad")
            await super().take(records)

    box, picky = outbox(engine), Picky()
    await add_for(engine, "bad", 2, 10)
    await add_for(engine, "good", 70, 10)
    async with Relay(box, {"picky": picky}):
        await picky.until(70)
        polling = Polling("the outbox is empty")
        while [lag.records for lag in await box.lags()] != [0]:
            await polling.turn()
        assert await box.refused() == {"picky": 2}

    assert picky.keys == [f"good{number}" for number in range(70)]


async def test_after_a_crash_what_was_not_taken_is_carried(engine: Database | Postgres) -> None:
    box, turns, after = outbox(engine), Turns(), Heard()
    await add_for(engine, "large", 100, 5000)
    await add_for(engine, "small", 3, 10)
    async with Relay(box, {"turns": turns}):
        for _ in range(4):
            turns.go.release()
        await turns.until(6)
        # The position is the one before the first record that was not taken.
        relay_position = await box.position("turns")
    taken = set(turns.keys)
    everything = {f"large{one}" for one in range(100)} | {f"small{one}" for one in range(3)}
    await box.register(["again"])
    await engine.command(
        "UPDATE outbox_sink SET position = $1 WHERE name = 'again'", relay_position
    )
    async with Relay(box, {"again": after}):
        polling = Polling("the records arrived")
        while taken | set(after.keys) != everything:
            await polling.turn()


async def test_one_relay_at_a_time_carries_to_a_sink(engine: Database | Postgres) -> None:
    first, second = Heard(), Heard()
    async with (
        Relay(outbox(engine, "one"), {"heard": first}),
        Relay(outbox(engine, "two"), {"heard": second}),
    ):
        await add(engine, *(f"k{number}" for number in range(20)))
        polling = Polling("the records arrived")
        while len(first.keys) + len(second.keys) < 20:
            await polling.turn()

    assert sorted(first.keys + second.keys) == sorted(f"k{number}" for number in range(20))
    assert not first.keys or not second.keys


async def test_a_lease_that_ends_is_taken_over(engine: Database | Postgres) -> None:
    dead, alive, heard = outbox(engine, "dead", lease=0.2), outbox(engine, "alive"), Heard()
    await dead.register(["heard"])
    assert await dead.hold("heard") == 0
    assert await alive.hold("heard") is None
    await add(engine, "a")

    async with Relay(alive, {"heard": heard}):
        await heard.until(1)

    assert not await dead.advance("heard", 1)


async def test_what_all_sinks_have_taken_is_deleted(
    engine: Database | Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "TRIM_EVERY", 0.0)
    box, away, there = outbox(engine), Heard(), Heard()
    away.away = True
    await add(engine, "a", "b")
    async with Relay(box, {"away": away, "there": there}):
        await there.until(2)
        assert await kept(engine) == 2
        away.away = False
        await away.until(2)
        polling = Polling("the outbox is trimmed")
        while await kept(engine):
            box.wake()
            await polling.turn()

    assert await kept(engine) == 0


async def kept(engine: Database | Postgres) -> int:
    rows = await engine.query("SELECT count(*) FROM outbox")
    return msgspec.convert(rows[0][0], int)


async def test_a_sink_that_breaks_at_a_batch_is_not_kept_from_the_rest_for_ever(
    engine: Database | Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "LONGEST", 0.01)

    class Picky(Heard):
        async def take(self, records: Sequence[Record]) -> None:
            if any(record.key == "bad" for record in records):
                raise ValueError("bad")
            await super().take(records)

    box, picky = outbox(engine), Picky()
    await add(engine, "before", "bad", "after")
    async with Relay(box, {"picky": picky}):
        polling = Polling("the outbox is empty")
        while [lag.records for lag in await box.lags()] != [0]:
            await polling.turn()
        await add(engine, "good")
        box.wake()
        await picky.until(3)

    assert picky.keys == ["before", "after", "good"]


async def test_a_relay_with_nothing_to_do_writes_nothing_until_its_lease_is_half_over(
    engine: Database | Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "POLL", 0.001)
    monkeypatch.setattr(relays, "TRIM_EVERY", 0.0)
    box, heard, looks = outbox(engine), Heard(), 0
    await add(engine, "a")
    written: list[str] = []
    read, command = engine.query, engine.command

    async def reading(statement: str, *values: Value) -> list[Row]:
        nonlocal looks
        looks += 1
        return await read(statement, *values)

    async def writing(statement: str, *values: Value) -> list[Row]:
        written.append(statement)
        return await command(statement, *values)

    async with Relay(box, {"heard": heard}):
        await heard.until(1)
        polling = Polling("the outbox is trimmed")
        while await kept(engine):
            await polling.turn()
        monkeypatch.setattr(engine, "query", reading)
        monkeypatch.setattr(engine, "command", writing)
        polling = Polling("the relay looked often")
        while looks < 50:
            await polling.turn()
        assert len(written) <= 2


async def test_being_late_is_told(
    engine: Database | Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    box, heard = outbox(engine), Heard()
    relay = Relay(box, {"heard": heard})
    await box.register(["heard"])
    await add(engine, "a")

    assert (await relay.lag())["heard"]["records"] == 1
    monkeypatch.setattr(relays, "LATE", -1.0)
    with pytest.raises(OutboxBehind, match="heard: 1 since"):
        await relay.lag()


async def test_a_transaction_that_commits_late_is_not_passed_over(postgres_url: str) -> None:
    async with Postgres(postgres_url, pool=4) as engine:
        box, heard, held, go = outbox(engine), Heard(), asyncio.Event(), asyncio.Event()

        async def slow(session: Session) -> None:
            values = records.values("test", "acme", "made", "slow", {})
            await session.execute(records.ADD, *values)
            held.set()
            await go.wait()

        writing = asyncio.create_task(engine.write(slow))
        await held.wait()
        await add(engine, "quick")
        async with Relay(box, {"heard": heard}):
            polling = Polling("the record was carried")
            while await box.read("heard", 0, 9) is not None:
                await polling.turn()
            assert heard.keys == []
            go.set()
            await writing
            await heard.until(2)

    assert heard.keys == ["slow", "quick"]


async def test_a_transaction_that_was_rolled_back_is_passed(postgres_url: str) -> None:
    async with Postgres(postgres_url, pool=4) as engine:
        box, heard = outbox(engine), Heard()

        async def undone(session: Session) -> None:
            values = records.values("test", "acme", "made", "undone", {})
            await session.execute(records.ADD, *values)
            raise LookupError

        with pytest.raises(LookupError):
            await engine.write(undone)
        await add(engine, "kept")
        async with Relay(box, {"heard": heard}):
            await heard.until(1)

    assert heard.keys == ["kept"]


def test_what_was_committed_before_a_kill_is_carried_after_it(where: Path | str) -> None:
    program = [sys.executable, str(Path(__file__).with_name("tell_and_die.py")), str(where)]
    died = subprocess.run(
        program,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert died.returncode == -9, died.stderr
    acknowledged = died.stdout.split()

    async def after() -> list[str]:
        engine = Database(where) if isinstance(where, Path) else Postgres(where)
        heard = Heard()
        async with engine, Relay(outbox(engine, "next"), {"heard": heard}):
            return await heard.until(len(acknowledged))

    heard = asyncio.run(after())

    assert len(acknowledged) == 50
    assert set(acknowledged) <= set(heard)
    assert len(heard) == len(set(heard))
