"""The composition of the studio: builds the objects of every room and joins their routes.

The only file that names every room. It holds no logic: what is decided is decided in the rooms, in
the settings, or by whoever writes another composition.
"""

from __future__ import annotations

import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache as once
from functools import partial
from typing import TYPE_CHECKING

from nexus_gateway import (
    Routes,
    _core,
    compress,
    cors,
    get,
    log,
    path,
    plan,
    public,
    rate_limit,
)
from nexus_gateway.contract import contract_routes
from nexus_gateway.keys import key_ring
from nexus_gateway.server import Application
from nexus_gateway.settings import Settings, SettingsError
from nexus_gateway.studio import health
from nexus_gateway.studio.admin import routes as admin
from nexus_gateway.studio.dashboard import routes as dashboard
from nexus_gateway.studio.feed import routes as feed
from nexus_gateway.studio.feed.graph import GraphSink
from nexus_gateway.studio.feed.hub import HubSink
from nexus_gateway.studio.intelligence import import_routes
from nexus_gateway.studio.intelligence import routes as intelligence
from nexus_gateway.studio.intelligence.embedding.local import HashedWords
from nexus_gateway.studio.intelligence.importing import Imports
from nexus_gateway.studio.intelligence.report import routes as report_routes
from nexus_gateway.studio.intelligence.report.later import KIND as REPORT_JOBS
from nexus_gateway.studio.intelligence.report.later import LaterReports
from nexus_gateway.studio.intelligence.report.service import Reports
from nexus_gateway.studio.intelligence.search import routes as search_routes
from nexus_gateway.studio.intelligence.search.indexer import Indexer
from nexus_gateway.studio.intelligence.search.models import Link
from nexus_gateway.studio.intelligence.search.opening import Opening
from nexus_gateway.studio.intelligence.search.sqlite import SqliteSearch
from nexus_gateway.studio.intelligence.service import Entities, now
from nexus_gateway.studio.intelligence.sqlite.store import SqliteEntities
from nexus_gateway.studio.intelligence.types import routes as type_routes
from nexus_gateway.studio.intelligence.types.service import Types
from nexus_gateway.studio.intelligence.types.store import EngineTypes
from nexus_gateway.studio.knowledge_graph import links
from nexus_gateway.studio.knowledge_graph import routes as knowledge_graph
from nexus_gateway.studio.knowledge_graph.ingest import routes as ingest_routes
from nexus_gateway.studio.knowledge_graph.ingest.bringing import Bringing
from nexus_gateway.studio.knowledge_graph.ingest.service import KIND as INGEST_JOBS
from nexus_gateway.studio.knowledge_graph.ingest.service import Ingests
from nexus_gateway.studio.knowledge_graph.ingest.store import IngestStore
from nexus_gateway.studio.knowledge_graph.service import KnowledgeGraph
from nexus_gateway.studio.knowledge_graph.stats import Statistics
from nexus_gateway.studio.knowledge_graph.store import GraphStore
from nexus_gateway.studio.metrics import routes as metrics
from nexus_gateway.studio.realtime import routes as realtime
from nexus_gateway.studio.realtime.channels import hub_of
from nexus_gateway.studio.secrets import routes as secrets
from nexus_gateway.studio.storage import migrations
from nexus_gateway.studio.storage.cache_local import LocalCache
from nexus_gateway.studio.storage.graph_embedded import EmbeddedGraph
from nexus_gateway.studio.storage.graph_neo4j import Neo4jGraph
from nexus_gateway.studio.storage.jobs import Jobs
from nexus_gateway.studio.storage.outbox import Outbox
from nexus_gateway.studio.storage.relational import location, migrated, relational
from nexus_gateway.studio.storage.relay import Relay
from nexus_gateway.studio.storage.sqlite import Database
from nexus_gateway.studio.storage.vault import NoKey, Vault
from nexus_gateway.studio.storage.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from nexus_gateway import Filter
    from nexus_gateway.studio.intelligence.embedding.models import Embedder
    from nexus_gateway.studio.intelligence.search.store import SearchStore
    from nexus_gateway.studio.intelligence.store import EntityStore
    from nexus_gateway.studio.storage.cache import Cache
    from nexus_gateway.studio.storage.graph import Graph
    from nexus_gateway.studio.storage.postgres import Postgres
    from nexus_gateway.studio.storage.vault import Keys

DESCRIPTION = (
    "The back ends of an AI studio behind one gateway. Every refusal has the same shape; `/errors`"
    " lists its codes."
)


def compose(settings: Settings) -> Application:
    """Build the studio; nothing is opened before its lifespan is.

    Raises:
        SettingsError: a key cannot be read, or the database is of a kind that is not known.
    """
    ring = key_ring(settings)
    where = database_path(settings)
    database = relational(
        where,
        pool=settings.database_pool,
        wait=settings.database_wait,
        timeout=settings.database_timeout,
    )
    graph = graph_of(settings)
    hub = hub_of(settings)
    cache = cache_of(settings)
    outbox = Outbox(database, holder=uuid.uuid4().hex)
    store = entity_store(database, told=outbox.wake)
    nodes = GraphStore(graph)
    knowledge = KnowledgeGraph(nodes, publisher=hub)
    to_graph = GraphSink(store, knowledge, calm=outbox.calm)
    relay = Relay(outbox, {"hub": HubSink(store, hub), "graph": to_graph})
    reports = Reports(store, now, sections={"graph": Statistics(nodes).stats}, cache=cache)
    jobs = Jobs(database)
    later = LaterReports(reports, jobs)
    worker = Worker(jobs, {REPORT_JOBS: later.make})
    ingests = IngestStore(database)
    bringing = Bringing(ingests, knowledge)
    # Apart from other jobs, which a long ingest would keep waiting; soon taken up after a crash.
    ingest_worker = Worker(jobs, {INGEST_JOBS: bringing.run}, slots=2, lease=10.0)
    found = search_store(database)
    embedder = embedder_of(settings)
    opening = Opening(found, embedder, _Links(nodes), memory=settings.search_memory)
    indexer = Indexer(found, embedder, opening.refresh)

    async def changed(tenant: str) -> None:
        await indexer.changed(tenant)
        await reports.forget(tenant)

    entities = Entities(store, changed=changed)
    dependencies = {
        "database": health.Dependency(database.ping),
        "graph": health.Dependency(graph.ping, required=False),
        "cache": health.Dependency(cache.ping, required=False),
        "outbox": health.Dependency(relay.lag, required=False),
    }
    production = settings.env == "production"
    vault = Vault(database, sealing_keys(settings), strict=production)
    limited = _limited(settings)
    layers = _layers(settings)
    rooms = (
        health.routes(_core.__version__, dependencies)
        | metrics.routes()
        | feed.routes(outbox, limited)
        | intelligence.routes(entities, limited)
        | search_routes.routes(opening, entities, limited)
        | knowledge_graph.routes(knowledge, nodes, limited)
        | ingest_routes.routes(Ingests(ingests, jobs), limited)
        | import_routes.routes(Imports(store, now, changed=changed), limited)
        | report_routes.routes(reports, later, limited)
        | secrets.routes(vault, limited)
        | type_routes.routes(Types(EngineTypes(database), now), limited)
        | realtime.routes(limited)
        | admin.routes(limited)
    )
    pages = contract_routes(
        rooms,
        title="NEXUS",
        version=_core.__version__,
        description=DESCRIPTION,
        layers=layers,
        hub=hub.plan,
    )
    return Application(
        routes=_index() | dashboard.routes() | rooms | pages,
        layers=layers,
        tokens=ring.tokens,
        secrets=ring.secrets,
        bounds=settings.bounds(),
        hub=hub,
        lifespan=partial(
            _opened,
            where,
            database,
            embedder,
            graph,
            cache,
            vault,
            worker,
            ingest_worker,
            indexer,
            relay,
        ),
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


def graph_of(settings: Settings) -> Graph:
    """Choose the graph: Neo4j where it is set, or a file in the data folder; not yet opened."""
    if settings.neo4j_url is None or settings.neo4j_password is None:
        return EmbeddedGraph(settings.data_dir / "graph.kgl")
    return Neo4jGraph(
        settings.neo4j_url,
        user=settings.neo4j_user,
        password=settings.neo4j_password.reveal(),
    )


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


@asynccontextmanager
async def _opened(
    where: Path | str,
    database: Database | Postgres,
    embedder: Embedder,
    *others: AbstractAsyncContextManager[object],
) -> AsyncGenerator[None]:
    """Open the database, then the others in their order; close them the other way round."""
    async with AsyncExitStack() as stack:
        stack.callback(embedder.close)
        for one in (migrated(where, database), *others):
            await stack.enter_async_context(one)
        yield


class _Links:
    """What search sees of the graph."""

    def __init__(self, nodes: GraphStore) -> None:
        self._nodes = nodes

    async def links(self, tenant: str, ids: Sequence[str]) -> list[Link]:
        """Tell the edges at some entities; nobody's graph has none."""
        if not tenant:
            return []
        return [Link(*edge) for edge in await links.links(self._nodes, tenant, ids)]


def _index() -> Routes:
    links = [("location", "/docs")]
    start = (path("") & get() & public()).answer("", status=303, headers=links, name="index")
    return Routes(start)


def _limited(settings: Settings) -> Filter[()]:
    """Limit each subject as the settings say, or nobody."""
    if not settings.rate_limit:
        return path("")
    return rate_limit(settings.rate_limit, by="subject", name="subject")


def _layers(settings: Settings) -> plan.Layers:
    return plan.Layers(
        log=log(settings.log_level),
        cors=cors(settings.cors_origins) if settings.cors_origins else None,
        compress=compress(),
        limit=settings.limit(),
    )
