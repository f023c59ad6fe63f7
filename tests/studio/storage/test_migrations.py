"""Migrations: up, down, and everything that makes them refuse."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from nexus_gateway.studio.conditions import Condition
from nexus_gateway.studio.engines import entity_store
from nexus_gateway.studio.intelligence.models import Draft, Patch
from nexus_gateway.studio.intelligence.service import Entities
from nexus_gateway.studio.storage import migrations
from nexus_gateway.studio.storage.errors import SchemaMismatch, StorageUnavailable
from nexus_gateway.studio.storage.relational import relational
from nexus_gateway.studio.storage.sqlite import connect

if TYPE_CHECKING:
    from pathlib import Path

    from nexus_gateway.studio.intelligence.models import Entity
    from tests.harness.servers import PostgresServer

FIRST = """-- Notes.
-- up
CREATE TABLE note (id INTEGER);
CREATE TABLE log (id INTEGER);
CREATE TRIGGER noted AFTER INSERT ON note BEGIN
    INSERT INTO log VALUES (new.id);
    INSERT INTO log VALUES (-new.id);
END;
-- down
DROP TABLE note;
DROP TABLE log;
"""
SECOND = "-- up\nALTER TABLE note ADD text TEXT;\n-- down\nALTER TABLE note DROP text;\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = tmp_path / "migrations"
    files.mkdir()
    (files / "0001_notes.sql").write_text(FIRST)
    (files / "0002_text.sql").write_text(SECOND)
    return files


def tables(database: Path) -> set[str]:
    with closing(connect(database)) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {row[0] for row in rows}


def test_up_applies_what_is_missing_once(tmp_path: Path, folder: Path) -> None:
    database = tmp_path / "new" / "nexus.db"

    assert migrations.up(database, folder=folder) == ["0001_notes", "0002_text"]
    assert migrations.up(database, folder=folder) == []
    assert {"note", "log"} <= tables(database)


def test_status_tells_what_was_applied_and_makes_no_database(tmp_path: Path, folder: Path) -> None:
    database = tmp_path / "nexus.db"

    before = migrations.status(database, folder=folder)
    assert not database.exists()
    migrations.up(database, to=1, folder=folder)
    after = migrations.status(database, folder=folder)

    assert [state.applied_at for state in before] == [None, None]
    assert [state.applied_at is None for state in after] == [False, True]


def test_down_takes_back_the_last_or_all(tmp_path: Path, folder: Path) -> None:
    database = tmp_path / "nexus.db"
    migrations.up(database, folder=folder)

    assert migrations.down(database, folder=folder) == ["0002_text"]
    migrations.up(database, folder=folder)
    assert migrations.down(database, to=0, folder=folder) == ["0002_text", "0001_notes"]
    assert tables(database) == {"schema_migration"}
    assert migrations.down(database, folder=folder) == []


def test_a_file_changed_after_it_was_applied_is_refused(tmp_path: Path, folder: Path) -> None:
    database = tmp_path / "nexus.db"
    migrations.up(database, folder=folder)
    (folder / "0001_notes.sql").write_text(FIRST.replace("Notes.", "Notes, changed."))

    with pytest.raises(SchemaMismatch, match="0001_notes was changed after it was applied"):
        migrations.up(database, folder=folder)


def test_a_database_of_a_newer_version_is_refused(tmp_path: Path, folder: Path) -> None:
    database = tmp_path / "nexus.db"
    migrations.up(database, folder=folder)
    (folder / "0002_text.sql").unlink()

    with pytest.raises(SchemaMismatch, match="0002_text, which this version does not know"):
        migrations.status(database, folder=folder)


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, folder: Path) -> None:
    database = tmp_path / "nexus.db"
    broken = "-- up\nCREATE TABLE more (id);\nCREATE TABLE note (id);\n-- down\nSELECT 1;\n"
    (folder / "0003_broken.sql").write_text(broken)

    with pytest.raises(StorageUnavailable, match="table note already exists"):
        migrations.up(database, folder=folder)

    assert tables(database) == set()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("3_more.sql", SECOND, "a file 0001_name.sql"),
        ("0004_gap.sql", SECOND, "must be 1, 2, 3"),
        ("0003_up.sql", "-- up\nSELECT 1;\n", "'-- up' and then '-- down'"),
        ("0003_open.sql", "-- up\nSELECT 1\n-- down\nSELECT 1;\n", "no end: 'SELECT 1'"),
    ],
)
def test_a_folder_that_is_not_in_order_is_refused(
    folder: Path, name: str, text: str, message: str
) -> None:
    (folder / name).write_text(text)

    with pytest.raises(SchemaMismatch, match=message):
        migrations.up(folder / "never.db", folder=folder)


def test_several_that_start_at_once_apply_each_migration_once(tmp_path: Path, folder: Path) -> None:
    database = tmp_path / "nexus.db"

    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(migrations.up, database, folder=folder) for _ in range(4)]
        applied = [run.result() for run in runs]

    assert sorted(applied) == [[], [], [], ["0001_notes", "0002_text"]]


def test_our_own_migrations_go_up_down_and_up_again(tmp_path: Path) -> None:
    database = tmp_path / "nexus.db"

    up = migrations.up(database)
    down = migrations.down(database, to=0)

    assert down == list(reversed(up))
    assert {"schema_migration"} >= tables(database) - {"sqlite_sequence"}
    assert migrations.up(database) == up


# --- the same runner over PostgreSQL ---


FUNCTION = """-- up
CREATE TABLE note (id INTEGER);
CREATE FUNCTION one() RETURNS INTEGER LANGUAGE plpgsql AS $$
BEGIN
    RETURN 1;
END;
$$;
INSERT INTO note VALUES (one());
-- down
DROP FUNCTION one;
DROP TABLE note;
"""


@pytest.fixture
def functions(tmp_path: Path) -> Path:
    files = tmp_path / "postgres"
    files.mkdir()
    (files / "0001_notes.sql").write_text(FUNCTION)
    (files / "0002_text.sql").write_text(SECOND)
    return files


def test_postgres_goes_up_and_down_by_the_same_runner(empty_postgres: str, functions: Path) -> None:
    before = migrations.status(empty_postgres, folder=functions)

    assert migrations.up(empty_postgres, to=1, folder=functions) == ["0001_notes"]
    assert migrations.up(empty_postgres, folder=functions) == ["0002_text"]
    after = migrations.status(empty_postgres, folder=functions)
    assert migrations.down(empty_postgres, folder=functions) == ["0002_text"]
    assert migrations.down(empty_postgres, to=0, folder=functions) == ["0001_notes"]
    assert [state.applied_at for state in before] == [None, None]
    assert all(state.applied_at for state in after)


def test_postgres_of_a_newer_version_or_a_changed_file_is_refused(
    empty_postgres: str, functions: Path
) -> None:
    migrations.up(empty_postgres, folder=functions)
    (functions / "0002_text.sql").write_text(SECOND + "-- changed\n")

    with pytest.raises(SchemaMismatch, match="0002_text was changed"):
        migrations.up(empty_postgres, folder=functions)
    (functions / "0002_text.sql").unlink()
    with pytest.raises(SchemaMismatch, match="0002_text, which this version does not know"):
        migrations.up(empty_postgres, folder=functions)


def test_a_migration_that_fails_changes_nothing_in_postgres(
    empty_postgres: str, functions: Path, postgres_server: PostgresServer
) -> None:
    broken = "-- up\nCREATE TABLE more (id INT);\nSELECT no_such();\n-- down\nSELECT 1;\n"
    (functions / "0003_broken.sql").write_text(broken)

    with pytest.raises(StorageUnavailable, match="no_such"):
        migrations.up(empty_postgres, folder=functions)

    tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    assert postgres_server.run(tables, empty_postgres.rsplit("/", 1)[1]) == "0"


def test_several_that_start_at_once_apply_each_migration_once_to_postgres(
    empty_postgres: str,
) -> None:
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(migrations.up, empty_postgres) for _ in range(4)]
        applied = [run.result() for run in runs]

    assert sorted(map(bool, applied)) == [False, False, False, True]


def test_our_own_migrations_of_postgres_go_up_down_and_up_again(empty_postgres: str) -> None:
    up = migrations.up(empty_postgres)

    assert migrations.down(empty_postgres, to=0) == list(reversed(up))
    assert migrations.up(empty_postgres) == up


def test_both_engines_have_the_same_migrations(tmp_path: Path, empty_postgres: str) -> None:
    assert migrations.up(empty_postgres) == migrations.up(tmp_path / "nexus.db")


# --- filled databases ---


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    if request.param == "sqlite":
        return tmp_path / "nexus.db"
    url: str = request.getfixturevalue("empty_postgres")
    return url


OF_FIRST_VERSION = {
    "sqlite": (
        "INSERT INTO entity (tenant, entity_id, entity_type, name, tags, attributes, created_at,"
        " updated_at, revision) VALUES ('', 'old', 'tool', 'Old', '[]', '{\"size\":1}', 1, 1, 1)"
    ),
    "postgres": (
        "INSERT INTO entity (tenant, entity_id, entity_type, name, tags, attributes, created_at,"
        " updated_at, revision, words)"
        " VALUES ('', 'old', 'tool', 'Old', '[]', '{\"size\":1}', 1, 1, 1, '')"
    ),
}


def put(database: Path | str) -> None:
    schema = migrations.schema_of(database)
    with schema.opened(locked=True) as session:
        session.run(OF_FIRST_VERSION[schema.engine])


def ids(database: Path | str) -> list[object]:
    with migrations.schema_of(database).opened(locked=False) as session:
        return [row[0] for row in session.run("SELECT entity_id FROM entity ORDER BY number")]


async def use(database: Path | str) -> Entity:
    """Read what is old, change it, and add something new, as this version does."""
    async with relational(database, pool=2, wait=2, timeout=5) as engine:
        entities = Entities(entity_store(engine))
        old = await entities.get("", "old")
        await entities.create("", Draft(entity_id="new", entity_type="tool", aliases=("other",)))
        await entities.patch("", "old", Patch(name="Older"), Condition())
        return old


async def names(database: Path | str) -> list[str | None]:
    async with relational(database, pool=2, wait=2, timeout=5) as engine:
        entities = Entities(entity_store(engine))
        return [(await entities.get("", name)).name for name in ("old", "new")]


def test_what_the_first_version_kept_is_there_in_this_one_and_after_a_way_back(
    database: Path | str,
) -> None:
    migrations.up(database, to=1)
    put(database)
    migrations.up(database)
    old = asyncio.run(use(database))

    for number in range(len(migrations.status(database)) - 1, 0, -1):
        migrations.down(database, to=number)
        assert ids(database) == ["old", "new"]
    migrations.up(database)

    assert (old.name, bytes(old.attributes), old.aliases) == ("Old", b'{"size":1}', ())
    assert asyncio.run(names(database)) == ["Older", None]
    assert migrations.down(database, to=0)
    assert all(state.applied_at is None for state in migrations.status(database))
