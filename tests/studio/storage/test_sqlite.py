"""The database: groups, deadlines, cancellation, and what survives."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nexus_gateway.studio.storage.errors import BadRow, StorageUnavailable
from nexus_gateway.studio.storage.sqlite import Database, connect, path_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterator

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture
async def notes(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(tmp_path / "notes.db", deadline=0.3, queue=4) as opened:
        await opened.write(lambda c: c.execute("CREATE TABLE note (id INTEGER UNIQUE, text TEXT)"))
        yield opened


def add(connection: sqlite3.Connection, number: int) -> int:
    connection.execute("INSERT INTO note VALUES (?, 'x')", (number,))
    return number


def numbers(connection: sqlite3.Connection) -> list[int]:
    return [row[0] for row in connection.execute("SELECT id FROM note ORDER BY id")]


class Block:
    """A job that holds its thread until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()

    def __call__(self, connection: sqlite3.Connection) -> None:
        self.begun.set()
        assert self.go.wait(5)


async def blocked(database: Database) -> tuple[Block, asyncio.Task[None]]:
    block = Block()
    task = asyncio.create_task(database.write(block))
    assert await asyncio.to_thread(block.begun.wait, 5)
    return block, task


async def test_what_was_written_is_read(notes: Database) -> None:
    assert await notes.write(lambda c: add(c, 7)) == 7

    assert await notes.read(numbers) == [7]


async def test_one_failing_job_leaves_the_others_of_its_group_alone(notes: Database) -> None:
    block, first = await blocked(notes)
    waiting = [asyncio.create_task(notes.write(partial(add, number=n))) for n in (1, 1, 2)]
    await asyncio.sleep(0)
    block.go.set()

    results = await asyncio.gather(*waiting, return_exceptions=True)

    await first
    assert [type(result) for result in results] == [int, BadRow, int]
    assert await notes.read(numbers) == [1, 2]


async def test_a_failed_job_takes_back_all_that_it_did(notes: Database) -> None:
    def half(connection: sqlite3.Connection) -> None:
        add(connection, 1)
        raise KeyError("half")

    with pytest.raises(KeyError):
        await notes.write(half)

    assert await notes.read(numbers) == []


async def test_a_cancelled_write_that_waits_never_runs(notes: Database) -> None:
    block, first = await blocked(notes)
    waiting = asyncio.create_task(notes.write(lambda c: add(c, 1)))
    await asyncio.sleep(0)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    block.go.set()

    await first
    await notes.write(lambda c: add(c, 2))
    assert await notes.read(numbers) == [2]


async def test_a_cancelled_write_that_runs_does_not_break_the_writer(notes: Database) -> None:
    block, first = await blocked(notes)

    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    block.go.set()

    assert await notes.write(lambda c: add(c, 1)) == 1


async def test_a_write_that_waits_too_long_is_refused_and_never_runs(notes: Database) -> None:
    block, first = await blocked(notes)

    with pytest.raises(StorageUnavailable, match="too busy"):
        await notes.write(lambda c: add(c, 1))
    block.go.set()

    await first
    assert await notes.read(numbers) == []


async def test_a_full_queue_refuses_at_once(notes: Database) -> None:
    block, first = await blocked(notes)
    waiting = [asyncio.create_task(notes.write(partial(add, number=n))) for n in range(4)]
    await asyncio.sleep(0)

    with pytest.raises(StorageUnavailable, match="too many"):
        await notes.write(lambda c: add(c, 9))
    block.go.set()

    assert await asyncio.gather(*waiting) == [0, 1, 2, 3]
    await first


async def test_a_read_without_end_is_stopped_at_its_deadline(notes: Database) -> None:
    with pytest.raises(StorageUnavailable, match="interrupted"):
        await notes.read(lambda c: c.execute(ENDLESS).fetchone())

    assert await notes.read(numbers) == []


async def test_a_reader_cannot_write(notes: Database) -> None:
    with pytest.raises(StorageUnavailable, match="readonly"):
        await notes.read(lambda c: add(c, 1))


async def test_what_several_statements_of_a_read_see_is_one_state(notes: Database) -> None:
    between = threading.Event()
    written = threading.Event()

    def twice(connection: sqlite3.Connection) -> tuple[list[int], list[int]]:
        before = numbers(connection)
        between.set()
        assert written.wait(5)
        return before, numbers(connection)

    reading = asyncio.create_task(notes.read(twice))
    assert await asyncio.to_thread(between.wait, 5)
    await notes.write(lambda c: add(c, 1))
    written.set()

    assert await reading == ([], [])


async def test_another_process_lock_is_answered_as_unavailable(notes: Database) -> None:
    other = connect(notes.path)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StorageUnavailable, match="locked"):
        await notes.write(lambda c: add(c, 1))
    other.execute("ROLLBACK")
    other.close()

    assert await notes.write(lambda c: add(c, 2)) == 2


async def test_a_job_that_raises_stop_iteration_is_told_to_its_waiter(notes: Database) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await notes.read(lambda c: next(iter(())))


async def test_closing_finishes_what_is_queued_and_refuses_the_rest(tmp_path: Path) -> None:
    async with Database(tmp_path / "notes.db") as database:
        await database.write(lambda c: c.execute("CREATE TABLE note (id INTEGER, text TEXT)"))
        block, first = await blocked(database)
        last = asyncio.create_task(database.write(lambda c: add(c, 1)))
        await asyncio.sleep(0)
        block.go.set()

    assert await last == 1
    await first
    with pytest.raises(StorageUnavailable, match="closed"):
        await database.read(numbers)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_bytes(b"not a database, but long enough to look like one" * 100)

    with pytest.raises(StorageUnavailable, match=r"notes\.db"):
        async with Database(path):
            pass


def test_acknowledged_writes_survive_kill_nine(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"

    writer = subprocess.run(
        [sys.executable, "-m", "tests.studio.storage.write_and_die", str(path)],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        check=False,
        timeout=30,
    )

    assert writer.returncode == -signal.SIGKILL
    acknowledged = [int(line) for line in writer.stdout.split()]
    connection = connect(path)
    kept = {row[0] for row in connection.execute("SELECT id FROM note")}
    connection.close()
    assert len(acknowledged) >= 200
    assert kept.issuperset(acknowledged)


@pytest.mark.parametrize("url", ["postgresql://host/db", "sqlite:///", "nexus.db"])
def test_a_url_that_is_no_sqlite_file_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="sqlite:///path"):
        path_of(url)


def test_an_absolute_path_has_four_slashes() -> None:
    assert path_of("sqlite:////var/lib/nexus.db") == Path("/var/lib/nexus.db")
