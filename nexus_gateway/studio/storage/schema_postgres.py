"""A PostgreSQL database as migrations need it: one transaction under an advisory lock."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncpg

from nexus_gateway.studio.storage.errors import StorageUnavailable
from nexus_gateway.studio.storage.postgres import Plain, check_encoding, connect, translated

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from nexus_gateway.studio.storage.engine import Name, Row, Value

LOCK = 0x6E65_7875_7301  # "nexus" and 1
"""Names the lock of migrations among the advisory locks of a database."""
_PATIENCE = 60.0
"""Seconds that one statement may take, and another process's migrations be waited for."""


class PostgresSchema:
    """The schema that a PostgreSQL URL leads to."""

    engine: Name = "postgres"

    def __init__(self, url: str) -> None:
        self._url = url

    def exists(self) -> bool:
        """Tell that there is a database: it is made by whoever runs the server."""
        return True

    def ends(self, statement: str) -> bool:
        """Tell whether lines of SQL end with the end of a statement, outside of a `$$` text."""
        return statement.rstrip().endswith(";") and statement.count("$$") % 2 == 0

    @contextmanager
    def opened(self, *, locked: bool) -> Generator[PostgresSession]:
        """Open a transaction, and wait for the lock of migrations where `locked`.

        Raises:
            SchemaMismatch: the database has another encoding than UTF8.
            StorageUnavailable: the server cannot be reached, or a statement fails.
        """
        # A loop of its own: whoever migrates does so before there is another, or on a thread.
        with asyncio.Runner() as runner:
            connection = runner.run(connect(self._url, patience=_PATIENCE))
            session = PostgresSession(runner, connection)
            try:
                check_encoding(connection)
                with _named():
                    session.run("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
                    if locked:
                        session.run("SELECT pg_advisory_xact_lock($1)", LOCK)
                    yield session
                    session.run("COMMIT")
            finally:
                # Closing takes back what was not committed.
                runner.run(_close(connection))


class PostgresSession:
    """A connection within a transaction, for code that blocks."""

    def __init__(self, runner: asyncio.Runner, connection: Plain) -> None:
        self._runner = runner
        self._connection = connection

    def run(self, statement: str, *values: Value) -> Sequence[Row]:
        """Run one statement."""
        with translated():
            rows = self._runner.run(_fetch(self._connection, statement, values))
        return [tuple(row) for row in rows]

    def has_table(self, name: str) -> bool:
        """Tell whether there is a table."""
        return self.run("SELECT to_regclass($1) IS NOT NULL", name) == [(True,)]


async def _fetch(
    connection: Plain, statement: str, values: tuple[Value, ...]
) -> list[asyncpg.Record]:
    return await connection.fetch(statement, *values)


async def _close(connection: Plain) -> None:
    try:
        await connection.close(timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()


@contextmanager
def _named() -> Generator[None]:
    try:
        yield
    except asyncpg.PostgresError as exc:
        raise StorageUnavailable(f"the database cannot be migrated: {exc}") from exc
