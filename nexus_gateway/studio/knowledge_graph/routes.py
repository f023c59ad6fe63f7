"""`/api/knowledge-graph`: the chains; what they call is in the files of handlers.

A graph belongs to the tenant of the caller's token, and a token without one is refused. ETags and
conditional headers are as in intelligence (RFC 9110, section 13). A node that was merged into
another answers 308 with the other's place, on every path that names it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_gateway import (
    Code,
    auth,
    body,
    delete,
    get,
    header,
    param,
    patch,
    path,
    post,
    put,
    query,
    query_method,
)
from nexus_gateway.studio.etags import AnyTag, EntityTags
from nexus_gateway.studio.fields import EntityId
from nexus_gateway.studio.knowledge_graph.callers import refuse
from nexus_gateway.studio.knowledge_graph.edge_handlers import Edges
from nexus_gateway.studio.knowledge_graph.explore import Explorer
from nexus_gateway.studio.knowledge_graph.graph_handlers import Whole
from nexus_gateway.studio.knowledge_graph.models import (
    Bulk,
    Edge,
    EdgeDraft,
    EdgeId,
    EdgePatch,
    EdgeSelection,
    Merge,
    Moment,
    Node,
    NodeDraft,
    NodePatch,
    NodeReplacement,
    NodeSelection,
    PathQuery,
    SubgraphQuery,
    Walk,
)
from nexus_gateway.studio.knowledge_graph.node_handlers import Nodes
from nexus_gateway.studio.knowledge_graph.query import Querying, Question
from nexus_gateway.studio.knowledge_graph.query_handlers import Queries
from nexus_gateway.studio.knowledge_graph.stats import Statistics
from nexus_gateway.studio.ndjson import NDJSON

if TYPE_CHECKING:
    from nexus_gateway import Filter, Routes
    from nexus_gateway.studio.knowledge_graph.service import KnowledgeGraph
    from nexus_gateway.studio.knowledge_graph.store import GraphStore

BULK_BYTES = 16 << 20

NODE = param("entity_id", EntityId)
EDGE = param("edge_id", EdgeId)
room = path("api") / "knowledge-graph"
nodes = room / "nodes"
edges = room / "edges"
LONGEST = 15.0
"""Seconds that the route of queries has: more than a query may ask for, so that it says itself."""
EXPORTS = {"application/graphml+xml": str, "text/vnd.mermaid": str}
DOWN: Code = "database_error"
LATE: Code = "deadline_exceeded"


def routes(service: KnowledgeGraph, store: GraphStore, limited: Filter[()]) -> Routes:
    """List the routes of the graph; `limited` is asked of every caller once it is known."""
    explorer = Explorer(store)
    statistics = Statistics(store)
    return (
        _nodes(Nodes(service, explorer), limited)
        | _edges(Edges(service, explorer), limited)
        | _whole(Whole(service, explorer, statistics), limited)
        | _queries(Queries(Querying(store, statistics)), limited)
    ).recover(refuse)


def _nodes(on: Nodes, limited: Filter[()]) -> Routes:
    read = auth(scope="knowledge-graph:read") & limited
    write = auth(scope="knowledge-graph:write") & limited
    if_match = header("if-match", EntityTags).optional()
    if_none_match = header("if-none-match", EntityTags).optional()
    if_absent = header("if-none-match", AnyTag).optional()
    accept = header("accept").optional()
    changed: Code = "precondition_failed"
    return (
        (nodes & post() & write & body(NodeDraft)).then(
            on.create, status=201, raises=["conflict", changed, DOWN]
        )
        | (nodes & get() & read & query(NodeSelection) & accept).then(
            on.page, streams={NDJSON: Node}, raises=[DOWN, LATE]
        )
        | (nodes / NODE & get() & read & query(Moment) & if_none_match).then(
            on.show, also=[304, 308], raises=["not_found", DOWN]
        )
        | (nodes / NODE & put() & write & if_match & if_absent & body(NodeReplacement)).then(
            on.put, also=[201, 308], raises=[changed, DOWN]
        )
        | (nodes / NODE & patch() & write & if_match & body(NodePatch)).then(
            on.patch, also=[308], raises=["not_found", changed, DOWN]
        )
        | (nodes / NODE & delete() & write & if_match).then(
            on.remove, status=204, also=[308], raises=["not_found", changed, DOWN]
        )
        | (nodes / NODE / "history" & get() & read).then(on.history, raises=["not_found", DOWN])
        | (nodes / NODE / "merge" & post() & write & if_match & body(Merge)).then(
            on.merge, also=[308], raises=["not_found", changed, DOWN]
        )
        | (nodes / NODE / "neighbours" & get() & read & query(Walk)).then(
            on.neighbours, also=[308], raises=["not_found", DOWN, LATE]
        )
    )


def _edges(on: Edges, limited: Filter[()]) -> Routes:
    read = auth(scope="knowledge-graph:read") & limited
    write = auth(scope="knowledge-graph:write") & limited
    if_match = header("if-match", EntityTags).optional()
    if_none_match = header("if-none-match", EntityTags).optional()
    if_absent = header("if-none-match", AnyTag).optional()
    accept = header("accept").optional()
    changed: Code = "precondition_failed"
    return (
        (edges & post() & write & body(EdgeDraft)).then(
            on.create, status=201, raises=["conflict", changed, DOWN]
        )
        | (edges & get() & read & query(EdgeSelection) & accept).then(
            on.page, streams={NDJSON: Edge}, raises=[DOWN, LATE]
        )
        | (edges / EDGE & get() & read & query(Moment) & if_none_match).then(
            on.show, also=[304], raises=["not_found", DOWN]
        )
        | (edges / EDGE & put() & write & if_match & if_absent & body(EdgeDraft)).then(
            on.put, also=[201], raises=[changed, DOWN]
        )
        | (edges / EDGE & patch() & write & if_match & body(EdgePatch)).then(
            on.patch, raises=["not_found", changed, DOWN]
        )
        | (edges / EDGE & delete() & write & if_match).then(
            on.remove, raises=["not_found", changed, DOWN]
        )
        | (edges / EDGE / "history" & get() & read).then(on.history, raises=["not_found", DOWN])
    )


def _whole(on: Whole, limited: Filter[()]) -> Routes:
    read = auth(scope="knowledge-graph:read") & limited
    write = auth(scope="knowledge-graph:write") & limited
    return (
        (room / "bulk" & post() & write & body(Bulk, max_bytes=BULK_BYTES)).then(
            on.bulk, timeout=30, raises=["conflict", "precondition_failed", DOWN]
        )
        | (room / "paths" & get() & read & query(PathQuery)).then(
            on.paths, also=[308], raises=["not_found", DOWN, LATE]
        )
        | (room / "subgraph" & get() & read & query(SubgraphQuery)).then(
            on.subgraph, also=[308], streams=EXPORTS, raises=["not_found", DOWN, LATE]
        )
        | (room / "stats" & get() & read).then(on.stats, raises=[DOWN, LATE])
        | (room / "schema" & get() & read).then(on.schema, raises=[DOWN, LATE])
    )


def _queries(on: Queries, limited: Filter[()]) -> Routes:
    either = post() | query_method()
    accept = header("accept").optional()
    wrong: list[Code] = ["permission_denied", "validation_error"]
    here = room / "query" & either & auth(scope="knowledge-graph:read") & limited
    # The same question, for those who may read what the other room keeps.
    there = path("api") / "intelligence" / "knowledge-graph" / "query"
    there_too = there & either & auth(scope="intelligence:read") & limited
    return (here & accept & body(Question)).then(
        on.query, timeout=LONGEST, streams=[NDJSON], raises=[*wrong, DOWN, LATE]
    ) | (there_too & accept & body(Question)).then(
        on.query,
        name="Queries.query_of_intelligence",
        timeout=LONGEST,
        streams=[NDJSON],
        raises=[*wrong, DOWN, LATE],
    )
