"""The lines of an ingest: a text cut into parts, and a part read into nodes and edges.

A line is a JSON object, a node (`entity_id`, `entity_type`, ...) or an edge (`source`, `target`,
`type`, ...). What is wrong with a line is its own affair: the others are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, cast

import msgspec

from nexus_gateway.compile.validation import explain
from nexus_gateway.studio.fields import LINE_BYTES_MAX
from nexus_gateway.studio.knowledge_graph.models import EdgeDraft, NodeDraft, edge_id
from nexus_gateway.values import strict_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexus_gateway.studio.knowledge_graph.ingest.models import Whole

PART = 1 << 20
"""Bytes of a part, and the rest of a line; one part at a time is read into memory."""
SHOWN = 64 << 10
"""Characters of a refused line that are kept; a longer one cannot be given again from there."""

Item: TypeAlias = NodeDraft | EdgeDraft

_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_node = strict_json.decoder(NodeDraft)
_edge = strict_json.decoder(EdgeDraft)


class Read(msgspec.Struct):
    """Lines of a part: nodes and edges by the number of their line, what is wrong with others."""

    nodes: list[tuple[int, NodeDraft]]
    edges: list[tuple[int, EdgeDraft]]
    wrong: list[tuple[int, str]]


def cut(text: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Cut a text into parts of whole lines: the first line's number, how many have content."""
    start, first = 0, 1
    while start < len(text):
        end = start + PART
        if end < len(text):
            found = text.find(b"\n", end)
            end = len(text) if found < 0 else found + 1
        part = text[start:end]
        yield first, sum(1 for line in part.split(b"\n") if line.strip()), part
        first += part.count(b"\n")
        start = end


def as_lines(whole: Whole) -> bytes:
    """Write a document's items as lines, the nodes first."""
    items = (*whole.nodes, *whole.edges)
    # A line break within JSON is space between its parts: in a text it is written as \\n.
    return b"\n".join(bytes(item).replace(b"\r", b" ").replace(b"\n", b" ") for item in items)


def read(first: int, content: bytes) -> Read:
    """Read the lines of a part; `first` is the number of its first line."""
    found = Read([], [], [])
    for number, raw in enumerate(content.split(b"\n"), start=first):
        if raw.strip():
            _read_line(number, raw, found)
    return found


def name_of(item: Item) -> str:
    """Name what a line is of, as the graph does."""
    if isinstance(item, NodeDraft):
        return item.entity_id
    return edge_id(item.source, item.target, item.type, item.key)


def _read_line(number: int, raw: bytes, found: Read) -> None:
    if len(raw) > LINE_BYTES_MAX:
        found.wrong.append(
            (number, f"a line has at most {LINE_BYTES_MAX} bytes, this one {len(raw)}")
        )
        return
    try:
        # A node has no source; what names one in its attributes is tried as a node all the same.
        if b'"source"' in raw and b'"entity_id"' not in raw:
            found.edges.append((number, _edge(raw)))
        else:
            found.nodes.append((number, _node(raw)))
    except msgspec.ValidationError:
        _read_again(number, raw, found)
    except _MALFORMED as error:
        found.wrong.append((number, f"not JSON: {error}"))


def _read_again(number: int, raw: bytes, found: Read) -> None:
    """Read a line that is not what it looked like, or say what is wrong with it."""
    try:
        value: object = msgspec.json.decode(raw)
    except _MALFORMED as error:
        found.wrong.append((number, f"not JSON: {error}"))
        return
    is_edge = _has_source(value)
    try:
        if is_edge:
            found.edges.append((number, _edge(raw)))
        else:
            found.nodes.append((number, _node(raw)))
    except msgspec.ValidationError:
        details = explain(value, EdgeDraft if is_edge else NodeDraft)
        said = "; ".join(f"{one.field}: {one.message}" for one in details[:3])
        found.wrong.append((number, said or "neither a node nor an edge"))


def _has_source(value: object) -> bool:
    return isinstance(value, dict) and "source" in cast("dict[str, object]", value)
