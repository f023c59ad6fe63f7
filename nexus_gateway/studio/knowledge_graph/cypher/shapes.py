"""What of a node, an edge or a path an engine answers, and what callers are told of it.

Engines answer plain values only: a node goes through them as the list of its properties, and comes
out as the node that the rest of the API knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast

import msgspec

from nexus_gateway.studio.knowledge_graph import rows
from nexus_gateway.studio.knowledge_graph.cypher.kinds import DATA, EDGE, NODE, Kind
from nexus_gateway.studio.knowledge_graph.models import Edge, Node

if TYPE_CHECKING:
    from datetime import datetime

    from nexus_gateway.studio.knowledge_graph.cypher.scope import Names
    from nexus_gateway.studio.storage.graph import Value


class Path(msgspec.Struct, frozen=True):
    """A path: its nodes in order, and the edge of each step."""

    length: int
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


Told: TypeAlias = (
    "Value | Node | Edge | Path | datetime | msgspec.Raw | list[Told] | dict[str, Told]"
)
"""What stands in a row of an answer."""


def projected(text: str, kind: Kind, names: Names) -> str:
    """Write what is answered for something; `text` is a name, or part of one."""
    match kind.sort:
        case "node":
            return f"[{rows.node_columns(text)}]"
        case "edge":
            return f"[{rows.edge_columns(text, f'startNode({text})', f'endNode({text})')}]"
        case "path":
            inner = (_items("nodes", text, NODE, names), _items("relationships", text, EDGE, names))
            return f"[{', '.join(inner)}]"
        case "list":
            name = names.variable()
            return f"[{name} IN {text} | {projected(name, kind.item or DATA, names)}]"
        case "map":
            fields = ", ".join(
                f"`{name}`: {projected(f'{text}.`{name}`', inner, names)}"
                for name, inner in kind.fields
            )
            return f"CASE WHEN {text} IS NULL THEN null ELSE {{{fields}}} END"
        case _:
            return text


def _items(function: str, text: str, kind: Kind, names: Names) -> str:
    name = names.variable()
    return f"[{name} IN {function}({text}) | {projected(name, kind, names)}]"


def told(value: Value, kind: Kind) -> Told:
    """Read what was answered for something of a kind."""
    if value is None or kind.is_data:
        return value
    match kind.sort:
        case "time":
            return rows.moment(value)
        case "json":
            return msgspec.Raw(str(value).encode())
        case "map":
            found = cast("dict[str, Value]", value)
            return {name: told(found[name], inner) for name, inner in kind.fields}
        case _:
            return _listed(cast("list[Value]", value), kind)


def _listed(value: list[Value], kind: Kind) -> Told:
    if kind.sort == "list":
        return [told(one, kind.item or DATA) for one in value]
    if not value or value[0] is None:
        # What an OPTIONAL MATCH did not find has no properties.
        return None
    if kind.sort == "node":
        return rows.node_of(value)
    if kind.sort == "edge":
        return rows.edge_of(value)
    nodes, edges = cast("list[list[list[Value]]]", value)
    return Path(len(edges), tuple(map(rows.node_of, nodes)), tuple(map(rows.edge_of, edges)))
