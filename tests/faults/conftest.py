"""Servers of their own for these tests: they are killed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from nexus_gateway.studio.storage import migrations
from tests.harness.servers import running_postgres, running_redis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.harness.servers import PostgresServer, RedisServer


@pytest.fixture(scope="package")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="package")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    """Give a fresh database with our tables."""
    return fresh(postgres)


@pytest.fixture(scope="module")
def module_url(postgres: PostgresServer) -> str:
    """Give the tests of a file a database that they share."""
    return fresh(postgres)


def fresh(postgres: PostgresServer) -> str:
    name = f"test_{time.time_ns():x}"
    postgres.run(f"CREATE DATABASE {name}")
    found = postgres.url(name)
    migrations.up(found)
    return found
