"""The functions of queries: those that both engines have and that answer alike on both.

What is left out is so for a reason: `id`, `labels`, `keys` and `properties` would tell how a graph
is kept, `rand`, `timestamp` and `date` change between two calls, `reduce` and regular expressions
may run without end, and the others one engine does not know.
"""

from __future__ import annotations

import msgspec

from nexus_gateway.studio.knowledge_graph.cypher.kinds import (
    DATA,
    EDGE,
    NODE,
    PATH,
    Kind,
    list_of,
)


class Function(msgspec.Struct, frozen=True):
    """One function of data.

    Attributes:
        name: as it is written.
        least: arguments at least.
        most: arguments at most.
        text: what it becomes, with the arguments in the place of `{}`.
    """

    name: str
    least: int = 1
    most: int = 1
    text: str = ""


def _listed(*functions: Function) -> dict[str, Function]:
    return {function.name.lower(): function for function in functions}


OF_DATA = _listed(
    *map(
        Function,
        ["toLower", "toUpper", "trim", "lTrim", "rTrim", "toString", "toInteger", "toFloat"],
    ),
    *map(Function, ["abs", "ceil", "floor", "sqrt", "exp", "log", "log10", "sign"]),
    Function("replace", 3, 3),
    Function("split", 2, 2),
    Function("substring", 2, 3),
    Function("left", 2, 2),
    Function("right", 2, 2),
    Function("range", 2, 3),
    Function("pi", 0, 0),
    # The engines round negative halves to different sides.
    Function("round", 1, 1, "floor({} + 0.5)"),
)
"""Functions whose arguments and result are data."""

OF_GRAPH: dict[str, tuple[str, Kind, Kind]] = {
    "type": ("type", EDGE, DATA),
    "startnode": ("startNode", EDGE, NODE),
    "endnode": ("endNode", EDGE, NODE),
    "nodes": ("nodes", PATH, list_of(NODE)),
    "relationships": ("relationships", PATH, list_of(EDGE)),
}
"""Functions of an edge or a path: how they are written, what they take, what they give."""

OF_LISTS = {"size": "size", "head": "head", "last": "last", "tail": "tail", "reverse": "reverse"}
"""Functions that take a list of anything; most give an item of it, or such a list."""

AGGREGATES = {name.lower(): name for name in ("count", "sum", "avg", "min", "max", "collect")}
"""Functions of all rows of a group."""

NAMES = sorted(
    [function.name for function in OF_DATA.values()]
    + [name for name, _, _ in OF_GRAPH.values()]
    + [*OF_LISTS.values(), *AGGREGATES.values(), "coalesce", "length"]
)
"""All names, for whoever asks what there is."""
