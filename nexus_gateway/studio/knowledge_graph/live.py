"""What is told of changes to who listens: an event for each, on channels of the hub.

    graph:{tenant}:changes           every change; of a large load, one sum
    graph:{tenant}:node:{entity_id}  changes of one node and of the edges at it
    graph:{tenant}:near:{entity_id}  these, and changes of the nodes one step away

The answers of queries have channels of their own (`live_queries`). A node with more than 500 edges
has no neighbours in this sense: its change is told on its own channels, and not to all who are
near. Loads of more than 10 nodes are told to nobody near.

Events are sent once the change is kept. A hub delivers at most once: who must not miss any reads
the history, which is complete.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import msgspec

from nexus_gateway.studio.knowledge_graph.models import Edge, Node
from nexus_gateway.values.segment import segment

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nexus_gateway.studio.knowledge_graph.edits import Change

_logger = logging.getLogger(__name__)

EVENTS = 200
"""Changes that are told one by one; of more, how many they were."""

NEAR = 10
"""Nodes of one change whose neighbours are told."""
MOST = 500
"""Edges at a node from which on its neighbours are too many to be told."""

Verb: TypeAlias = Literal["created", "updated", "deleted", "merged"]


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """One change: the state after it, or, of what ended, the last one.

    entity_id, edge_id: instead of a node or an edge that is too large for a message.
    """

    change: Verb
    node: Node | None = None
    edge: Edge | None = None
    entity_id: str | None = None
    edge_id: str | None = None


class Bulk(msgspec.Struct, frozen=True):
    """Many changes at once."""

    nodes: int
    edges: int
    change: Literal["bulk"] = "bulk"


class Publisher(Protocol):
    """Where events go; `channel` is named as above."""

    async def publish(self, channel: str, value: object) -> object:
        """Publish to whoever is subscribed."""
        ...


class Around(Protocol):
    """What tells which edges are at a node, or some of them where there are more than 500."""

    async def __call__(self, tenant: str, ids: Sequence[str]) -> Sequence[Ends]:
        """Tell edges that begin or end at any of the nodes."""
        ...


class Ends(Protocol):
    """An edge's ends."""

    @property
    def source(self) -> str:
        """Where it begins."""
        ...

    @property
    def target(self) -> str:
        """Where it ends."""
        ...


class Nobody:
    """A publisher where there is no hub."""

    async def publish(self, channel: str, value: object) -> None:
        """Let it be."""


class Live:
    """Tells a tenant's listeners what was changed; what cannot be told is logged, never raised."""

    def __init__(self, publisher: Publisher, around: Around | None = None) -> None:
        self._publisher = publisher
        self._around = around

    async def tell(
        self, tenant: str, nodes: Sequence[Change[Node]], edges: Sequence[Change[Edge]]
    ) -> None:
        """Publish changes that are kept."""
        real_nodes = [change for change in nodes if change.before is not change.after]
        real_edges = [change for change in edges if change.before is not change.after]
        try:
            if len(real_nodes) + len(real_edges) > EVENTS:
                total = Bulk(len(real_nodes), len(real_edges))
                await self._publisher.publish(f"graph:{segment(tenant)}:changes", total)
                return
            for channel, event in _events(tenant, real_nodes, real_edges):
                await self._publish(channel, event)
            if self._around is not None and len(real_nodes) <= NEAR:
                for node in real_nodes:
                    await self._tell_near(tenant, node, real_edges)
        except Exception:
            # The change is kept: whoever made it must not be told otherwise.
            _logger.exception("a change of the graph could not be published")

    async def _tell_near(
        self, tenant: str, change: Change[Node], edges: Sequence[Change[Edge]]
    ) -> None:
        """Tell of a node to whoever listens to a neighbour; edges that went with it count too."""
        assert self._around is not None  # noqa: S101 - the caller has looked
        name = change.kept.entity_id
        here = await self._around(tenant, [name])
        if len(here) >= MOST:
            return
        ended = [edge.kept for edge in edges if name in (edge.kept.source, edge.kept.target)]
        ends = {end for edge in (*here, *ended) for end in (edge.source, edge.target)}
        told = Event(_verb(change), node=change.kept)
        for end in sorted(ends - {name}):
            await self._publish(f"graph:{segment(tenant)}:near:{end}", told)

    async def _publish(self, channel: str, event: Event) -> None:
        """Publish a change; what is too large for a message by its id alone."""
        try:
            await self._publisher.publish(channel, event)
        except Exception as error:
            # A `HubError`; what publishes is not imported here, as this is no matter of HTTP.
            if getattr(error, "code", None) != "payload_too_large":
                raise
            entity_id = None if event.node is None else event.node.entity_id
            edge_id = None if event.edge is None else event.edge.edge_id
            named = Event(event.change, entity_id=entity_id, edge_id=edge_id)
            await self._publisher.publish(channel, named)


def _events(
    tenant: str, nodes: Iterable[Change[Node]], edges: Iterable[Change[Edge]]
) -> Iterable[tuple[str, Event]]:
    for node in nodes:
        told = Event(_verb(node), node=node.kept)
        yield f"graph:{segment(tenant)}:changes", told
        yield f"graph:{segment(tenant)}:node:{node.kept.entity_id}", told
        yield f"graph:{segment(tenant)}:near:{node.kept.entity_id}", told
    for edge in edges:
        told = Event(_verb(edge), edge=edge.kept)
        yield f"graph:{segment(tenant)}:changes", told
        for end in dict.fromkeys((edge.kept.source, edge.kept.target)):
            yield f"graph:{segment(tenant)}:node:{end}", told
            yield f"graph:{segment(tenant)}:near:{end}", told


def _verb(change: Change[Node] | Change[Edge]) -> Verb:
    if change.after is None:
        return change.ended
    return "created" if change.before is None else "updated"
