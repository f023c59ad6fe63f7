"""Nodes and edges as properties of the graph, and back.

Attributes are kept whole as JSON, and those that a graph can hold (one value, or a list of one
kind) beside it under their own names, where a query finds them. Times are microseconds since 1970.
`updated_at` is kept as `changed_at`: one engine hides a property of that name from lists of nodes.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias, cast

import msgspec

from nexus_gateway.studio.knowledge_graph.models import Edge, EdgeVersion, Node, NodeVersion

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nexus_gateway.studio.storage.graph import Value

Properties: TypeAlias = "dict[str, Value]"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = (datetime.min.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
_LAST = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
PROPERTIES = 64
"""Attributes of one thing that are kept under their own names."""
TEXT = 4096
"""Characters of an attribute that is; longer texts are in the JSON only."""

_PROVENANCE = (
    "attributes",
    "origin",
    "valid_from",
    "valid_to",
    "created_at",
    "created_by",
    "changed_at",
    "updated_by",
    "revision",
)
NODE = ("entity_id", "entity_type", "name", "tags", "aliases", *_PROVENANCE)
OPTIONAL = ("origin", "valid_from", "valid_to")
"""Columns of a node that may be null, but for its name: the embedded engine makes one up then."""
EDGE = ("edge_id", "key", *_PROVENANCE)
_END = ("until", "ended", "ended_by")
_NODE_VERSION = (*NODE, *_END)
_EDGE_VERSION = ("edge_id", "source", "target", "edge_type", "key", *_PROVENANCE, *_END)
_KEPT = (
    *("id", "title", "type", "updated_at", "git_sha", "modified_by"),
    *("label", "node_type", "connection_type", "start", "end"),
)
RESERVED = frozenset(
    (
        *(*_NODE_VERSION, *_EDGE_VERSION, *_KEPT),
        *("tenant", "owner", "subject", "version", "ended_with"),
    )
)
"""Names that are not those of attributes: ours, and some that an engine keeps."""

_APART = "attribute_"
"""What stands before the name of an attribute that would be one of those."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_WIDE = 1 << 63


def node_columns(name: str) -> str:
    """Write what RETURN says for a node."""
    return ", ".join(f"{name}.{column}" for column in NODE)


def edge_columns(name: str, source: str, target: str) -> str:
    """Write what RETURN says for an edge between two nodes."""
    ends = f"{source}.entity_id, {target}.entity_id, type({name})"
    first, *rest = (f"{name}.{column}" for column in EDGE)
    return ", ".join((first, ends, *rest))


def version_columns(name: str, *, edge: bool) -> str:
    """Write what RETURN says for a version."""
    columns = _EDGE_VERSION if edge else _NODE_VERSION
    return ", ".join(f"{name}.{column}" for column in columns)


def node_of(row: Sequence[Value]) -> Node:
    """Read a node out of its columns."""
    (entity_id, entity_type, name, tags, aliases), rest = row[:5], row[5:14]
    return msgspec.convert(
        {
            "entity_id": entity_id,
            "entity_type": entity_type,
            "name": name,
            "tags": tags or (),
            "aliases": aliases or (),
            **_provenance(rest),
        },
        Node,
    )


def edge_of(row: Sequence[Value]) -> Edge:
    """Read an edge out of its columns."""
    edge_id, source, target, kind, key = row[:5]
    ends = {"edge_id": edge_id, "source": source, "target": target, "type": kind, "key": key or ""}
    return msgspec.convert({**ends, **_provenance(row[5:14])}, Edge)


def node_version_of(row: Sequence[Value]) -> NodeVersion:
    """Read a version of a node out of its columns."""
    return NodeVersion(node_of(row), *_end(row[14:]))


def edge_version_of(row: Sequence[Value]) -> EdgeVersion:
    """Read a version of an edge out of its columns."""
    return EdgeVersion(edge_of(row), *_end(row[14:]))


def node_properties(node: Node) -> Properties:
    """Write a node as properties, its tenant apart."""
    return {**own_properties(node.attributes), **fixed_properties(node)}


def fixed_properties(node: Node) -> Properties:
    """Write what every node has, its tenant apart."""
    return {
        "entity_id": node.entity_id,
        "entity_type": node.entity_type,
        "name": node.name,
        "tags": list(node.tags),
        "aliases": list(node.aliases),
        **_written(node),
    }


def edge_properties(edge: Edge) -> Properties:
    """Write an edge as properties, its tenant apart."""
    own = own_properties(edge.attributes)
    return {**own, "edge_id": edge.edge_id, "key": edge.key, **_written(edge)}


def version_properties(
    record: Node | Edge, tenant: str, until: datetime, ended: str | None, by: str, ended_with: str
) -> Properties:
    """Write what was known of a node or an edge until now, and what ended it.

    `ended_with` names the version of the node whose deletion ended an edge: restoring that node
    restores the edge.
    """
    subject = subject_of(tenant, record)
    # The embedded engine refuses to look for a property that no version has: where only nodes were
    # changed none would have those of edges, and the other way round.
    if isinstance(record, Node):
        content = {**node_properties(record), "source": "", "target": "", "edge_type": ""}
    else:
        content = {**_ends(record), "entity_id": "", "entity_type": "", "tags": []}
    return {
        **content,
        "owner": tenant,
        "subject": subject,
        "version": version_name(subject, record.revision),
        "ended_with": ended_with,
        "until": micros(until),
        "ended": ended,
        "ended_by": None if ended is None else by,
    }


def version_name(subject: str, revision: int) -> str:
    """Name a version, uniquely in the whole graph."""
    return f"{subject}#{revision}"


def subject_of(tenant: str, record: Node | Edge) -> str:
    """Name what a version is of."""
    is_node = isinstance(record, Node)
    return subject(tenant, "node" if is_node else "edge", _id_of(record))


def subject(tenant: str, kind: str, name: str) -> str:
    """Name what a version is of, so that no tenant's name can be read as another's."""
    return msgspec.json.encode((tenant, kind, name)).decode()


def _id_of(record: Node | Edge) -> str:
    return record.entity_id if isinstance(record, Node) else record.edge_id


def micros(moment: datetime) -> int:
    """Write a time as it is stored: microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def moment(value: Value) -> datetime | None:
    """Read a time; one that an earlier version stored beyond Python's years is the last of them.

    Without that, a node with such a time could neither be listed nor deleted.
    """
    if not isinstance(value, int):
        return None
    return EPOCH + timedelta(microseconds=min(max(value, _FIRST), _LAST))


def _ends(edge: Edge) -> Properties:
    ends = {"source": edge.source, "target": edge.target, "edge_type": edge.type}
    return {**edge_properties(edge), **ends}


def _written(record: Node | Edge) -> Properties:
    return {
        "attributes": bytes(record.attributes).decode(),
        "origin": record.origin,
        "valid_from": None if record.valid_from is None else micros(record.valid_from),
        "valid_to": None if record.valid_to is None else micros(record.valid_to),
        "created_at": micros(record.created_at),
        "created_by": record.created_by,
        "changed_at": micros(record.updated_at),
        "updated_by": record.updated_by,
        "revision": record.revision,
    }


def _provenance(row: Sequence[Value]) -> dict[str, object]:
    attributes, origin, valid_from, valid_to, created_at, created_by, *rest = row
    updated_at, updated_by, revision = rest
    return {
        "attributes": msgspec.Raw(str(attributes or "{}")),
        "origin": origin,
        "valid_from": moment(valid_from),
        "valid_to": moment(valid_to),
        "created_at": moment(created_at),
        "created_by": created_by,
        "updated_at": moment(updated_at),
        "updated_by": updated_by,
        "revision": revision,
    }


def _end(row: Sequence[Value]) -> tuple[datetime | None, str | None, str | None]:
    until, ended, by = row
    return moment(until), _word(ended), _word(by)


def _word(value: Value) -> str | None:
    return value if isinstance(value, str) else None


def property_of(name: str) -> str | None:
    """Tell under which property an attribute is kept, if a query can find it by its name.

    >>> property_of("size"), property_of("version"), property_of("attribute_of"), property_of("a b")
    ('size', 'attribute_version', 'attribute_attribute_of', None)
    """
    if _PLAIN.fullmatch(name) is None:
        return None
    return _APART + name if name in RESERVED or name.startswith(_APART) else name


def attribute_of(name: str) -> str | None:
    """Tell of which attribute a property is, if it is of one.

    >>> attribute_of("size"), attribute_of("attribute_version"), attribute_of("tenant")
    ('size', 'version', None)
    """
    return None if name in RESERVED else name.removeprefix(_APART)


def own_properties(attributes: msgspec.Raw) -> Properties:
    """Take the attributes that a graph can hold."""
    whole = msgspec.json.decode(attributes, type=dict[str, object])
    fit = ((property_of(name), value) for name, value in whole.items() if _fits(value))
    kept = [(name, value) for name, value in fit if name is not None]
    return dict(kept[:PROPERTIES])  # type: ignore[arg-type]  # `_fits` has looked


def _fits(value: object) -> bool:
    if isinstance(value, list):
        items = cast("list[object]", value)
        # A list of several kinds is one that Neo4j refuses.
        return len({type(item) for item in items}) == 1 and all(map(_single, items))
    return _single(value)


def _single(value: object) -> bool:
    match value:
        case bool():
            return True
        case str():
            return len(value) <= TEXT and "\0" not in value
        case int():
            return -_WIDE <= value < _WIDE
        case float():
            return math.isfinite(value)
        case _:
            return False


def own_value(attributes: msgspec.Raw, name: str) -> bool | int | float | str | None:
    """Read one attribute of a single value; None where it is none."""
    found = cast("Mapping[str, object]", msgspec.json.decode(attributes)).get(name)
    return found if isinstance(found, bool | int | float | str) else None
