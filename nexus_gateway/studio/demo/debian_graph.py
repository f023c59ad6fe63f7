"""Debian's package index of this machine as a graph: packages, and what each says of others.

A package is a node as it is an entity, with the same id and content. Names that only `Provides`
knows are nodes of the type `virtual`, and names that nothing here has are `absent`: so every edge
has both ends. The index is read twice, and only ids are kept in between.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from nexus_gateway.studio.demo.debian import draft, index, relations, stanzas
from nexus_gateway.studio.demo.errors import DemoError
from nexus_gateway.studio.knowledge_graph.models import EdgeDraft, NodeDraft

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

RELATIONS = {
    "Depends": "depends",
    "Pre-Depends": "pre_depends",
    "Recommends": "recommends",
    "Suggests": "suggests",
    "Enhances": "enhances",
    "Provides": "provides",
    "Breaks": "breaks",
    "Conflicts": "conflicts",
    "Replaces": "replaces",
}
"""The type of the edges of each field."""

Stanza: TypeAlias = dict[str, str]


TYPES = frozenset({"package", "virtual", "absent"})
"""The types of the nodes."""


class DebianGraph:
    """The nodes, and then the edges, of the first `limit` packages.

    Args:
        limit: packages at most.
        without: ids that are left out, with the edges at them.

    Raises:
        DemoError: this machine knows no packages, or the index is not the same when it is read the
            second time.
    """

    def __init__(self, limit: int | None = None, *, without: Collection[str] = ()) -> None:
        self._limit = limit
        self._without = without
        self.packages: set[str] = set()
        self.edge_count = 0

    def nodes(self) -> Iterator[NodeDraft]:
        """Yield a node for each package, then one for each further name that edges lead to."""
        named: set[str] = set()
        provided: set[str] = set()
        for name, stanza in self._stanzas():
            self.packages.add(name)
            for field in RELATIONS:
                targets = self._edges(name, field, stanza)
                self.edge_count += len(targets)
                (provided if field == "Provides" else named).update(e.target for e in targets)
            yield node(name, stanza)
        for name in sorted(provided - self.packages):
            yield NodeDraft(entity_id=name, entity_type="virtual", name=name)
        for name in sorted(named - provided - self.packages):
            yield NodeDraft(entity_id=name, entity_type="absent", name=name)

    def edges(self) -> Iterator[EdgeDraft]:
        """Yield what each package says of others."""
        again = 0
        for name, stanza in self._stanzas():
            for field in RELATIONS:
                found = self._edges(name, field, stanza)
                again += len(found)
                yield from found
        if again != self.edge_count:
            raise DemoError(
                f"the index had {self.edge_count:,} relationships and then {again:,}: load it again"
            )

    def _edges(self, name: str, field: str, stanza: Stanza) -> list[EdgeDraft]:
        found = edges_of(name, field, stanza)
        return [edge for edge in found if edge.target not in self._without]

    def _stanzas(self) -> Iterator[tuple[str, Stanza]]:
        with index() as lines:
            for name, stanza in islice(_first_of_each(stanzas(lines)), self._limit):
                if name not in self._without:
                    yield name, stanza


def node(name: str, stanza: Stanza) -> NodeDraft:
    """Make the node of a package."""
    entity = draft(name, stanza)
    return NodeDraft(
        entity_id=entity.entity_id,
        entity_type=entity.entity_type,
        name=entity.name,
        tags=entity.tags,
        attributes=entity.attributes,
    )


def edges_of(name: str, field: str, stanza: Stanza) -> list[EdgeDraft]:
    """Make the edges of one field; of several conditions on one name, one edge.

    >>> [one] = edges_of("a", "Depends", {"Depends": "b (>= 2), b (<< 3)"})
    >>> one.target, one.type, one.attributes
    ('b', 'depends', {'version': '>= 2, << 3'})
    """
    found: dict[str, dict[str, object]] = {}
    for group in relations(stanza.get(field, "")):
        for one in group:
            attributes = found.setdefault(one["name"], {})
            if "version" in one:
                before = attributes.get("version")
                version = one["version"]
                attributes["version"] = version if before is None else f"{before}, {version}"
            if len(group) > 1:
                attributes["alternative"] = True
    kind = RELATIONS[field]
    return [
        EdgeDraft(source=name, target=target, type=kind, attributes=attributes)
        for target, attributes in found.items()
    ]


def _first_of_each(found: Iterator[Stanza]) -> Iterator[tuple[str, Stanza]]:
    seen: set[str] = set()
    for stanza in found:
        name = stanza.get("Package")
        if name is not None and name not in seen:
            seen.add(name)
            yield name, stanza
