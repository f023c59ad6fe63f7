"""Numbered SQL files that bring a database's schema up to this version, and back.

`migrations/sqlite/0001_name.sql` holds an `-- up` and a `-- down` part. What was applied is kept in
the database with a checksum of its file: a file that was changed afterwards is refused, since the
database and the file would disagree for ever. All of it runs in one transaction that holds
SQLite's write lock, so several processes may start at once, and a failure changes nothing.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.storage.errors import SchemaMismatch, StorageUnavailable
from nexus_gateway.studio.storage.sqlite import connect

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

FOLDER = Path(__file__).with_suffix("") / "sqlite"
_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_PARTS = re.compile(r"^-- (up|down)[ \t]*$", re.MULTILINE)


class Migration(msgspec.Struct, frozen=True):
    """One numbered file."""

    number: int
    name: str
    checksum: str
    up: tuple[str, ...]
    down: tuple[str, ...]

    @property
    def title(self) -> str:
        """The file's name, without its ending."""
        return f"{self.number:04}_{self.name}"


class State(msgspec.Struct, frozen=True):
    """Whether a migration was applied, and when (RFC 3339)."""

    number: int
    name: str
    applied_at: str | None


def status(database: Path, *, folder: Path = FOLDER) -> list[State]:
    """List every migration with the time it was applied; makes no database where there is none.

    Raises:
        SchemaMismatch: the database and the files disagree.
        StorageUnavailable: the database cannot be read.
    """
    known = load(folder)
    if not database.exists():
        return [State(one.number, one.name, None) for one in known]
    with _opened(database) as connection:
        applied = _applied(connection, known)
    return [State(one.number, one.name, applied.get(one.number)) for one in known]


def up(database: Path, *, to: int | None = None, folder: Path = FOLDER) -> list[str]:
    """Apply what is missing, in order, up to number `to` or all; the names of what was applied.

    Raises:
        SchemaMismatch: the database and the files disagree; nothing was changed.
        StorageUnavailable: the database cannot be changed now.
    """
    known = load(folder)
    with _opened(database) as connection, _locked(connection):
        applied = _applied(connection, known)
        missing = [one for one in known if one.number not in applied]
        missing = [one for one in missing if to is None or one.number <= to]
        for one in missing:
            _run(connection, one.up)
            connection.execute(
                "INSERT INTO schema_migration (number, name, checksum, applied_at)"
                " VALUES (?, ?, ?, ?)",
                (one.number, one.name, one.checksum, datetime.now(UTC).isoformat()),
            )
    return [one.title for one in missing]


def down(database: Path, *, to: int | None = None, folder: Path = FOLDER) -> list[str]:
    """Take back what came after number `to`, or the last; the names of what was taken back.

    What these migrations hold is lost; 0 takes back everything.

    Raises:
        SchemaMismatch: the database and the files disagree; nothing was changed.
        StorageUnavailable: the database cannot be changed now.
    """
    known = load(folder)
    with _opened(database) as connection, _locked(connection):
        applied = _applied(connection, known)
        floor = max(applied, default=0) - 1 if to is None else to
        last = [one for one in reversed(known) if one.number in applied and one.number > floor]
        for one in last:
            _run(connection, one.down)
            connection.execute("DELETE FROM schema_migration WHERE number = ?", (one.number,))
    return [one.title for one in last]


def load(folder: Path) -> list[Migration]:
    """Read the files of a folder, in the order of their numbers.

    Raises:
        SchemaMismatch: a file's name or parts are not what they must be, or a number is missing.
    """
    migrations = [_read(file) for file in sorted(folder.glob("*.sql"))]
    numbers = [one.number for one in migrations]
    if numbers != list(range(1, len(numbers) + 1)):
        raise SchemaMismatch(f"{folder}: the numbers must be 1, 2, 3, ... and are {numbers}")
    return migrations


def _read(file: Path) -> Migration:
    name = _FILE.fullmatch(file.name)
    text = file.read_text(encoding="utf-8")
    parts = _PARTS.split(text)
    if name is None or [parts[index] for index in range(1, len(parts), 2)] != ["up", "down"]:
        raise SchemaMismatch(
            f"{file}: a migration is a file 0001_name.sql with a line '-- up' and then '-- down'"
        )
    return Migration(
        number=int(name[1]),
        name=name[2],
        checksum=hashlib.sha256(text.encode()).hexdigest(),
        up=tuple(_statements(parts[2])),
        down=tuple(_statements(parts[4])),
    )


def _statements(script: str) -> Iterator[str]:
    """Split at the semicolons that end a statement; those inside a trigger do not."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement.strip()
            statement = ""
    if re.sub(r"--.*", "", statement).strip():
        raise SchemaMismatch(f"a statement has no end: {statement.strip()[:80]!r}")


def _run(connection: sqlite3.Connection, statements: tuple[str, ...]) -> None:
    for statement in statements:
        connection.execute(statement)


def _applied(connection: sqlite3.Connection, known: list[Migration]) -> dict[int, str]:
    """Read what was applied and when, and compare it with the files."""
    exists = "SELECT 1 FROM sqlite_master WHERE name = 'schema_migration'"
    if connection.execute(exists).fetchone() is None:
        return {}
    files = {one.number: one for one in known}
    applied: dict[int, str] = {}
    rows = connection.execute(
        "SELECT number, name, checksum, applied_at FROM schema_migration ORDER BY number"
    )
    for number, name, checksum, applied_at in rows:
        file = files.get(number)
        if file is None:
            raise SchemaMismatch(
                f"the database has migration {number:04}_{name}, which this version does not know:"
                " it was opened by a newer version"
            )
        if file.checksum != checksum:
            raise SchemaMismatch(
                f"migration {number:04}_{name} was changed after it was applied: restore its file"
                " and write a new migration"
            )
        applied[number] = applied_at
    return applied


@contextmanager
def _opened(database: Path) -> Generator[sqlite3.Connection]:
    with closing(connect(database, busy=30.0)) as connection:
        try:
            yield connection
        except sqlite3.OperationalError as exc:
            raise StorageUnavailable(f"{database} cannot be migrated: {exc}") from exc


@contextmanager
def _locked(connection: sqlite3.Connection) -> Generator[None]:
    """Hold the write lock; keep all that was done, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migration (number INTEGER PRIMARY KEY,"
            " name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at TEXT NOT NULL) STRICT"
        )
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
