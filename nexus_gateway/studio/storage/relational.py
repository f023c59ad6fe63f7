"""Which relational database the settings name, and how it is opened: the choice, made once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nexus_gateway.studio.storage import migrations
from nexus_gateway.studio.storage.sqlite import Database, path_of
from nexus_gateway.studio.storage.urls import postgres_address

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from nexus_gateway.studio.storage.postgres import Postgres


def location(url: str | None, folder: Path) -> Path | str:
    """Tell where a database is: a SQLite file's path, in `folder` without a URL, or the URL.

    Raises:
        ValueError: the URL is of neither engine, or has a part that is not supported.
    """
    if url is None:
        return folder / "nexus.db"
    if url.startswith("sqlite:") or "://" not in url:
        return path_of(url)
    postgres_address(url)
    return url


def relational(where: Path | str, *, pool: int, wait: float, timeout: float) -> Database | Postgres:
    """Make the engine of a database, which its owner opens; nothing is opened yet.

    Args:
        where: as `location` tells it.
        pool: connections to PostgreSQL at most.
        wait: seconds that a call may wait for one of them.
        timeout: seconds that a statement may take.
    """
    if isinstance(where, Path):
        return Database(where, deadline=timeout)
    from nexus_gateway.studio.storage.postgres import Postgres

    return Postgres(where, pool=pool, wait=wait, timeout=timeout)


@asynccontextmanager
async def migrated(where: Path | str, engine: Database | Postgres) -> AsyncGenerator[None]:
    """Bring a database's tables up to this version, and keep it open.

    Raises:
        StorageError: it cannot be reached, or is of a newer version.
    """
    await asyncio.to_thread(migrations.up, where)
    async with engine:
        yield
