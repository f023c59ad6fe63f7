"""The one way in which this room speaks to a graph: whose data it is stands in every pattern.

Statements are written without a tenant. `owned` puts it into every pattern of a node or an edge,
and refuses a text in which one could stay without; so no statement, of a read or of a write, can
be told another tenant by what a caller sent.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from nexus_gateway.studio.storage.graph import EDGE_TYPE, Statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_gateway.studio.storage.graph import Value

OWNERS = {"Entity": "tenant", "Version": "owner", "Alias": "owner"}
"""Under which property each label keeps its tenant. Only nodes have `tenant`: a query of a user,
which is held to it, so never meets what we keep beside them."""

_NODE = re.compile(r"\((\w*)(?::(\w+))?\s*(\{)?")
_EDGE = re.compile(r"-\[(\w*)((?::[\w`]+(?:\|[\w`]+)*)?)\s*(\{)?")
_CALL = re.compile(r"\w$")


def owned(text: str, tenant: str, **parameters: Value) -> Statement:
    """Make a statement of one tenant.

    Args:
        text: openCypher whose patterns name a label, or a variable that is bound before.
        tenant: whose data is read or written.
        parameters: what the text names; `tenant` cannot be one of them.

    Raises:
        ValueError: a pattern would be open to every tenant.
    """
    return Statement(_owned(text), {**parameters, "tenant": tenant})


def along(types: Sequence[str]) -> str:
    """Write the types of edges into a pattern: nothing for all of them.

    >>> along(["depends", "end"])
    ':`depends`|`end`'

    Raises:
        ValueError: one is not a word that may stand in a statement.
    """
    for name in types:
        if EDGE_TYPE.fullmatch(name) is None:
            raise ValueError(f"{name!r} is not a type of edges")
    # Some words are no types to an engine, unless they stand in backquotes.
    return ":" + "|".join(f"`{name}`" for name in dict.fromkeys(types)) if types else ""


@lru_cache(maxsize=512)
def _owned(text: str) -> str:
    """Put the tenant into a text's patterns; cached, since there are few texts."""
    bound: set[str] = set()

    def node(match: re.Match[str]) -> str:
        name, label, brace = match.groups()
        if _CALL.search(text[: match.start()]) or (label is None and name in bound):
            return match[0]
        if label is None and brace is None and not _is_pattern(text, match):
            return match[0]
        if label not in OWNERS:
            raise ValueError(f"a pattern without a label of ours: {match[0]!r} in {text!r}")
        bound.add(name)
        owner = f"{OWNERS[label]}: $tenant"
        return f"({name}:{label} {{{owner}" + (", " if brace else "}")

    def edge(match: re.Match[str]) -> str:
        name, types, brace = match.groups()
        return f"-[{name}{types} {{tenant: $tenant" + (", " if brace else "}")

    return _EDGE.sub(edge, _NODE.sub(node, text))


def _is_pattern(text: str, match: re.Match[str]) -> bool:
    """Tell a bare `()` or `(x)` that stands in a pattern from a bracket of an expression."""
    before = text[: match.start()].rstrip()
    after = text[match.end() :].lstrip()
    closes = after.startswith(")")
    beside = before.endswith(("-", ">", "MATCH", "MERGE", "CREATE")) or after[1:2] in ("-", "<")
    return closes and beside
