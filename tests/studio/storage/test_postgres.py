"""PostgreSQL: deadlines, races, and what an engine says when its server does not answer."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import pytest

from nexus_gateway.studio.storage import migrations
from nexus_gateway.studio.storage.errors import BadRow, BadText, SchemaMismatch, StorageUnavailable
from nexus_gateway.studio.storage.postgres import Postgres, Raced

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nexus_gateway.studio.storage.postgres import Session
    from tests.harness.servers import PostgresServer


@pytest.fixture
async def notes(empty_postgres: str) -> AsyncIterator[Postgres]:
    async with Postgres(empty_postgres, pool=2, wait=0.3, timeout=0.5) as opened:
        await opened.command("CREATE TABLE note (id BIGINT UNIQUE)")
        yield opened


async def add(session: Session, number: int) -> int:
    await session.execute("INSERT INTO note VALUES ($1)", number)
    return number


async def numbers(database: Postgres) -> list[object]:
    return [row[0] for row in await database.query("SELECT id FROM note ORDER BY id")]


async def test_what_was_written_is_read(notes: Postgres) -> None:
    assert await notes.write(lambda session: add(session, 7)) == 7

    assert await notes.read(lambda session: session.fetchval("SELECT id FROM note")) == 7
    await notes.ping()


async def test_the_isolation_level_does_not_depend_on_the_databases_default(
    notes: Postgres, postgres_server: PostgresServer, empty_postgres: str
) -> None:
    name = empty_postgres.rsplit("/", 1)[1]
    level = "SELECT current_setting('transaction_isolation')"
    postgres_server.run(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    async with Postgres(empty_postgres, pool=1) as strict:
        assert await strict.query(level) == [("read committed",)]
        assert await strict.write(lambda session: session.fetchval(level)) == "read committed"
        assert await strict.read(lambda session: session.fetchval(level)) == "repeatable read"


async def test_a_read_only_database_is_not_ready(
    notes: Postgres, postgres_server: PostgresServer, empty_postgres: str
) -> None:
    name = empty_postgres.rsplit("/", 1)[1]
    postgres_server.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    async with Postgres(empty_postgres, pool=1) as frozen:
        assert await frozen.query("SELECT 1") == [(1,)]
        with pytest.raises(StorageUnavailable) as caught:
            await frozen.ping()

    assert caught.value.reason == "read only"
    await notes.ping()


async def test_a_write_that_meets_a_full_disk_shows_in_readiness(notes: Postgres) -> None:
    async def fill(session: Session) -> None:
        await session.execute("DO $$ BEGIN RAISE EXCEPTION 'full' USING ERRCODE = '53100'; END $$")

    with pytest.raises(StorageUnavailable):
        await notes.write(fill)

    with pytest.raises(StorageUnavailable) as caught:
        await notes.ping()
    assert caught.value.reason == "no space left on device"


async def test_a_database_of_another_encoding_is_refused_at_start(
    postgres_server: PostgresServer,
) -> None:
    postgres_server.run("DROP DATABASE IF EXISTS latin")
    postgres_server.run("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")

    with pytest.raises(SchemaMismatch, match="has the encoding LATIN1, and must have UTF8"):
        await asyncio.to_thread(migrations.up, postgres_server.url("latin"))
    postgres_server.run("DROP DATABASE latin")


async def test_a_setting_with_a_wrong_value_is_a_refused_connection(empty_postgres: str) -> None:
    with pytest.raises(StorageUnavailable, match="refuses the connection"):
        async with Postgres(f"{empty_postgres}?work_mem=banana"):
            pass


async def test_parameters_of_the_url_reach_the_server(empty_postgres: str) -> None:
    url = f"{empty_postgres}?application_name=mine&connect_timeout=5&work_mem=1MB"
    async with Postgres(url, pool=1) as opened:
        found = await opened.query(
            "SELECT current_setting('application_name'), current_setting('work_mem')"
        )

    assert found == [("mine", "1MB")]


async def test_a_failed_job_takes_back_all_that_it_did(notes: Postgres) -> None:
    async def half(session: Session) -> None:
        await add(session, 1)
        raise KeyError("half")

    with pytest.raises(KeyError):
        await notes.write(half)

    assert await numbers(notes) == []


async def test_an_error_of_a_statement_is_not_taken_for_trouble(notes: Postgres) -> None:
    await notes.write(lambda session: add(session, 1))

    with pytest.raises(BadRow):
        await notes.write(lambda session: add(session, 1))


async def test_a_text_that_it_cannot_keep_is_the_callers_error(notes: Postgres) -> None:
    with pytest.raises(BadText):
        await notes.query("SELECT CAST($1 AS TEXT)", "a\0")


async def test_a_cancelled_write_changes_nothing_and_gives_its_connection_back(
    notes: Postgres,
) -> None:
    begun = asyncio.Event()

    async def hang(session: Session) -> None:
        await add(session, 1)
        begun.set()
        await session.execute("SELECT pg_sleep(60)")

    for _ in range(3):
        begun.clear()
        task = asyncio.create_task(notes.write(hang))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert await numbers(notes) == []


async def test_a_reader_cannot_write(notes: Postgres) -> None:
    with pytest.raises(StorageUnavailable, match="read-only"):
        await notes.read(lambda session: add(session, 1))


async def test_what_several_statements_of_a_read_see_is_one_state(notes: Postgres) -> None:
    async def twice(session: Session) -> tuple[int, int]:
        before = await session.fetchval("SELECT count(*) FROM note")
        await notes.write(lambda other: add(other, 1))
        return before, await session.fetchval("SELECT count(*) FROM note")

    assert await notes.read(twice) == (0, 0)


async def test_a_statement_without_end_is_stopped_at_its_deadline(notes: Postgres) -> None:
    with pytest.raises(StorageUnavailable, match="statement timeout"):
        await notes.query("SELECT pg_sleep(60)")


async def test_a_pool_that_is_exhausted_refuses_within_its_wait(notes: Postgres) -> None:
    held = [asyncio.Event(), asyncio.Event()]
    free = asyncio.Event()

    async def hold(session: Session, held: asyncio.Event) -> None:
        held.set()
        await free.wait()

    slow = [asyncio.create_task(notes.read(partial(hold, held=one))) for one in held]
    for one in held:
        await one.wait()

    with pytest.raises(StorageUnavailable, match=r"came free within 0\.3 s"):
        await notes.ping()

    free.set()
    await asyncio.gather(*slow)
    await notes.ping()


async def test_a_job_that_met_another_runs_again_from_the_start(notes: Postgres) -> None:
    attempts = 0

    async def late(session: Session) -> None:
        nonlocal attempts
        attempts += 1
        await add(session, attempts)
        if attempts == 1:
            raise Raced

    await notes.write(late)

    assert await numbers(notes) == [2]


async def test_a_job_that_always_meets_another_is_given_up(notes: Postgres) -> None:
    async def late(session: Session) -> None:
        raise Raced

    with pytest.raises(StorageUnavailable, match="3 attempts"):
        await notes.write(late)


async def test_connections_that_the_server_ended_are_replaced(
    notes: Postgres, postgres_server: PostgresServer
) -> None:
    await asyncio.gather(notes.ping(), notes.ping())

    postgres_server.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'nexus-gateway'"
    )
    results = await asyncio.gather(*(notes.ping() for _ in range(4)), return_exceptions=True)
    assert all(result is None or isinstance(result, StorageUnavailable) for result in results)

    # A busy machine may take longer than one call waits to open the next connections.
    async with asyncio.timeout(10):
        while isinstance(
            (await asyncio.gather(notes.ping(), return_exceptions=True))[0], StorageUnavailable
        ):
            pass
    await notes.ping()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("only-for-tests", "wrong"), "password authentication failed"),
        (("/test_", "/no_test_"), "does not exist"),
        (("127.0.0.1:", "127.0.0.2:"), "does not answer"),
    ],
)
async def test_a_server_that_does_not_let_us_in_is_told_without_the_password(
    empty_postgres: str, change: tuple[str, str], reason: str
) -> None:
    with pytest.raises(StorageUnavailable, match=reason) as caught:
        async with Postgres(empty_postgres.replace(*change), wait=1):
            pass

    assert "only-for-tests" not in str(caught.value)


async def test_a_closed_database_refuses(empty_postgres: str) -> None:
    database = Postgres(empty_postgres)
    async with database:
        await database.ping()

    with pytest.raises(StorageUnavailable, match="closed"):
        await database.ping()
