"""Who calls: alice, who reads and writes, and root, who may do anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nexus_gateway.server.settings import Settings
from tests.harness.entity_caller import Caller

if TYPE_CHECKING:
    from pathlib import Path

    from nexus_gateway.testing import Client


@pytest.fixture
def settings(where: Path | str, tmp_path: Path) -> Settings:
    """Choose each engine: what goes through the gateway here goes through both."""
    url = where if isinstance(where, str) else f"sqlite:///{where}"
    return Settings(data_dir=tmp_path, log_level="error", database_url=url)


@pytest.fixture
def alice(client: Client, settings: Settings) -> Caller:
    return Caller(client, settings, "intelligence:read intelligence:write", None)


@pytest.fixture
def root(client: Client, settings: Settings) -> Caller:
    return Caller(client, settings, "*", None, "root")
