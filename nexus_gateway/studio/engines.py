"""The choice of engines: what keeps the studio's data, by its settings.

Each function makes one object and opens nothing. What a server's engine needs is imported where the
settings choose it, so that the embedded studio does not carry it.
"""

from __future__ import annotations

from functools import cache as once
from typing import TYPE_CHECKING, Literal, NamedTuple

from nexus_gateway.server.settings import Settings, SettingsError
from nexus_gateway.studio.intelligence.embedding.local import HashedWords
from nexus_gateway.studio.intelligence.search.sqlite import SqliteSearch
from nexus_gateway.studio.intelligence.sqlite.store import SqliteEntities
from nexus_gateway.studio.realtime.channels import hub_of
from nexus_gateway.studio.storage import migrations
from nexus_gateway.studio.storage.cache_local import LocalCache
from nexus_gateway.studio.storage.graph_embedded import EmbeddedGraph
from nexus_gateway.studio.storage.graph_neo4j import Neo4jGraph
from nexus_gateway.studio.storage.graph_owner import OwnedGraph
from nexus_gateway.studio.storage.relational import location, relational
from nexus_gateway.studio.storage.sqlite import Database
from nexus_gateway.studio.storage.urls import check_neo4j_url, check_redis_url
from nexus_gateway.studio.storage.vault import NoKey

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nexus_gateway.realtime.hub import Hub
    from nexus_gateway.studio.intelligence.embedding.models import Embedder
    from nexus_gateway.studio.intelligence.search.store import SearchStore
    from nexus_gateway.studio.intelligence.store import EntityStore
    from nexus_gateway.studio.storage.cache import Cache
    from nexus_gateway.studio.storage.graph import Graph
    from nexus_gateway.studio.storage.postgres import Postgres
    from nexus_gateway.studio.storage.vault import Keys


class Engines(NamedTuple):
    """What keeps the studio's data; `where` is the database's file or URL."""

    where: Path | str
    database: Database | Postgres
    graph: Graph
    cache: Cache
    hub: Hub


def engines_of(settings: Settings) -> Engines:
    """Choose all of them; nothing is opened yet.

    Raises:
        SettingsError: the URL of a server has a part that is not supported.
    """
    where = database_path(settings)
    _check_url("redis_url", settings.redis_url, check_redis_url)
    _check_url("neo4j_url", settings.neo4j_url, check_neo4j_url)
    database = relational(
        where,
        pool=settings.database_pool,
        wait=settings.database_wait,
        timeout=settings.database_timeout,
    )
    return Engines(
        where, database, graph_of(settings, database), cache_of(settings), hub_of(settings)
    )


def database_path(settings: Settings) -> Path | str:
    """Tell where the database is: a file as set, or in the data folder; or a server's URL.

    Raises:
        SettingsError: the URL is of no engine that is known.
    """
    try:
        return location(settings.database_url, settings.data_dir)
    except ValueError as exc:
        raise SettingsError(f"database_url: {exc}") from exc


def _check_url(key: str, url: str | None, check: Callable[[str], None]) -> None:
    if url is None:
        return
    try:
        check(url)
    except ValueError as exc:
        raise SettingsError(f"{key}: {exc}") from exc


def graph_of(settings: Settings, database: Database | Postgres | None = None) -> Graph:
    """Choose the graph: Neo4j where it is set, or a file in the data folder; not yet opened."""
    if settings.neo4j_url is None or settings.neo4j_password is None:
        graph = EmbeddedGraph(settings.data_dir / "graph.kgl")
        # Replicas share a PostgreSQL, and no file.
        if database is None or isinstance(database, Database):
            return graph
        return OwnedGraph(graph, database)
    return Neo4jGraph(
        settings.neo4j_url,
        user=settings.neo4j_user,
        password=settings.neo4j_password.reveal(),
    )


def owned(graph: Graph) -> bool:
    """Tell whether this replica may use a graph now."""
    return not isinstance(graph, OwnedGraph) or graph.owned


def cache_of(settings: Settings) -> Cache:
    """Choose the cache: in the Redis that replicas share, or in this process; not yet opened."""
    if settings.redis_url is None:
        return LocalCache()
    from nexus_gateway.studio.storage.cache_redis import RedisCache
    from nexus_gateway.studio.storage.cache_shared import SharedCache

    return SharedCache(RedisCache(settings.redis_url, prefix=settings.redis_prefix))


def sealing_keys(settings: Settings) -> Keys:
    """Give the keys of secrets at rest, read when they are first needed."""

    @once
    def keys() -> tuple[bytes, ...]:
        try:
            return tuple(settings.sealing_keys())
        except SettingsError as error:
            raise NoKey(str(error)) from error

    return keys


def entity_store(
    database: Database | Postgres, *, told: Callable[[], None] = lambda: None
) -> EntityStore:
    """Keep entities in a database of either engine; `told` is called after each change."""
    if isinstance(database, Database):
        return SqliteEntities(database, told=told)
    from nexus_gateway.studio.intelligence.postgres.store import PostgresEntities

    return PostgresEntities(database, told=told)


def search_store(database: Database | Postgres) -> SearchStore:
    """Find entities in a database of either engine."""
    if isinstance(database, Database):
        return SqliteSearch(database)
    from nexus_gateway.studio.intelligence.search.postgres import PostgresSearch

    return PostgresSearch(database)


def embedder_of(settings: Settings) -> Embedder:
    """Choose what makes vectors: a provider where it is set, or words and their parts."""
    if settings.embeddings_url is None:
        return HashedWords()
    from nexus_gateway.studio.intelligence.embedding.provider import Provider

    key = settings.embeddings_key
    return Provider(
        settings.embeddings_url,
        settings.embeddings_model,
        key=None if key is None else key.reveal(),
        batch=settings.embeddings_batch,
        timeout=settings.embeddings_timeout,
    )


def planned_migrations(
    settings: Settings, direction: Literal["up", "down"], to: int | None
) -> list[str]:
    """List the migrations that would be applied or taken back, in that order.

    Raises:
        SettingsError: the database's URL has a part that is not supported.
        StorageError: the database cannot be read, or `to` is no target in that direction.
    """
    return migrations.planned(database_path(settings), direction, to=to)


def migrate_database(settings: Settings, direction: str, to: int | None) -> list[str]:
    """Bring the database's tables up or down, or tell how they stand; lines for people.

    Raises:
        StorageError: the database cannot be migrated.
    """
    database = database_path(settings)
    match direction:
        case "up":
            return [f"applied {name}" for name in migrations.up(database, to=to)] or ["up to date"]
        case "down":
            names = migrations.down(database, to=to)
            return [f"took back {name}" for name in names] or ["nothing to take back"]
        case _:
            states = migrations.status(database)
            return [f"{s.number:04}_{s.name}  {s.applied_at or 'missing'}" for s in states]
