"""Gateways with a hub, started once for all tests that leave them as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.support import Gateway

if TYPE_CHECKING:
    from collections.abc import Generator

APPS = "tests.acceptance.apps.realtime"


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
