"""The composition of the studio: builds the objects of every room and joins their routes.

The only file that names every room; `engines` chooses what they stand on. It holds no logic: what
is decided is decided in the rooms, in the settings, or by whoever writes another composition.
"""

from __future__ import annotations

import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

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
from nexus_gateway.document.docs_routes import contract_routes
from nexus_gateway.server import Application
from nexus_gateway.server.keys import key_ring
from nexus_gateway.studio import health
from nexus_gateway.studio.admin import routes as admin
from nexus_gateway.studio.admin.service import Revoking
from nexus_gateway.studio.admin.store import RevocationStore
from nexus_gateway.studio.dashboard import routes as dashboard
from nexus_gateway.studio.engines import (
    Engines,
    embedder_of,
    engines_of,
    entity_store,
    owned,
    sealing_keys,
    search_store,
)
from nexus_gateway.studio.feed import routes as feed
from nexus_gateway.studio.feed.graph import GraphSink, refresh
from nexus_gateway.studio.feed.hub import HubSink
from nexus_gateway.studio.feed.pending import PendingNodes
from nexus_gateway.studio.intelligence import import_routes
from nexus_gateway.studio.intelligence import routes as intelligence
from nexus_gateway.studio.intelligence.importing import Imports
from nexus_gateway.studio.intelligence.report import routes as report_routes
from nexus_gateway.studio.intelligence.report.later import KIND as REPORT_JOBS
from nexus_gateway.studio.intelligence.report.later import LaterReports
from nexus_gateway.studio.intelligence.report.service import Reports
from nexus_gateway.studio.intelligence.search import routes as search_routes
from nexus_gateway.studio.intelligence.search.indexer import Indexer
from nexus_gateway.studio.intelligence.search.models import Link
from nexus_gateway.studio.intelligence.search.opening import Opening
from nexus_gateway.studio.intelligence.service import Entities, now
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
from nexus_gateway.studio.knowledge_graph.live_queries import routes as live_query_routes
from nexus_gateway.studio.knowledge_graph.live_queries.channel import HubChannels
from nexus_gateway.studio.knowledge_graph.live_queries.service import CAPS as LIVE_CAPS
from nexus_gateway.studio.knowledge_graph.live_queries.service import LiveQueries
from nexus_gateway.studio.knowledge_graph.live_queries.store import LiveQueryStore
from nexus_gateway.studio.knowledge_graph.query import Querying
from nexus_gateway.studio.knowledge_graph.service import KnowledgeGraph
from nexus_gateway.studio.knowledge_graph.stats import Statistics
from nexus_gateway.studio.knowledge_graph.store import GraphStore
from nexus_gateway.studio.metrics import routes as metrics
from nexus_gateway.studio.realtime import routes as realtime
from nexus_gateway.studio.secrets import routes as secrets
from nexus_gateway.studio.storage.jobs import Jobs
from nexus_gateway.studio.storage.outbox import Outbox
from nexus_gateway.studio.storage.relational import migrated
from nexus_gateway.studio.storage.relay import Relay, Sink
from nexus_gateway.studio.storage.vault import Vault
from nexus_gateway.studio.storage.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from nexus_gateway import Filter
    from nexus_gateway.server.settings import Settings
    from nexus_gateway.studio.intelligence.embedding.models import Embedder
    from nexus_gateway.studio.intelligence.store import EntityStore

DESCRIPTION = (
    "The back ends of an AI studio behind one gateway. Every refusal has the same shape; `/errors`"
    " lists its codes."
)


class _Part(NamedTuple):
    """Some of the studio: what it serves, and what runs for it meanwhile, in order of opening.

    checks: what readiness asks of it.
    """

    routes: Routes
    running: tuple[AbstractAsyncContextManager[object], ...] = ()
    checks: Mapping[str, health.Dependency] = MappingProxyType({})


def compose(settings: Settings) -> Application:
    """Build the studio; nothing is opened before its lifespan is.

    Raises:
        SettingsError: a key cannot be read, or the database is of a kind that is not known.
    """
    ring = key_ring(settings)
    engines = engines_of(settings)
    limited, layers = _limited(settings), _layers(settings)
    outbox = Outbox(engines.database, holder=uuid.uuid4().hex)
    entities = entity_store(engines.database, told=outbox.wake)
    nodes = GraphStore(engines.graph)
    live = _live_queries(engines, nodes)
    # Asked once the gateway serves, when there is a relay.
    pending = PendingNodes(entities, outbox, nodes, lambda tenant: relay.taken("graph", tenant))
    knowledge = KnowledgeGraph(
        nodes,
        publisher=engines.hub,
        changed=live.changed,
        released=refresh(outbox),
        pending=pending.wait,
    )
    to_graph = GraphSink(entities, knowledge, refused=partial(outbox.refuse, "graph"))
    sinks: dict[str, Sink] = {"hub": HubSink(entities, engines.hub), "graph": to_graph}
    relay = Relay(outbox, sinks, able={"graph": partial(owned, engines.graph)}, patient={"graph"})
    jobs = Jobs(engines.database)
    parts = (
        _operations(settings, engines, outbox, limited),
        _intelligence(settings, engines, entities, nodes, jobs, limited=limited),
        _graph(engines, nodes, knowledge, live, jobs, limited=limited),
    )
    checks = {name: check for part in parts for name, check in part.checks.items()}
    rooms = _health(engines, relay, checks)
    for part in parts:
        rooms |= part.routes
    pages = contract_routes(
        rooms,
        title="NEXUS",
        version=_core.__version__,
        description=DESCRIPTION,
        layers=layers,
        hub=engines.hub.plan,
    )
    running = [one for part in parts for one in part.running]
    return Application(
        routes=_index() | dashboard.routes() | rooms | pages,
        layers=layers,
        tokens=ring.tokens,
        secrets=ring.secrets,
        bounds=settings.bounds(),
        hub=engines.hub,
        lifespan=partial(_opened, engines, *running, relay),
    )


def _operations(settings: Settings, engines: Engines, outbox: Outbox, limited: Filter[()]) -> _Part:
    """Build what operators ask for: figures, secrets, revocations, the hub."""
    revoking = Revoking(RevocationStore(engines.database), engines.hub)
    vault = Vault(engines.database, sealing_keys(settings), strict=settings.env == "production")
    routes = (
        metrics.routes()
        | feed.routes(outbox, limited)
        | secrets.routes(vault, limited)
        | realtime.routes(limited)
        | admin.routes(revoking, limited)
    )
    return _Part(routes, (vault, revoking))


def _graph(
    engines: Engines,
    nodes: GraphStore,
    knowledge: KnowledgeGraph,
    live: LiveQueries,
    jobs: Jobs,
    *,
    limited: Filter[()],
) -> _Part:
    """Build the knowledge graph, its ingest, and its live queries."""
    ingests = IngestStore(engines.database)
    bringing = Bringing(ingests, knowledge)
    # Apart from other jobs, which a long ingest would keep waiting; soon taken up after a crash.
    worker = Worker(
        jobs, {INGEST_JOBS: bringing.run}, partial(owned, engines.graph), slots=2, lease=10.0
    )
    routes = (
        knowledge_graph.routes(knowledge, nodes, limited)
        | ingest_routes.routes(Ingests(ingests, jobs), limited)
        | live_query_routes.routes(live, limited)
    )
    return _Part(routes, (worker, live))


def _live_queries(engines: Engines, nodes: GraphStore) -> LiveQueries:
    querying = Querying(nodes, Statistics(nodes), LIVE_CAPS)
    store = LiveQueryStore(engines.database)
    return LiveQueries(store, querying, HubChannels(engines.hub), now)


def _intelligence(
    settings: Settings,
    engines: Engines,
    store: EntityStore,
    nodes: GraphStore,
    jobs: Jobs,
    *,
    limited: Filter[()],
) -> _Part:
    """Build entities, their search and their report."""
    figures = {"graph": Statistics(nodes).stats}
    reports = Reports(store, now, sections=figures, cache=engines.cache)
    later = LaterReports(reports, jobs)
    worker = Worker(jobs, {REPORT_JOBS: later.make})
    found = search_store(engines.database)
    embedder = embedder_of(settings)
    opening = Opening(found, embedder, _Links(nodes), memory=settings.search_memory)
    indexer = Indexer(found, embedder, opening.refresh)

    async def changed(tenant: str) -> None:
        await indexer.changed(tenant)
        await reports.forget(tenant)

    entities = Entities(store, changed=changed)
    routes = (
        intelligence.routes(entities, limited)
        | search_routes.routes(opening, entities, limited)
        | import_routes.routes(Imports(store, now, changed=changed), limited)
        | report_routes.routes(reports, later, limited)
        | type_routes.routes(Types(EngineTypes(engines.database), now), limited)
    )
    checks = {"search": health.Dependency(indexer.progress, required=False)}
    return _Part(routes, (_closing(embedder), worker, indexer), checks)


def _health(engines: Engines, relay: Relay, checks: Mapping[str, health.Dependency]) -> Routes:
    dependencies = {
        "database": health.Dependency(engines.database.ping),
        "graph": health.Dependency(engines.graph.ping, required=False),
        "cache": health.Dependency(engines.cache.ping, required=False),
        "outbox": health.Dependency(relay.lag, required=False),
        **checks,
    }
    return health.routes(_core.__version__, dependencies)


@asynccontextmanager
async def _opened(
    engines: Engines, *running: AbstractAsyncContextManager[object]
) -> AsyncGenerator[None]:
    """Open the engines, then what runs on them, in their order; close them the other way round."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(migrated(engines.where, engines.database))
        await stack.enter_async_context(engines.graph)
        await stack.enter_async_context(engines.cache)
        for one in running:
            await stack.enter_async_context(one)
        yield


@asynccontextmanager
async def _closing(embedder: Embedder) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        embedder.close()


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
        cors=cors(settings.cors_origins, headers=settings.cors_headers)
        if settings.cors_origins
        else None,
        compress=compress(),
        limit=settings.limit(),
    )
