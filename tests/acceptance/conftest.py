"""The gateways that several tests speak to; a test that changes one starts its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.gateway_process import ORIGIN, SECRET, Gateway

if TYPE_CHECKING:
    from collections.abc import Generator

    import httpx


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    """A small gateway with one route for each kind of refusal and answer."""
    folder = tmp_path_factory.mktemp("sample")
    with Gateway(folder, "tests.acceptance.apps.sample:gateway") as gateway:
        yield gateway


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    """The studio, open to the pages of one origin."""
    folder = tmp_path_factory.mktemp("studio")
    settings = {
        "NEXUS_JWT_SECRET": SECRET,
        "NEXUS_CORS_ORIGINS": ORIGIN,
        "NEXUS_RATE_LIMIT": "1000/s burst 5000",
    }
    with Gateway(folder, environment=settings) as gateway:
        yield gateway


@pytest.fixture
def client(sample: Gateway) -> Generator[httpx.Client]:
    """A client of the small gateway."""
    with sample.client() as client:
        yield client
