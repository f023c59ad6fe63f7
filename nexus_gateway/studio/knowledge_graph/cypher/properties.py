"""The properties of nodes and edges as callers name them, and as the graph keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_gateway.studio.knowledge_graph import rows
from nexus_gateway.studio.knowledge_graph.cypher.kinds import DATA, JSON, TIME, Kind
from nexus_gateway.studio.knowledge_graph.cypher.misread import Misread

if TYPE_CHECKING:
    from nexus_gateway.studio.knowledge_graph.cypher.tree import Property

_OWN = (
    dict.fromkeys(("origin", "created_by", "updated_by", "revision"), DATA)
    | dict.fromkeys(("valid_from", "valid_to", "created_at", "updated_at"), TIME)
    | {"attributes": JSON}
)
_NODE = _OWN | dict.fromkeys(("entity_id", "entity_type", "name", "tags", "aliases"), DATA)
_EDGE = _OWN | dict.fromkeys(("edge_id", "key"), DATA)
_OF_EDGE = {
    "type": "type({})",
    "source": "startNode({}).entity_id",
    "target": "endNode({}).entity_id",
}


def read(text: str, sort: str, found: Property) -> tuple[str, Kind]:
    """Write a property of a node or an edge; what is none of the API's own is an attribute.

    Raises:
        Misread: there can be no such property.
    """
    if sort == "edge" and found.name in _OF_EDGE:
        return _OF_EDGE[found.name].format(text), DATA
    name, kind = named(sort, found.name, found.at)
    return f"{text}.{name}", kind


def named(sort: str, name: str, at: int) -> tuple[str, Kind]:
    """Tell how a property is kept, and what it is of.

    Raises:
        Misread: there can be no such property.
    """
    kind = (_EDGE if sort == "edge" else _NODE).get(name)
    if kind is not None:
        return "changed_at" if name == "updated_at" else name, kind
    if name == "tenant":
        raise Misread(
            at,
            "the tenant is the token's, and no property; an attribute of that name is"
            " attributes.tenant",
        )
    if sort == "edge" and name in _OF_EDGE:
        raise Misread(at, f"{name} of an edge is said by its pattern, not by its properties")
    return attribute(name, at), DATA


def attribute(name: str, at: int) -> str:
    """Tell how an attribute is kept.

    Raises:
        Misread: it cannot be one that a query finds.
    """
    kept = rows.property_of(name)
    if kept is None:
        raise Misread(
            at,
            "a query finds attributes whose names are words of at most 64 letters, digits and"
            " underscores",
        )
    # Some words are no names to an engine, unless they stand in backquotes.
    return f"`{kept}`"
