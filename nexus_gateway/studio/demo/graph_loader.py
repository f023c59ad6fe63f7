"""Loading a graph through the HTTP API: nodes, then edges, in bulks over one connection."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from nexus_gateway.studio.demo.loader import Sender, check_loaded
from nexus_gateway.studio.knowledge_graph.models import EdgeDraft, Loaded, NodeDraft, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")

TARGET = "/api/knowledge-graph/bulk"
NODES = 1000
EDGES = 2500
"""Nodes, and edges, of one request: below what the gateway takes in one transaction."""


class GraphSource(Protocol):
    """A graph's parts, the nodes first."""

    def nodes(self) -> Iterator[NodeDraft]:
        """Yield the nodes."""
        ...

    def edges(self) -> Iterator[EdgeDraft]:
        """Yield the edges, all of whose ends are among the nodes."""
        ...


class LoadedGraph(msgspec.Struct, frozen=True):
    """What became of a graph's nodes and edges."""

    loaded: Loaded
    seconds: float


def load_graph(
    graph: GraphSource, *, url: str, token: str, progress: Callable[[str, int], None]
) -> LoadedGraph:
    """Send a graph to a gateway; to send it again changes nothing.

    Args:
        graph: what to load; read as it is sent.
        url: the gateway, `http://127.0.0.1:8000`.
        token: a bearer token with a tenant and the scope `knowledge-graph:write`.
        progress: is told how many `nodes`, then `edges`, are loaded so far.

    Raises:
        DemoError: the gateway cannot be reached, or refuses for good.
    """
    started = time.perf_counter()
    nodes, edges = Tally(), Tally()
    sent_nodes = sent_edges = 0
    sender = Sender(url, token, target=TARGET)
    try:
        for some in _batches(graph.nodes(), NODES):
            nodes += _send(sender, {"nodes": some}).nodes
            sent_nodes += len(some)
            progress("nodes", _total(nodes))
        for more in _batches(graph.edges(), EDGES):
            edges += _send(sender, {"edges": more}).edges
            sent_edges += len(more)
            progress("edges", _total(edges))
    finally:
        sender.close()
    check_loaded("nodes", sent_nodes, _total(nodes))
    check_loaded("edges", sent_edges, _total(edges))
    return LoadedGraph(Loaded(nodes, edges), time.perf_counter() - started)


def _send(sender: Sender, bulk: dict[str, list[T]]) -> Loaded:
    answer = sender.deliver(msgspec.json.encode(bulk), "application/json")
    return msgspec.json.decode(answer, type=Loaded)


def _total(tally: Tally) -> int:
    return tally.created + tally.updated + tally.unchanged


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    waiting = iter(items)
    while some := list(islice(waiting, size)):
        yield some
