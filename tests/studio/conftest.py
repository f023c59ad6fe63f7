"""What tests of the studio share: a database in a temporary folder, and the service upon it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nexus_gateway.settings import Settings
from nexus_gateway.studio.app import compose
from nexus_gateway.studio.intelligence.service import Entities
from nexus_gateway.studio.intelligence.sqlite.store import SqliteEntities
from nexus_gateway.studio.storage import migrations
from nexus_gateway.studio.storage.sqlite import Database
from nexus_gateway.testing import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    path = tmp_path / "test.db"
    migrations.up(path)
    async with Database(path) as opened:
        yield opened


@pytest.fixture
def entities(database: Database) -> Entities:
    return Entities(SqliteEntities(database))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, log_level="error")


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with Client(compose(settings)) as opened:
        yield opened
