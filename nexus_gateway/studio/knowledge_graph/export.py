"""A subgraph as GraphML, for other programs, and as Mermaid, for a page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nexus_gateway.studio.knowledge_graph.models import Edge, Node, Subgraph

# What XML 1.0 has no way to write.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_NODE_KEYS = ("entity_type", "name", "tags", "attributes", "origin", "valid_from", "valid_to")
_EDGE_KEYS = ("type", "key", "attributes", "origin", "valid_from", "valid_to")
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    ' xsi:schemaLocation="http://graphml.graphdrawing.org/xmlns'
    ' http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd">\n'
)


def graphml(part: Subgraph) -> str:
    """Write GraphML 1.0; tags and attributes are JSON, times RFC 3339."""
    return "".join(_graphml(part))


def mermaid(part: Subgraph) -> str:
    """Write a Mermaid flowchart."""
    names = {node.entity_id: f"n{number}" for number, node in enumerate(part.nodes)}
    lines = ["flowchart LR"]
    lines += [f"  {names[node.entity_id]}[{_label(_title(node))}]" for node in part.nodes]
    lines += [
        f"  {names[edge.source]} -->|{_label(edge.type)}| {names[edge.target]}"
        for edge in part.edges
    ]
    return "\n".join(lines) + "\n"


def _graphml(part: Subgraph) -> Iterable[str]:
    yield _HEAD
    for domain, keys in (("node", _NODE_KEYS), ("edge", _EDGE_KEYS)):
        for name in keys:
            yield (
                f'  <key id="{domain}_{name}" for="{domain}" attr.name="{name}"'
                ' attr.type="string"/>\n'
            )
    yield '  <graph id="graph" edgedefault="directed">\n'
    for node in part.nodes:
        yield f"    <node id={_attribute(node.entity_id)}>{_data('node', _fields(node))}</node>\n"
    for edge in part.edges:
        ends = f"source={_attribute(edge.source)} target={_attribute(edge.target)}"
        inner = _data("edge", _fields(edge))
        yield f"    <edge id={_attribute(edge.edge_id)} {ends}>{inner}</edge>\n"
    yield "  </graph>\n</graphml>\n"


def _fields(record: Node | Edge) -> Mapping[str, object]:
    built: dict[str, object] = msgspec.json.decode(msgspec.json.encode(record))
    return built


def _data(domain: str, fields: Mapping[str, object]) -> str:
    keys = _NODE_KEYS if domain == "node" else _EDGE_KEYS
    given = ((name, fields.get(name)) for name in keys)
    return "".join(
        f'<data key="{domain}_{name}">{escape(_clean(_text(value)))}</data>'
        for name, value in given
        if value not in (None, "", [], {})
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _attribute(text: str) -> str:
    return quoteattr(_clean(text))


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def _title(node: Node) -> str:
    return node.name or node.entity_id


def _label(text: str) -> str:
    """Quote for Mermaid, whose entities are `#name;` and whose labels have no line ends."""
    quoted = "".join(_MERMAID.get(mark, mark) for mark in " ".join(text.split()))
    return f'"{quoted}"'


_MERMAID = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "`": "#96;"}
