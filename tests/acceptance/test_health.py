"""Health: whether the gateway lives, and whether what it needs answers, are two questions."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.harness.gateway_process import PATIENCE, SECRET, Gateway, bearer, code_of

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    import httpx

ENTITIES = "/api/intelligence/entities"


class Check(msgspec.Struct):
    """What one dependency said."""

    status: str
    latency_ms: float
    reason: str | None = None


class Ready(msgspec.Struct):
    """`/health/ready`."""

    status: str
    checks: dict[str, Check]


@pytest.fixture
def gateway(tmp_path: Path) -> Generator[Gateway]:
    with Gateway(tmp_path, environment={"NEXUS_JWT_SECRET": SECRET}) as gateway:
        yield gateway


def ready(client: httpx.Client) -> tuple[int, Ready]:
    answer = client.get("/health/ready")
    return answer.status_code, msgspec.json.decode(answer.content, type=Ready)


def test_a_gateway_that_started_is_ready(gateway: Gateway) -> None:
    with gateway.client() as client:
        status, found = ready(client)
        constant = [client.get(f"/health{path}").status_code for path in ("", "/live", "/startup")]

    assert (status, found.status, found.checks["database"].status) == (200, "ok", "ok")
    assert constant == [200, 200, 200]


def test_a_database_that_cannot_be_written_is_named_and_the_gateway_lives(
    gateway: Gateway, tmp_path: Path
) -> None:
    with (
        closing(sqlite3.connect(tmp_path / "data" / "nexus.db", isolation_level=None)) as other,
        gateway.client(headers=bearer("*")) as client,
    ):
        other.execute("BEGIN EXCLUSIVE")
        started = time.monotonic()
        status, found = ready(client)
        spent = time.monotonic() - started
        live = client.get("/health/live")
        other.execute("ROLLBACK")

    assert (status, found.status) == (503, "degraded")
    assert found.checks["database"].status == "failed"
    assert found.checks["database"].reason
    assert spent < 3
    assert live.status_code == 200


def test_a_database_that_was_destroyed_is_named_and_the_gateway_lives(
    gateway: Gateway, tmp_path: Path
) -> None:
    with gateway.client(headers=bearer("*")) as client:
        entity = {"entity_id": "a", "entity_type": "tool"}
        assert client.post(ENTITIES, json=entity).status_code == 201
        for file in (tmp_path / "data").glob("nexus.db*"):
            # In place: the memory that the database's users share may not shrink under them.
            with file.open("r+b") as opened:
                opened.write(b"destroyed" * (file.stat().st_size // 9))
        # Whoever was within a transaction may still end it.
        until = time.monotonic() + PATIENCE
        while (asked := ready(client))[0] == 200:
            assert time.monotonic() < until
        status, found = asked
        refused = client.post(ENTITIES, json={**entity, "entity_id": "b"})
        live = client.get("/health/live")

    assert (status, found.checks["database"].status) == (503, "failed")
    assert found.checks["database"].reason
    assert (refused.status_code, code_of(refused)) == (503, "database_error")
    assert "nexus.db" not in refused.text
    assert live.status_code == 200


def test_it_is_ready_again_once_the_database_is(gateway: Gateway, tmp_path: Path) -> None:
    with (
        closing(sqlite3.connect(tmp_path / "data" / "nexus.db", isolation_level=None)) as other,
        gateway.client() as client,
    ):
        other.execute("BEGIN EXCLUSIVE")
        refused, _ = ready(client)
        other.execute("ROLLBACK")
        until = time.monotonic() + PATIENCE
        while ready(client)[0] != 200:
            assert time.monotonic() < until

    assert refused == 503
