"""Gateways with a hub, started once for all tests that leave them as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.gateway_process import Gateway
from tests.harness.servers import running_redis

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.harness.servers import RedisServer

APPS = "tests.acceptance.apps.realtime"
REPLICA = "tests.acceptance.apps.replica:gateway"


def _serve(factory: pytest.TempPathFactory, name: str) -> Generator[Gateway]:
    with Gateway(factory.mktemp(name), f"{APPS}:{name}") as gateway:
        yield gateway


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    """A hub with room for many sockets."""
    yield from _serve(tmp_path_factory, "gateway")


@pytest.fixture
def strict(tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    """A hub that allows little, whose limits nobody has touched."""
    yield from _serve(tmp_path_factory, "strict")


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    """A hub whose heart beats every 0.3 s."""
    yield from _serve(tmp_path_factory, "quick")


@pytest.fixture
def redis() -> Generator[RedisServer]:
    """A Redis that a test may kill."""
    with running_redis() as server:
        yield server


@pytest.fixture
def replicas(redis: RedisServer, tmp_path: Path) -> Generator[tuple[Gateway, Gateway]]:
    """Two gateways that share it."""
    environment = {"REDIS_URL": redis.url}
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
    with (
        Gateway(folders[0], REPLICA, environment=environment) as first,
        Gateway(folders[1], REPLICA, environment=environment) as second,
    ):
        yield first, second
