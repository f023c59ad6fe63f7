"""Secrets at rest, over both engines: what the database holds opens with the key alone."""

from __future__ import annotations

import base64
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nexus_gateway.studio.storage import vault
from nexus_gateway.studio.storage.vault import NoKey, NoSecret, TooManySecrets, Vault, key_id

if TYPE_CHECKING:
    from nexus_gateway.studio.storage.postgres import Postgres
    from nexus_gateway.studio.storage.sqlite import Database
    from tests.harness.servers import PostgresServer

KEY, OTHER = b"k" * 32, b"o" * 32
VALUE = "correct horse battery staple ü"


def opened(engine: Database | Postgres, *keys: bytes) -> Vault:
    return Vault(engine, lambda: keys or (KEY,))


def dump(where: Path | str, request: pytest.FixtureRequest) -> bytes:
    if isinstance(where, Path):
        return b"".join(file.read_bytes() for file in where.parent.glob(f"{where.name}*"))
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.dump(where.rsplit("/", 1)[1])


async def test_what_is_put_is_given_to_its_tenant_alone(engine: Database | Postgres) -> None:
    secrets = opened(engine)
    await secrets.put("acme", "token", VALUE, by="alice")

    assert await secrets.get("acme", "token") == VALUE
    with pytest.raises(NoSecret):
        await secrets.get("other", "token")
    with pytest.raises(NoSecret):
        await secrets.get("acme", "other")


async def test_names_are_listed_without_values_and_removed(engine: Database | Postgres) -> None:
    secrets = opened(engine)
    for name in ("b", "a", "c"):
        await secrets.put("acme", name, VALUE, by="alice")
    await secrets.put("acme", "a", "another", by="bob")
    await secrets.remove("acme", "c")

    listed = await secrets.names("acme", "", 10)

    assert [(one.name, one.revision, one.updated_by) for one in listed] == [
        ("a", 2, "bob"),
        ("b", 1, "alice"),
    ]
    assert [one.name for one in await secrets.names("acme", "a", 1)] == ["b"]
    with pytest.raises(NoSecret):
        await secrets.remove("acme", "c")


async def test_a_dump_shows_no_clear_text(
    engine: Database | Postgres, where: Path | str, request: pytest.FixtureRequest
) -> None:
    await opened(engine).put("acme", "token", VALUE)
    await opened(engine).put("acme", "token", VALUE[::-1])

    dumped = dump(where, request)

    assert b"token" in dumped
    for clear in (VALUE, VALUE[::-1]):
        plain = clear.encode()
        assert plain not in dumped
        assert base64.b64encode(plain)[:20] not in dumped
        assert plain.hex().encode()[:20] not in dumped


@pytest.mark.parametrize("column", ["tenant", "name", "sealed"])
async def test_a_row_that_was_changed_does_not_open(
    engine: Database | Postgres, column: str
) -> None:
    secrets = opened(engine)
    await secrets.put("acme", "token", VALUE)
    [[sealed]] = await engine.query("SELECT sealed FROM secret")
    flipped = bytearray(base64.b64decode(str(sealed)))
    flipped[-1] ^= 1
    changed = {"tenant": "other", "name": "other", "sealed": base64.b64encode(flipped).decode()}
    await engine.command(f"UPDATE secret SET {column} = $1", changed[column])
    where = {"tenant": "acme", "name": "token"} | {column: changed[column]}

    with pytest.raises(NoKey, match="changed"):
        await secrets.get(where["tenant"], where["name"])


async def test_the_same_value_is_never_sealed_the_same(engine: Database | Postgres) -> None:
    for name in ("a", "b"):
        await opened(engine).put("acme", name, VALUE)

    rows = await engine.query("SELECT sealed FROM secret")

    assert len({str(row[0])[:16] for row in rows}) == 2


async def test_a_new_key_takes_over_and_the_old_one_can_go(
    engine: Database | Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vault, "_BATCH", 2)
    for number in range(5):
        await opened(engine, OTHER).put(f"tenant {number}", "token", VALUE)
    both = opened(engine, KEY, OTHER)

    before = await both.get("tenant 1", "token")
    resealed = await both.reseal()
    again = await both.reseal()

    assert (before, resealed, again) == (VALUE, 5, 0)
    assert await opened(engine, KEY).get("tenant 4", "token") == VALUE
    with pytest.raises(NoKey, match="not here"):
        await opened(engine, OTHER).get("tenant 4", "token")


async def test_without_its_key_it_does_not_open(
    engine: Database | Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    def none() -> tuple[bytes, ...]:
        raise NoKey("no key is set")

    async with Vault(engine, none):
        pass  # nothing is sealed, so no key is asked for
    await opened(engine, OTHER).put("acme", "token", VALUE)

    with pytest.raises(NoKey, match="no key is set"):
        await Vault(engine, none).__aenter__()
    with pytest.raises(NoKey, match=key_id(OTHER)):
        await opened(engine, KEY).__aenter__()
    async with opened(engine, KEY, OTHER), Vault(engine, lambda: (KEY,), strict=False):
        pass
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_secrets_of_a_tenant_are_bounded(
    engine: Database | Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vault, "MOST", 1)
    await opened(engine).put("acme", "a", VALUE)

    with pytest.raises(TooManySecrets):
        await opened(engine).put("acme", "b", VALUE)
    await opened(engine).put("acme", "a", VALUE)
    await opened(engine).put("other", "b", VALUE)


def test_the_name_of_a_key_tells_keys_apart_and_nothing_of_them() -> None:
    assert key_id(KEY) != key_id(OTHER)
    assert len(key_id(KEY)) == 16
