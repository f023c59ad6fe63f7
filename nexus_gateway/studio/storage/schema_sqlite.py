"""A SQLite file as migrations need it: one transaction that holds the write lock."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from nexus_gateway.studio.storage.errors import StorageUnavailable
from nexus_gateway.studio.storage.sqlite import connect, numbered

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from nexus_gateway.studio.storage.engine import Name, Row, Value


class SqliteSchema:
    """The schema of a SQLite file."""

    engine: Name = "sqlite"

    def __init__(self, path: Path) -> None:
        self._path = path

    def exists(self) -> bool:
        """Tell whether there is a file."""
        return self._path.exists()

    def ends(self, statement: str) -> bool:
        """Tell whether lines of SQL end with the end of a statement."""
        return sqlite3.complete_statement(statement)

    @contextmanager
    def opened(self, *, locked: bool) -> Generator[SqliteSession]:
        """Open a transaction, holding the write lock where `locked`.

        Raises:
            StorageUnavailable: the file cannot be opened or changed.
        """
        with closing(connect(self._path, busy=30.0)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE" if locked else "BEGIN")
                yield SqliteSession(connection)
                connection.execute("COMMIT")
            except sqlite3.OperationalError as exc:
                raise StorageUnavailable(f"{self._path} cannot be migrated: {exc}") from exc
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")


class SqliteSession:
    """A connection within a transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, statement: str, *values: Value) -> Sequence[Row]:
        """Run one statement."""
        return self._connection.execute(statement, numbered(values)).fetchall()

    def has_table(self, name: str) -> bool:
        """Tell whether there is a table."""
        return bool(self.run("SELECT 1 FROM sqlite_master WHERE name = $1", name))
