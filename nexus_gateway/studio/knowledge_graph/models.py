"""What the knowledge graph keeps and answers, as structs; their limits are what requests obey."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nexus_gateway.studio.conditions import version_name
from nexus_gateway.studio.fields import (
    WRITTEN_PLAIN,
    AskedTag,
    AskedType,
    EntityId,
    EntityType,
    JsonObject,
    Name,
    Tags,
    check_depth,
    check_moments,
    check_plain,
    check_text,
)
from nexus_gateway.values.field_error import FieldError

EdgeType: TypeAlias = Annotated[
    str,
    Meta(
        max_length=64,
        pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$",
        description="What the edge says: a word that a query can name.",
        examples=["depends"],
    ),
]
EdgeId: TypeAlias = Annotated[str, Meta(min_length=1, max_length=160)]
EdgeKey: TypeAlias = Annotated[
    str,
    Meta(
        max_length=64,
        description="Tells edges of one type between two nodes apart.",
        extra_json_schema=WRITTEN_PLAIN,
    ),
]
Origin: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=256,
        description="Where it is known from.",
        extra_json_schema=WRITTEN_PLAIN,
    ),
]
Time: TypeAlias = Annotated[datetime, Meta(tz=True)]
Cursor: TypeAlias = Annotated[str, Meta(min_length=1, max_length=1024)]
Direction: TypeAlias = Literal["out", "in", "both"]

DEPTH = 6
"""Steps that a walk may take."""


class Stamp(msgspec.Struct, frozen=True):
    """When a change is made, and by which subject."""

    at: datetime
    by: str


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One thing of the graph.

    aliases: ids of nodes that were merged into it; they lead to it.
    attributes: a JSON object; kept as JSON, since most answers only pass it on.
    valid_from, valid_to: when it holds in the world; the end is excluded, none is open.
    revision: 1 when it is made, one more with each change.
    """

    entity_id: str
    entity_type: str
    name: str | None = None
    tags: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    attributes: JsonObject
    origin: str | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str
    revision: int


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """What one node has to do with another; its fields are as those of `Node`.

    edge_id: made of the rest of its identity: `source`, `target`, `type` and `key`.
    """

    edge_id: str
    source: str
    target: str
    type: str
    key: str = ""
    attributes: JsonObject
    origin: str | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str
    revision: int


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """What a client decides of nodes and edges alike."""

    attributes: dict[str, object] = {}
    origin: Origin | None = None
    valid_from: Time | None = None
    valid_to: Time | None = None

    def __post_init__(self) -> None:
        """Check what a schema cannot say; the error becomes one of the body."""
        check_plain(self, self.origin or "")
        check_depth(self.attributes)
        check_moments(self, "valid_from", "valid_to")
        check_span(self.valid_from, self.valid_to)


class NodeContent(Fact, frozen=True, kw_only=True):
    """All that a client decides of a node, but for its id."""

    entity_type: EntityType
    name: Name | None = None
    tags: Tags = ()

    def __post_init__(self) -> None:
        """Check what a schema cannot say; the error becomes one of the body."""
        super().__post_init__()
        check_plain(self, self.entity_type, *self.tags)
        check_text(self, "name")


class NodeDraft(NodeContent, frozen=True, kw_only=True):
    """A node as it is first given."""

    entity_id: EntityId

    def __post_init__(self) -> None:
        """Check what a schema cannot say; the error becomes one of the body."""
        super().__post_init__()
        check_plain(self, self.entity_id)


class NodeReplacement(NodeContent, frozen=True, kw_only=True):
    """A node as it shall be; its id is the path's, and may be repeated."""

    entity_id: EntityId | None = None


class EdgeDraft(Fact, frozen=True, kw_only=True):
    """An edge as it is given: both nodes must be there."""

    source: EntityId
    target: EntityId
    type: EdgeType
    key: EdgeKey = ""

    def __post_init__(self) -> None:
        """Check what a schema cannot say; the error becomes one of the body."""
        super().__post_init__()
        check_plain(self, self.source, self.target, self.type, self.key)


class FactPatch(msgspec.Struct, frozen=True, kw_only=True):
    """A merge patch (RFC 7396): what is not named stays, `null` removes."""

    attributes: dict[str, object] | UnsetType | None = UNSET
    origin: Origin | UnsetType | None = UNSET
    valid_from: Time | UnsetType | None = UNSET
    valid_to: Time | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        """Check what a schema cannot say; the error becomes one of the body."""
        check_plain(self, self.origin or "")
        check_depth(self.attributes)
        check_moments(self, "valid_from", "valid_to")


class EdgePatch(FactPatch, frozen=True, kw_only=True):
    """A merge patch of an edge; what identifies it cannot be changed."""


class NodePatch(FactPatch, frozen=True, kw_only=True):
    """A merge patch of a node."""

    entity_type: EntityType | UnsetType = UNSET
    name: Name | UnsetType | None = UNSET
    tags: Tags | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        """Check what a schema cannot say; the error becomes one of the body."""
        super().__post_init__()
        check_plain(self, *(self.tags or ()))
        check_text(self, "name")
        if self.entity_type is not UNSET:
            check_plain(self, self.entity_type)


class Bulk(msgspec.Struct, frozen=True):
    """Nodes and edges to create or replace, all or none; an edge may join nodes of the same."""

    nodes: Annotated[tuple[NodeDraft, ...], Meta(max_length=2000)] = ()
    edges: Annotated[tuple[EdgeDraft, ...], Meta(max_length=5000)] = ()


class Tally(msgspec.Struct, frozen=True):
    """How many of a bulk were new, other than before, or the same."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Count both."""
        return Tally(
            self.created + other.created,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
        )


class Loaded(msgspec.Struct, frozen=True):
    """What became of a bulk."""

    nodes: Tally
    edges: Tally


class Taken(msgspec.Struct, frozen=True):
    """What became of nodes and edges that were taken each for itself.

    refused: why, by the id of the node or edge.
    """

    loaded: Loaded
    refused: dict[str, str]


class Moment(msgspec.Struct, frozen=True):
    """As of when to answer; without it, all that is known now."""

    as_of: datetime | None = None


class NodeSelection(Moment, frozen=True):
    """Which nodes to list, in the order of their ids."""

    type: AskedType | None = None
    tag: AskedTag | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50
    cursor: Cursor | None = None


class EdgeSelection(Moment, frozen=True):
    """Which edges to list, in the order of their sources."""

    source: EntityId | None = None
    target: EntityId | None = None
    type: EdgeType | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50
    cursor: Cursor | None = None


class NodePage(msgspec.Struct, frozen=True):
    """A part of a list of nodes, and where it goes on."""

    items: tuple[Node, ...]
    next_cursor: str | None


class EdgePage(msgspec.Struct, frozen=True):
    """A part of a list of edges, and where it goes on."""

    items: tuple[Edge, ...]
    next_cursor: str | None


class Walk(Moment, frozen=True):
    """How far to go from a node, along which edges.

    group_by: an attribute of a single value, or `entity_type`: count the nodes by it.
    """

    depth: Annotated[int, Meta(ge=1, le=DEPTH)] = 1
    direction: Direction = "both"
    type: list[EdgeType] = []
    limit: Annotated[int, Meta(ge=0, le=10_000)] = 100
    group_by: Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")] | None = None


class Neighbour(msgspec.Struct, frozen=True):
    """A node, and how many steps away it is."""

    node: Node
    distance: int


class Group(msgspec.Struct, frozen=True):
    """How many nodes share a value; null are those without."""

    value: bool | int | float | str | None
    count: int


class Neighbours(msgspec.Struct, frozen=True):
    """The nodes around one, the nearest first.

    total: how many there are, beyond `limit` too.
    truncated: whether the walk was ended by its cap, so that there may be more still.
    """

    entity_id: str
    items: tuple[Neighbour, ...]
    total: int
    groups: tuple[Group, ...] | None
    truncated: bool


class PathQuery(Moment, frozen=True, kw_only=True):
    """Which ways to look for: the shortest, or all simple ones."""

    source: EntityId
    target: EntityId
    all: bool = False
    max_depth: Annotated[int, Meta(ge=1, le=DEPTH)] = DEPTH
    direction: Direction = "out"
    type: list[EdgeType] = []
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class Way(msgspec.Struct, frozen=True):
    """A way: its nodes in order, and the edge of each step."""

    length: int
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


class Ways(msgspec.Struct, frozen=True):
    """The ways from a node to another, the shortest first; none where nothing leads there."""

    source: str
    target: str
    paths: tuple[Way, ...]
    truncated: bool


class SubgraphQuery(Moment, frozen=True, kw_only=True):
    """Which part of the graph to export: what is around a node, or everything up to a limit."""

    root: EntityId | None = None
    depth: Annotated[int, Meta(ge=0, le=DEPTH)] = 2
    direction: Direction = "both"
    type: list[EdgeType] = []
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 1000
    format: Literal["json", "graphml", "mermaid"] = "json"


class Subgraph(msgspec.Struct, frozen=True):
    """Nodes, and the edges between them.

    truncated: whether there were more nodes or edges than the limit.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    truncated: bool


class NodeVersion(msgspec.Struct, frozen=True):
    """What was known of a node from `node.updated_at` until then; `until` is null for what is.

    ended: what ended it, where no further version followed: `deleted`, or `merged`; and by whom.
    """

    node: Node
    until: datetime | None = None
    ended: str | None = None
    ended_by: str | None = None


class EdgeVersion(msgspec.Struct, frozen=True):
    """As `NodeVersion`, of an edge."""

    edge: Edge
    until: datetime | None = None
    ended: str | None = None
    ended_by: str | None = None


class NodeHistory(msgspec.Struct, frozen=True):
    """All versions of a node, the newest first."""

    entity_id: str
    items: tuple[NodeVersion, ...]


class EdgeHistory(msgspec.Struct, frozen=True):
    """All versions of an edge, the newest first."""

    edge_id: str
    items: tuple[EdgeVersion, ...]


class Merge(msgspec.Struct, frozen=True):
    """Which node to take into the path's: its id becomes an alias."""

    duplicate: EntityId


class Merged(msgspec.Struct, frozen=True):
    """What a merge did.

    moved: edges that now belong to the node; joined: those that it had already; dropped: those
    between the two.
    """

    node: Node
    moved: int
    joined: int
    dropped: int


class Count(msgspec.Struct, frozen=True):
    """How many there are of a kind."""

    value: str
    count: int


class Stats(msgspec.Struct, frozen=True):
    """How large the graph is."""

    nodes: int
    edges: int
    aliases: int
    versions: int
    node_types: tuple[Count, ...]
    edge_types: tuple[Count, ...]


class NodeKind(msgspec.Struct, frozen=True):
    """A type of nodes: how many, and how many of them have each attribute."""

    type: str
    count: int
    properties: tuple[Count, ...]


class EdgeKind(msgspec.Struct, frozen=True):
    """A type of edges between two types of nodes."""

    type: str
    source_type: str
    target_type: str
    count: int


class Schema(msgspec.Struct, frozen=True):
    """Which types there are, what they have and how they hang together."""

    nodes: tuple[NodeKind, ...]
    edges: tuple[EdgeKind, ...]


def check_span(start: datetime | None, end: datetime | None) -> None:
    """Refuse a time that ends before it begins.

    Raises:
        FieldError: it does.
    """
    if start is not None and end is not None and start >= end:
        raise FieldError("valid_to", "must be after valid_from")


def edge_id(source: str, target: str, type: str, key: str = "") -> str:  # noqa: A002 - the field's name
    """Make an edge's id of its identity; it begins with the source, by which it is found.

    >>> edge_id("a", "b", "depends")
    'a~H1BRQ85Z4A_4Jz0hPzmhQw'
    """
    rest = msgspec.json.encode((target, type, key))
    digest = hashlib.blake2b(rest, digest_size=16).digest()
    return f"{source}~{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def source_of(edge_id: str) -> str:
    """Read the source out of an edge's id; of what is none, the whole text.

    >>> source_of("a~b~hJ5U8Qjj9CeEkRH4GwXvPA")
    'a~b'
    """
    return edge_id.rpartition("~")[0] or edge_id


def version_of(record: Node | Edge) -> str:
    """Name the state of a node or an edge."""
    return version_name(record.revision, record.created_at)
