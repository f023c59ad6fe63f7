"""What an expression is of, as far as a query's text tells: a node, an edge, a path, or data.

Nodes, edges and paths are known wherever they go, through lists and maps too, so that no function
and no index ever meets one unseen: what of them can be read is decided when the query is written.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Sort: TypeAlias = Literal["null", "data", "time", "json", "node", "edge", "path", "list", "map"]


class Kind(msgspec.Struct, frozen=True):
    """A kind; `item` of a list, `fields` of a map that hold more than data."""

    sort: Sort
    item: Kind | None = None
    fields: tuple[tuple[str, Kind], ...] = ()

    @property
    def is_data(self) -> bool:
        """Whether it is of plain data alone."""
        return self.sort in ("data", "null")

    def field(self, name: str) -> Kind | None:
        """The kind of a map's field; none where it has no such field."""
        return dict(self.fields).get(name)


NULL = Kind("null")
DATA = Kind("data")
TIME = Kind("time")
JSON = Kind("json")
NODE = Kind("node")
EDGE = Kind("edge")
PATH = Kind("path")

_CALLED = {
    "null": "null",
    "data": "a value",
    "time": "a time",
    "json": "all attributes of a thing",
    "node": "a node",
    "edge": "an edge",
    "path": "a path",
    "map": "a map that holds a node, an edge, a path or a time",
}


def list_of(item: Kind) -> Kind:
    """Make the kind of a list; one of data is data.

    >>> list_of(DATA).sort, list_of(NODE).sort
    ('data', 'list')
    """
    return DATA if item.is_data else Kind("list", item)


def map_of(fields: dict[str, Kind]) -> Kind:
    """Make the kind of a map; one of data is data."""
    return (
        DATA
        if all(kind.is_data for kind in fields.values())
        else Kind("map", None, (*fields.items(),))
    )


def join(one: Kind, other: Kind) -> Kind | None:
    """Tell the kind of what is either; none where they are two things.

    >>> join(NULL, NODE).sort, join(DATA, NODE)
    ('node', None)
    """
    if one == other or other.sort == "null":
        return one
    return other if one.sort == "null" else None


def called(kind: Kind) -> str:
    """Say what a message calls it.

    >>> called(list_of(NODE))
    'a list, each item of it a node'
    """
    if kind.item is not None:
        return f"a list, each item of it {called(kind.item)}"
    return _CALLED[kind.sort]
