"""Numbered SQL files that bring a database's schema up to this version, and back.

`migrations/sqlite/0001_name.sql` and `migrations/postgres/0001_name.sql` hold an `-- up` and a
`-- down` part. What was applied is kept in the database with a checksum of its file: a file that
was changed afterwards is refused, since the database and the file would disagree for ever. All of
it runs in one transaction under a lock that the engine gives (`schema_sqlite`, `schema_postgres`),
so several processes may start at once, and a failure changes nothing.

A database is named by the path of its file (SQLite) or by its URL (PostgreSQL). Everything here
blocks: on an event loop it is called by `asyncio.to_thread`.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from nexus_gateway.studio.storage.errors import SchemaMismatch, UnknownMigration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from nexus_gateway.studio.storage.engine import Name, Row, Value

_FOLDERS = Path(__file__).with_suffix("")
_FILE = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_TABLE = (
    "CREATE TABLE IF NOT EXISTS schema_migration (number INTEGER PRIMARY KEY,"
    " name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at TEXT NOT NULL)"
)
_SELECT = "SELECT number, name, checksum, applied_at FROM schema_migration ORDER BY number"
_INSERT = (
    "INSERT INTO schema_migration (number, name, checksum, applied_at) VALUES ($1, $2, $3, $4)"
)
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


class Session(Protocol):
    """A connection within a transaction."""

    def run(self, statement: str, *values: Value) -> Sequence[Row]:
        """Run one statement, with parameters `$1`, `$2`, ..."""
        ...

    def has_table(self, name: str) -> bool:
        """Tell whether there is a table."""
        ...


class Schema(Protocol):
    """A database as migrations need it."""

    engine: Name

    def exists(self) -> bool:
        """Tell whether there is a database, without making one."""
        ...

    def ends(self, statement: str) -> bool:
        """Tell whether lines of SQL end with the end of a statement."""
        ...

    def opened(self, *, locked: bool) -> AbstractContextManager[Session]:
        """Open a transaction, alone where `locked`; keeps all that is done in it, or nothing.

        Raises:
            StorageUnavailable: the database cannot be opened or changed.
        """
        ...


class State(msgspec.Struct, frozen=True):
    """Whether a migration was applied, and when (RFC 3339)."""

    number: int
    name: str
    applied_at: str | None


def schema_of(database: Path | str) -> Schema:
    """Find the engine of a database, and import it."""
    if isinstance(database, Path):
        from nexus_gateway.studio.storage.schema_sqlite import SqliteSchema

        return SqliteSchema(database)
    from nexus_gateway.studio.storage.schema_postgres import PostgresSchema

    return PostgresSchema(database)


def status(database: Path | str, *, folder: Path | None = None) -> list[State]:
    """List every migration with the time it was applied; makes no database where there is none.

    Raises:
        SchemaMismatch: the database and the files disagree.
        StorageUnavailable: the database cannot be read.
    """
    schema, known = _prepared(database, folder)
    if not schema.exists():
        return [State(one.number, one.name, None) for one in known]
    with schema.opened(locked=False) as session:
        applied = _applied(session, known)
    return [State(one.number, one.name, applied.get(one.number)) for one in known]


def check_target(number: int, known: Sequence[Migration]) -> None:
    """Check that a number is one of a migration, or 0 for a database before the first.

    Raises:
        UnknownMigration: it is not.
    """
    last = known[-1].number if known else 0
    if not 0 <= number <= last:
        raise UnknownMigration(
            f"there is no migration {number}: this version has 1 to {last}, and 0 stands for an"
            " empty database"
        )


def planned(
    database: Path | str, direction: Literal["up", "down"], *, to: int | None = None
) -> list[str]:
    """List what `up` or `down` would do, in that order, and change nothing.

    Raises:
        SchemaMismatch: the database and the files disagree.
        StorageUnavailable: the database cannot be read.
        UnknownMigration: there is no migration `to`, or it is in the other direction.
    """
    schema, known = _prepared(database, None)
    if to is not None:
        check_target(to, known)
    applied: dict[int, str] = {}
    if schema.exists():
        with schema.opened(locked=False) as session:
            applied = _applied(session, known)
    at = max(applied, default=0)
    if to is not None and (to < at if direction == "up" else to > at):
        other = "down" if direction == "up" else "up"
        raise UnknownMigration(
            f"migration {to} is not {direction} from here: the database is at {at}; use"
            f" `migrate {other} --to {to}`"
        )
    steps = _missing(known, applied, to) if direction == "up" else _after(known, applied, to)
    return [one.title for one in steps]


def up(database: Path | str, *, to: int | None = None, folder: Path | None = None) -> list[str]:
    """Apply what is missing, in order, up to number `to` or all; the names of what was applied.

    Raises:
        SchemaMismatch: the database and the files disagree; nothing was changed.
        StorageUnavailable: the database cannot be changed now.
        UnknownMigration: there is no migration with the number `to`; nothing was changed.
    """
    schema, known = _prepared(database, folder)
    if to is not None:
        check_target(to, known)
    with schema.opened(locked=True) as session:
        session.run(_TABLE)
        applied = _applied(session, known)
        missing = _missing(known, applied, to)
        for one in missing:
            _run(session, one.up)
            moment = datetime.now(UTC).isoformat()
            session.run(_INSERT, one.number, one.name, one.checksum, moment)
    return [one.title for one in missing]


def down(database: Path | str, *, to: int | None = None, folder: Path | None = None) -> list[str]:
    """Take back what came after number `to`, or the last; the names of what was taken back.

    What these migrations hold is lost; 0 takes back everything.

    Raises:
        SchemaMismatch: the database and the files disagree; nothing was changed.
        StorageUnavailable: the database cannot be changed now.
        UnknownMigration: there is no migration with the number `to`; nothing was changed.
    """
    schema, known = _prepared(database, folder)
    if to is not None:
        check_target(to, known)
    with schema.opened(locked=True) as session:
        applied = _applied(session, known)
        last = _after(known, applied, to)
        for one in last:
            _run(session, one.down)
            session.run("DELETE FROM schema_migration WHERE number = $1", one.number)
    return [one.title for one in last]


def _prepared(database: Path | str, folder: Path | None) -> tuple[Schema, list[Migration]]:
    schema = schema_of(database)
    return schema, load(folder or _FOLDERS / schema.engine, schema)


def load(folder: Path, schema: Schema) -> list[Migration]:
    """Read the files of a folder, in the order of their numbers, as an engine splits them.

    Raises:
        SchemaMismatch: a file's name or parts are not what they must be, or a number is missing.
    """
    migrations = [_read(file, schema) for file in sorted(folder.glob("*.sql"))]
    numbers = [one.number for one in migrations]
    if numbers != list(range(1, len(numbers) + 1)):
        raise SchemaMismatch(f"{folder}: the numbers must be 1, 2, 3, ... and are {numbers}")
    return migrations


def _read(file: Path, schema: Schema) -> Migration:
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
        up=tuple(_statements(parts[2], schema)),
        down=tuple(_statements(parts[4], schema)),
    )


def _statements(script: str, schema: Schema) -> Iterator[str]:
    """Split at the semicolons that end a statement; those inside a trigger do not."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if schema.ends(statement):
            yield statement.strip()
            statement = ""
    if re.sub(r"--.*", "", statement).strip():
        raise SchemaMismatch(f"a statement has no end: {statement.strip()[:80]!r}")


def _missing(
    known: Sequence[Migration], applied: Mapping[int, str], to: int | None
) -> list[Migration]:
    missing = [one for one in known if one.number not in applied]
    return [one for one in missing if to is None or one.number <= to]


def _after(
    known: Sequence[Migration], applied: Mapping[int, str], to: int | None
) -> list[Migration]:
    """Select what came after number `to`, or the last; the newest first."""
    floor = max(applied, default=0) - 1 if to is None else to
    return [one for one in reversed(known) if one.number in applied and one.number > floor]


def _run(session: Session, statements: tuple[str, ...]) -> None:
    for statement in statements:
        session.run(statement)


def _applied(session: Session, known: list[Migration]) -> dict[int, str]:
    """Read what was applied and when, and compare it with the files."""
    if not session.has_table("schema_migration"):
        return {}
    files = {one.number: one for one in known}
    applied: dict[int, str] = {}
    for row in session.run(_SELECT):
        number, name, checksum, applied_at = msgspec.convert(row, tuple[int, str, str, str])
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
