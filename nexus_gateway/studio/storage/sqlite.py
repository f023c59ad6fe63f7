"""SQLite beside an event loop: one thread writes, committing in groups, and a few threads read.

A handler awaits `write(job)` or `read(job)`; the job is a function of a connection and runs on a
thread. Writes that wait together share one transaction, each in a savepoint of its own, so that
one that fails leaves the others alone.

Durability: a write is answered after its COMMIT. With `synchronous=NORMAL` in WAL mode the commit
is in the operating system's hands then: it survives the end of the process, kill -9 included. A
power cut may lose the last commits, never the database's consistency; FULL would cost a disk flush
per group.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, TypeVar

from nexus_gateway.studio.storage.disk import check_room
from nexus_gateway.studio.storage.errors import StorageUnavailable
from nexus_gateway.studio.storage.lane import Lane, Work, translated

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from nexus_gateway.studio.storage.engine import Row, Value

T = TypeVar("T")

GROUP = 64
"""Writes in one transaction at most: a group's last writer waits for all of it."""

CHECKPOINT_PAGES = 4000
"""Pages of the log that are copied into the file together, 16 MiB: an import changes the same pages
again and again, and with SQLite's own 1,000 copies each of them more often."""
PROGRESS_STEPS = 20_000
"""Steps of SQLite's machine between two looks at a reader's deadline; about 1 ms."""


class Database:
    """A SQLite file, opened by `async with` and closed with everything that was queued done.

    Args:
        path: the file; its folder is made.
        readers: threads and connections that read.
        queue: calls that may wait for a thread; more are refused at once.
        deadline: seconds a call may wait, for a thread and for a lock, and a read may run.
    """

    name: Literal["sqlite", "postgres"] = "sqlite"

    def __init__(
        self, path: Path, *, readers: int = 2, queue: int = 2048, deadline: float = 5.0
    ) -> None:
        self.path = path
        self._readers = readers
        self._queue = queue
        self._deadline = deadline
        self._lanes: tuple[Lane, Lane] | None = None

    async def __aenter__(self) -> Self:
        """Open the connections and start the threads.

        Raises:
            StorageUnavailable: the file cannot be opened as a database.
        """
        loop = asyncio.get_running_loop()
        connections = await asyncio.to_thread(self._connect_all)
        writer = Lane(loop, self._queue, self._deadline)
        writer.start("sqlite-writer", _Writer(connections[0]))
        reader = Lane(loop, self._queue, self._deadline)
        for number, connection in enumerate(connections[1:]):
            reader.start(f"sqlite-reader-{number}", _Reader(connection))
        self._lanes = (writer, reader)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish what is queued, refuse what comes, and close the file."""
        lanes, self._lanes = self._lanes, None
        for lane in reversed(lanes or ()):
            await asyncio.to_thread(lane.stop)

    async def write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run `job` on the writer's connection and answer once its changes are committed.

        Raises:
            StorageUnavailable: nothing was changed; try again later.

        Cancelled: a job that has not begun never runs; one that has is committed unseen.
        """
        return await self._lane(0).call(job)

    async def read(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run `job` on a connection that cannot write; what several statements see is one state.

        Raises:
            StorageUnavailable: no answer within the deadline, or the file cannot be read.
        """
        return await self._lane(1).call(job)

    async def query(self, statement: str, *values: Value) -> list[Row]:
        """Run one statement that reads, with parameters `$1`, `$2`, ...

        Raises:
            StorageUnavailable: no answer within the deadline, or the file cannot be read.
        """
        names = numbered(values)
        return await self.read(lambda connection: connection.execute(statement, names).fetchall())

    async def command(self, statement: str, *values: Value) -> list[Row]:
        """Run one statement that writes, with parameters `$1`, `$2`, ...; rows by `RETURNING`.

        Raises:
            StorageUnavailable: nothing was changed; try again later.
        """
        names = numbered(values)
        return await self.write(lambda connection: connection.execute(statement, names).fetchall())

    async def ping(self) -> None:
        """Ask both the writer and a reader whether they work, and whether the disk has room.

        Raises:
            StorageUnavailable: one does not.
        """
        await self.read(self._look)
        await self.write(_ping)

    def _look(self, connection: sqlite3.Connection) -> None:
        check_room(self.path)
        _ping(connection)

    def _lane(self, index: int) -> Lane:
        if self._lanes is None:
            raise StorageUnavailable("the database is closed")
        return self._lanes[index]

    def _connect_all(self) -> list[sqlite3.Connection]:
        connections = [connect(self.path, busy=self._deadline)]
        for _ in range(self._readers):
            connection = connect(self.path, busy=self._deadline)
            connection.execute("PRAGMA query_only = ON")
            connections.append(connection)
        return connections


def connect(path: Path, *, busy: float = 5.0) -> sqlite3.Connection:
    """Open a connection with our settings; transactions are the caller's. The caller closes it.

    Args:
        path: the file; its folder is made.
        busy: seconds to wait for another process's lock.

    Raises:
        StorageUnavailable: the file cannot be opened as a database.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            path,
            timeout=busy,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        _use_wal(connection, deadline=time.monotonic() + busy)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA cache_size = -8000")
        # Statements of many rows keep what undoes them: not in files, which wait for the disk.
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {64 << 20}")
    except (OSError, sqlite3.Error) as exc:
        raise StorageUnavailable(f"{path} cannot be opened as a database: {exc}") from exc
    return connection


def _use_wal(connection: sqlite3.Connection, *, deadline: float) -> None:
    """Switch to WAL, once more where another process does so at the same moment.

    SQLite does not wait for the lock that a new file's switch takes, whatever the timeout is.
    """
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as exc:
            busy = exc.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() >= deadline:
                raise
            time.sleep(0.01)
        else:
            return


def path_of(url: str) -> Path:
    """Read the file's path out of `sqlite:///relative.db` or `sqlite:////absolute.db`.

    Raises:
        ValueError: the URL is of another kind, or names no file.

    >>> path_of("sqlite:///.nexus/nexus.db").as_posix()
    '.nexus/nexus.db'
    """
    prefix = "sqlite:///"
    if not url.startswith(prefix) or len(url) == len(prefix):
        scheme = url.split(":", 1)[0]
        raise ValueError(
            "a database URL is sqlite:///path/to/file or postgresql://user:password@host/database,"
            f" not one of scheme {scheme!r}"
        )
    return Path(url.removeprefix(prefix))


def numbered(values: tuple[Value, ...]) -> dict[str, Value]:
    """Name the values as PostgreSQL numbers them; SQLite takes `$1` for a name."""
    return {str(number): value for number, value in enumerate(values, start=1)}


def _ping(connection: sqlite3.Connection) -> None:
    connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()


class _Writer:
    """Runs calls in one transaction."""

    group = GROUP

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def run(self, calls: list[Work]) -> None:
        """Commit what succeeds; nobody is told of success before that."""
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            self._attempt_all(calls)
            self.connection.execute("COMMIT")
        except sqlite3.Error as exc:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            error = translated(exc)
            for call in calls:
                call.fail(error)

    def _attempt_all(self, calls: list[Work]) -> None:
        for call in calls:
            self.connection.execute("SAVEPOINT call")
            if not call.run(self.connection):
                # After a full disk or a failed write SQLite has rolled everything back by itself:
                # this raises then, and the group's other calls hear of it too.
                self.connection.execute("ROLLBACK TO call")
            self.connection.execute("RELEASE call")


class _Reader:
    """Runs one call in a read transaction, and ends it at its deadline."""

    group = 1

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._until = 0.0
        connection.set_progress_handler(self._late, PROGRESS_STEPS)

    def run(self, calls: list[Work]) -> None:
        """Run the only call."""
        call = calls[0]
        self._until = call.until
        try:
            self.connection.execute("BEGIN")
            call.run(self.connection)
            self.connection.execute("COMMIT")
        except sqlite3.Error as exc:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            call.fail(translated(exc))

    def _late(self) -> bool:
        return time.monotonic() > self._until
