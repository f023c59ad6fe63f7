"""PostgreSQL beside an event loop, by asyncpg: a bounded pool, deadlines, and errors as storage's.

A store awaits `write(job)` or `read(job)`; the job is a coroutine function of a connection and runs
in one transaction, as with `sqlite.Database`. asyncpg prepares and caches each statement itself.

A connection that died is noticed and replaced when the next one is asked for, so the pool recovers
by itself once the server is back. Until then every call ends with `StorageUnavailable` within the
time that it may wait. Imported only where a PostgreSQL is configured.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal, Self, TypeAlias, TypeVar

import asyncpg

from nexus_gateway.studio.storage.errors import BadRow, BadText, SchemaMismatch, StorageUnavailable
from nexus_gateway.studio.storage.urls import PostgresAddress, postgres_address

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from types import TracebackType

    from asyncpg import Record
    from asyncpg.pool import PoolConnectionProxy

    from nexus_gateway.studio.storage.engine import Row, Value

    Session: TypeAlias = PoolConnectionProxy[Record]
    Pool: TypeAlias = asyncpg.Pool[Record]
    Plain: TypeAlias = asyncpg.Connection[Record]
else:
    Session = Pool = object
    Plain = asyncpg.Connection

T = TypeVar("T")
Job: TypeAlias = Callable[["Session"], Awaitable[T]]

ATTEMPTS = 3
"""Times that a transaction is tried which met another one; each is rolled back before the next."""
DISK_FULL = os.strerror(errno.ENOSPC).lower()
READ_ONLY = "read only"
MET = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
"""What a transaction that met another one is told; nothing was changed."""
CONNECT_TIMEOUT_S = 10.0
"""Seconds that a connection apart from the pool may take to open, where the URL says nothing."""
DISK_PROBE_INTERVAL_S = 5.0
"""Seconds between two probes of the server's disk: readiness is public, and a probe writes."""
DISK_FULL_REPORTED_S = 30.0
"""Seconds that readiness reports a full disk after a write has met one.

A success does not end it: it may have gone to another disk, or into pages that had room.
"""
_DISK_PROBE = (
    "SELECT count(*) FROM (SELECT repeat('x', 500) || n AS line"
    " FROM generate_series(1, 2000) AS n ORDER BY 1 OFFSET 1) AS sorted"
)
"""Sorts 1 MB in 64 KiB of memory, so that the server writes a temporary file."""
_IDLE = 300.0
"""Seconds after which a connection that nobody uses is closed."""
# What is gone wrong with the server, the way there or its time; 42P01 is a schema that is not ours.
_UNAVAILABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.UndefinedTableError,
    asyncpg.PostgresSystemError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    TimeoutError,
    OSError,
)


_BAD_ROW = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
"""A value, or a row, that the tables do not take: another try ends the same way."""


class Raced(Exception):  # noqa: N818 - what is said, not what failed
    """Say, out of a job, that another transaction was faster: it is run again from the start."""


class Postgres:
    """A PostgreSQL database, opened by `async with`, which connects once to see that it can.

    Args:
        url: `postgresql://user:password@host:port/database`, as libpq and asyncpg read it.
        pool: connections at most.
        wait: seconds a call may wait for one of them.
        timeout: seconds a statement may run, and a lock be waited for.
    """

    name: Literal["sqlite", "postgres"] = "postgres"

    def __init__(
        self, url: str, *, pool: int = 10, wait: float = 2.0, timeout: float = 5.0
    ) -> None:
        self.url = url
        self._size = pool
        self.wait = wait
        self._timeout = timeout
        self._pool: Pool | None = None
        self._disk = _Disk()

    async def __aenter__(self) -> Self:
        """Open the pool with one connection.

        Raises:
            StorageUnavailable: the server cannot be reached, or does not let us in.
        """
        address = postgres_address(self.url)
        with translated(), _connecting():
            self._pool = await asyncpg.create_pool(
                address.dsn,
                min_size=1,
                max_size=self._size,
                max_inactive_connection_lifetime=_IDLE,
                timeout=address.connect_timeout or self.wait,
                # The server ends a statement first; this is for a server that hangs.
                command_timeout=self._timeout + 1,
                connection_class=_Connection,
                server_settings=_startup(address, self._timeout),
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let what runs end, for as long as a statement may run, and close the connections."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), self._timeout + 1)
        except (TimeoutError, *_UNAVAILABLE):
            pool.terminate()

    async def write(self, job: Job[T]) -> T:
        """Run `job` in a transaction and answer once it is committed.

        The job may run again from the start where its transaction met another; it must have no
        effect but through its connection.

        Raises:
            StorageUnavailable: try again later. Nothing was changed, unless the connection was lost
                while the commit was under way: then nobody can tell.

        Cancelled: nothing is changed.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with translated(), self._disk_watched():
                    async with (
                        self._connection() as connection,
                        connection.transaction(isolation="read_committed"),
                    ):
                        return await job(connection)
            except (Raced, *MET) as error:
                if attempt == ATTEMPTS:
                    message = f"{ATTEMPTS} attempts at a transaction met others"
                    raise StorageUnavailable(message) from error
        raise AssertionError

    async def read(self, job: Job[T]) -> T:
        """Run `job` in a transaction that cannot write; what its statements see is one state.

        Raises:
            StorageUnavailable: no answer within the time that a statement may take.
        """
        with translated():
            async with (
                self._connection() as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                return await job(connection)

    async def fetch(self, statement: str, *values: object) -> list[Record]:
        """Run one statement by itself, in a transaction of its own.

        Raises:
            StorageUnavailable: as with `write`.
        """
        with translated(), self._disk_watched():
            async with self._connection() as connection:
                return await connection.fetch(statement, *values)

    async def query(self, statement: str, *values: Value) -> list[Row]:
        """Run one statement that reads, with parameters `$1`, `$2`, ...

        Raises:
            StorageUnavailable: no answer within the time that a statement may take.
        """
        return [tuple(row) for row in await self.fetch(statement, *values)]

    async def command(self, statement: str, *values: Value) -> list[Row]:
        """Run one statement that writes, with parameters `$1`, `$2`, ...; rows by `RETURNING`.

        Raises:
            StorageUnavailable: as with `write`.
        """
        return await self.query(statement, *values)

    async def ping(self) -> None:
        """Ask the server whether it answers, takes writes and has room.

        Raises:
            StorageUnavailable: one of these does not hold.
        """
        await self.write(self._check_writable)

    async def _check_writable(self, session: Session) -> None:
        if await session.fetchval("SELECT current_setting('transaction_read_only')") == "on":
            raise StorageUnavailable("the database is read only", reason=READ_ONLY)
        self._disk.check()
        if self._disk.probe_due():
            await session.execute("SET LOCAL work_mem = '64kB'")
            await session.execute(_DISK_PROBE)

    @contextlib.contextmanager
    def _disk_watched(self) -> Generator[None]:
        try:
            yield
        except asyncpg.DiskFullError:
            self._disk.full()
            raise

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Session]:
        pool = self._pool
        if pool is None:
            raise StorageUnavailable("the database is closed")
        try:
            connection = await pool.acquire(timeout=self.wait)
        except TimeoutError as exc:
            message = f"no connection to the database came free within {self.wait:g} s"
            raise StorageUnavailable(message) from exc
        try:
            yield connection
        finally:
            # A server that hangs does not confirm a cancellation: the connection is dropped then.
            with contextlib.suppress(*_UNAVAILABLE):
                await pool.release(connection, timeout=1)


class _Disk:
    """What was seen of the server's disk, in seconds of the loop's clock."""

    def __init__(self) -> None:
        self._full_at = float("-inf")
        self._probed_at = float("-inf")

    def full(self) -> None:
        """Note that a write has met a full disk."""
        self._full_at = _now()

    def check(self) -> None:
        """Raise `StorageUnavailable` where a write has met a full disk lately."""
        if _now() < self._full_at + DISK_FULL_REPORTED_S:
            raise StorageUnavailable("the disk of the database is full", reason=DISK_FULL)

    def probe_due(self) -> bool:
        """Tell whether to probe now; the next probe is then due an interval later."""
        due = _now() >= self._probed_at + DISK_PROBE_INTERVAL_S
        if due:
            self._probed_at = _now()
        return due


def _now() -> float:
    return asyncio.get_running_loop().time()


class _Connection(Plain):
    """A connection that is not reset after each use, which would cost a round trip.

    Jobs leave nothing behind: what they set they set with `SET LOCAL`, and they listen to nothing.
    """

    __slots__ = ()

    def get_reset_query(self) -> str:
        """Reset nothing."""
        return ""


def server_settings(timeout: float) -> dict[str, str]:
    """Give what each connection asks of the server; `timeout` is of a statement, in seconds.

    What a database or a role sets by default, as an isolation level, is thereby overridden. Whether
    it is read only is left alone: an operator may have chosen that, and `ping` reports it.
    """
    milliseconds = str(max(1, round(timeout * 1000)))
    return {
        "default_transaction_isolation": "read committed",
        "default_transaction_deferrable": "off",
        "statement_timeout": milliseconds,
        "lock_timeout": milliseconds,
        "idle_in_transaction_session_timeout": milliseconds,
        # It pays for long reports only, and costs the statements of a request milliseconds.
        "jit": "off",
    }


def _startup(address: PostgresAddress, timeout: float) -> dict[str, str]:
    named = {"application_name": "nexus-gateway"} | address.settings
    return named | server_settings(timeout)


def check_encoding(connection: Plain) -> None:
    """Check that a database can hold every text.

    Raises:
        SchemaMismatch: its encoding is not UTF8; it was created with another one, for good.
    """
    encoding = connection.get_settings().server_encoding
    if encoding.upper() not in {"UTF8", "UNICODE"}:
        raise SchemaMismatch(
            f"the database has the encoding {encoding}, and must have UTF8: create one with"
            " CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )


async def connect(url: str, *, patience: float = 30.0) -> Plain:
    """Open a connection apart from any pool, whose statements may take `patience` seconds.

    Raises:
        StorageUnavailable: the server cannot be reached, or does not let us in.
    """
    address = postgres_address(url)
    with translated(), _connecting():
        return await asyncpg.connect(
            address.dsn,
            timeout=address.connect_timeout or CONNECT_TIMEOUT_S,
            command_timeout=patience + 1,
            server_settings=_startup(address, patience),
        )


def _reason(error: Exception) -> str | None:
    match error:
        case asyncpg.DiskFullError():
            return DISK_FULL
        case asyncpg.ReadOnlySQLTransactionError():
            return READ_ONLY
        case _:
            return None


@contextlib.contextmanager
def _connecting() -> Generator[None]:
    """Report every refusal of a connection as one, such as a setting with a wrong value."""
    try:
        yield
    except _UNAVAILABLE:
        raise
    except asyncpg.PostgresError as error:
        raise StorageUnavailable(f"the database refuses the connection: {error}") from error


@contextlib.contextmanager
def translated() -> Generator[None]:
    """Tell trouble with the server, which may pass, from errors of a statement, which will not.

    Raises:
        BadText: PostgreSQL takes U+0000 in no text.
        BadRow: it takes a row not for another reason.
        StorageUnavailable: in the place of whatever said so.
    """
    try:
        yield
    except _UNAVAILABLE as error:
        message = str(error) or type(error).__name__
        raise StorageUnavailable(
            f"the database does not answer: {message}", reason=_reason(error)
        ) from error
    except (asyncpg.CharacterNotInRepertoireError, asyncpg.UntranslatableCharacterError) as error:
        raise BadText("a text must not hold the character U+0000") from error
    except _BAD_ROW as error:
        raise BadRow(str(error)) from error
