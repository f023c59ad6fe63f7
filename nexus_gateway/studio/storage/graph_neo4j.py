"""The graph in a Neo4j server, by its own driver: pooled connections, reads apart from writes.

A server that is away when the gateway starts, or goes away later, is an answer (503) and not an
end: the driver connects again by itself, and the uniqueness and indexes are made with the first
call that reaches it. Transactions that the server asks to run again are, for a bounded time.

The driver is imported when a graph is opened, and only then.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Self, TypeVar

from nexus_gateway.studio.storage.errors import (
    BadStatement,
    Conflict,
    GraphTimeout,
    StorageError,
    StorageUnavailable,
)
from nexus_gateway.studio.storage.graph import Rows, Statement
from nexus_gateway.studio.storage.graph_schema import SCHEMA
from nexus_gateway.studio.storage.graph_values import plain

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Sequence
    from types import TracebackType

    from neo4j import AsyncDriver, AsyncManagedTransaction, AsyncSession

T = TypeVar("T")

RETRIES = 2.0
"""Seconds in which a transaction is run again that the server could not run now."""

PING = 1.5
"""Seconds that the server has to say that it is there."""

SLACK = 1.0
"""Seconds that the server has to say that a statement ran into its time."""


class Neo4jGraph:
    """A graph in a server.

    Args:
        url: `bolt://host:port`, or `neo4j://` for a cluster; `+s` for TLS.
        user: who asks.
        password: of the user.
        pool: connections at most; a call waits for one within its time.
    """

    name: Literal["neo4j"] = "neo4j"

    def __init__(self, url: str, *, user: str, password: str, pool: int = 32) -> None:
        self._url = url
        self._auth = (user, password)
        self._pool = pool
        self._driver: AsyncDriver | None = None
        self._made = False

    async def __aenter__(self) -> Self:
        """Make the pool, and the schema if the server is there.

        Raises:
            StorageUnavailable: the URL is not one.
        """
        from neo4j import AsyncGraphDatabase
        from neo4j.exceptions import ConfigurationError

        try:
            self._driver = AsyncGraphDatabase.driver(  # pyright: ignore[reportUnknownMemberType]
                self._url,
                auth=self._auth,
                max_connection_pool_size=self._pool,
                connection_acquisition_timeout=5.0,
                connection_timeout=3.0,
                liveness_check_timeout=30.0,
                max_transaction_retry_time=RETRIES,
                notifications_min_severity="OFF",
                telemetry_disabled=True,
            )
        except (ConfigurationError, ValueError) as exc:
            raise StorageUnavailable(f"the URL of Neo4j cannot be used: {exc}") from exc
        try:
            await self._make_schema(self._driver)
        except StorageError:
            # It is made with the first call that reaches the server.
            self._made = False
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        driver, self._driver = self._driver, None
        if driver is not None:
            await driver.close()

    async def read(self, statement: Statement, *, rows: int, seconds: float) -> Rows:
        """Answer a query in a read transaction; see `Graph.read`."""

        async def work(transaction: AsyncManagedTransaction) -> Rows:
            return await _answer(transaction, statement, rows)

        return await self._run(work, write=False, seconds=seconds)

    async def write(self, statements: Sequence[Statement], *, seconds: float) -> list[Rows]:
        """Run the statements in one transaction; run again as a whole where the server asks."""

        async def work(transaction: AsyncManagedTransaction) -> list[Rows]:
            return [await _answer(transaction, one, None) for one in statements]

        return await self._run(work, write=True, seconds=seconds)

    async def ping(self) -> None:
        """Ask the server once whether it answers."""
        driver = self._opened()
        with _translated(PING):
            async with asyncio.timeout(PING):
                await driver.verify_connectivity()  # pyright: ignore[reportUnknownMemberType]

    async def _run(
        self,
        work: Callable[[AsyncManagedTransaction], Awaitable[T]],
        *,
        write: bool,
        seconds: float,
    ) -> T:
        from neo4j import unit_of_work

        driver = self._opened()
        bounded = unit_of_work(timeout=seconds)(work)
        with _translated(seconds):
            async with asyncio.timeout(seconds + SLACK):
                if not self._made:
                    await self._make_schema(driver)
                async with _session(driver, write=write) as session:
                    run = session.execute_write if write else session.execute_read
                    return await run(bounded)

    def _opened(self) -> AsyncDriver:
        if self._driver is None:
            raise StorageUnavailable("the graph is closed")
        return self._driver

    async def _make_schema(self, driver: AsyncDriver) -> None:
        with _translated(RETRIES):
            async with _session(driver, write=True) as session:
                for text in SCHEMA:
                    result = await session.run(text)
                    await result.consume()
        self._made = True


def _session(driver: AsyncDriver, *, write: bool) -> AsyncSession:
    """Open a session on a server that writes, or on any that reads."""
    from neo4j import READ_ACCESS, WRITE_ACCESS

    return driver.session(  # pyright: ignore[reportUnknownMemberType]
        default_access_mode=WRITE_ACCESS if write else READ_ACCESS
    )


async def _answer(
    transaction: AsyncManagedTransaction, statement: Statement, rows: int | None
) -> Rows:
    # The driver wants literals against injection; what callers send is parameters here as well.
    text: str = statement.text
    result = await transaction.run(
        text,  # pyright: ignore[reportArgumentType]
        dict(statement.parameters),
    )
    columns = tuple(result.keys())
    if rows is None:
        found = [record async for record in result]
    else:
        found = await result.fetch(rows + 1)
    kept = found if rows is None else found[:rows]
    return Rows(
        columns=columns,
        rows=[tuple(plain(value) for value in record.values()) for record in kept],
        truncated=len(kept) < len(found),
    )


@contextmanager
def _translated(seconds: float) -> Generator[None]:
    """Turn the driver's errors into ours."""
    from neo4j import exceptions

    try:
        yield
    except TimeoutError as exc:
        # A server that is there would have said by now that the statement ran into its time.
        raise StorageUnavailable(f"the graph did not answer within {seconds:g} s") from exc
    except exceptions.Neo4jError as exc:
        raise _of_server(exc) from exc
    except (exceptions.DriverError, OSError) as exc:
        raise StorageUnavailable(f"the graph cannot be reached: {exc}") from exc
    except (ValueError, TypeError, OverflowError, RecursionError) as exc:
        # What the driver cannot write as a parameter.
        raise BadStatement(str(exc)) from exc


def _of_server(error: Exception) -> StorageError:
    from neo4j import exceptions

    code = getattr(error, "code", None) or ""
    message = getattr(error, "message", None) or str(error)
    if "TransactionTimedOut" in code or "Terminated" in code:
        return GraphTimeout("the statement ran into its time")
    if isinstance(error, exceptions.ConstraintError):
        return Conflict(message)
    if isinstance(error, exceptions.AuthError):
        return StorageUnavailable(f"Neo4j refuses the user: {message}")
    if isinstance(error, exceptions.ClientError):
        return BadStatement(message)
    return StorageUnavailable(f"the graph cannot answer now: {message}")
