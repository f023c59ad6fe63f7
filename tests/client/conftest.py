"""The scripted server of the client's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.scripted_hub import Hub, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    """Start a server that says what the test tells it to."""
    async with running() as started:
        yield started
