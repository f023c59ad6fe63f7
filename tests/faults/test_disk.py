"""The disk is full: a clear refusal, nothing lost, and all is well once there is room again."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.harness.gateway_clients import (
    ENTITIES,
    NODES,
    Refusal,
    client_of,
    ready,
    refusal,
    serve,
    stored,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import httpx

    from tests.harness.servers import PostgresServer

ROOM = 24 << 20


def text(number: int) -> str:
    """Write 20 kB that cannot be compressed much."""
    return random.Random(number).randbytes(10_000).hex()


@contextlib.contextmanager
def small_disk(size: int) -> Generator[Path]:
    """Mount a file system of so many bytes; skip the test where that is not allowed."""
    folder = Path(tempfile.mkdtemp(prefix="nexus-disk-", dir="/tmp"))
    options = f"size={size},mode=777"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False
    )
    try:
        if done.returncode != 0:
            pytest.skip(f"no file system can be mounted here: {done.stderr.decode().strip()}")
        yield folder
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


@pytest.fixture
def disk() -> Iterator[Path]:
    with small_disk(ROOM) as folder:
        yield folder


def fill(disk: Path) -> Path:
    """Take all the room but for about a quarter of a megabyte."""
    filler = disk / "filler"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(4096, free - (256 << 10)))
    return filler


def write_until_refused(client: httpx.Client, target: str) -> tuple[list[str], Refusal]:
    """Create large things until one is refused: those that were not, and the refusal."""
    kept: list[str] = []
    for number in range(2000):
        name = f"n{number}"
        body = {"entity_id": name, "entity_type": "thing", "attributes": {"text": text(number)}}
        found = refusal(client, "POST", target, body)
        if found.status != 201:
            return kept, found
        kept.append(name)
    raise AssertionError("the disk is never full")


@pytest.mark.parametrize("target", [ENTITIES, NODES])
def test_a_full_disk_is_refused_clearly_and_nothing_is_lost(disk: Path, target: str) -> None:
    with serve(disk / "gateway") as gateway, client_of(gateway) as client:
        client.post(target, json={"entity_id": "first", "entity_type": "thing"})
        filler = fill(disk)
        kept, refused = write_until_refused(client, target)
        missing = ready(client)
        read = client.get(f"{target}/first").status_code
        filler.unlink()
        back = ready(client)
        after = client.post(target, json={"entity_id": "after", "entity_type": "thing"})
        there = stored(client, target)
    with serve(disk / "gateway") as gateway, client_of(gateway) as client:
        again = stored(client, target)

    assert (refused.status, refused.code, refused.retry_after) == (503, "database_error", "1")
    # Both have their files there.
    full = "no space left on device"
    assert missing.failed().items() >= {"database": full, "graph": full}.items()
    assert missing.code == 503
    assert read == 200
    assert (back.status, after.status_code) == ("ok", 201)
    assert {"first", "after", *kept} <= set(there)
    assert len(set(there)) == len(there)
    assert sorted(again) == sorted(there)


def test_a_full_disk_of_postgres_is_refused_clearly_and_nothing_is_lost(
    tmp_path: Path, postgres: PostgresServer, url: str
) -> None:
    database = url.rsplit("/", 1)[1]
    with small_disk(8 << 20) as disk:
        space = disk / "space"
        space.mkdir(mode=0o777)
        space.chmod(0o777)
        postgres.own(space)
        postgres.run(f"CREATE TABLESPACE small LOCATION '{space}'")
        postgres.run("ALTER TABLE entity SET TABLESPACE small", database)
        with (
            serve(tmp_path / "gateway", NEXUS_DATABASE_URL=url) as gateway,
            client_of(gateway) as client,
        ):
            kept, refused = write_until_refused(client, ENTITIES)
            missing = ready(client)
            read = client.get(f"{ENTITIES}/{kept[0]}").status_code
            subprocess.run(["mount", "-o", "remount,size=32m", disk], check=True)
            after = client.post(ENTITIES, json={"entity_id": "after", "entity_type": "thing"})
            there = stored(client, ENTITIES)
        postgres.run(f"DROP DATABASE {database} WITH (FORCE)")
        postgres.run("DROP TABLESPACE small")

    assert (refused.status, refused.code, refused.retry_after) == (503, "database_error", "1")
    assert missing.failed() == {"database": "no space left on device"}
    assert (read, after.status_code) == (200, 201)
    assert sorted(there) == sorted([*kept, "after"])
