"""A query as a tree. `at` is where a part begins in the text; signs and keywords are as written.

Query      Single queries, joined by UNION
Clause     Match | Unwind | With | Return
Pattern    nodes and the edges between them: one more node than edges
Expression what has a value
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

Direction: TypeAlias = Literal["out", "in", "both"]
NullTest: TypeAlias = Literal["IS NULL", "IS NOT NULL"]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """Anything of a query, with its place."""

    at: int


# --- expressions ---


class Constant(Part, frozen=True):
    """A text, a number, true, false or null."""

    value: str | int | float | bool | None


class Parameter(Part, frozen=True):
    """`$name`."""

    name: str


class Variable(Part, frozen=True):
    """A name that a clause before has given, or a list's own."""

    name: str


class Property(Part, frozen=True):
    """`of.name`."""

    of: Expression
    name: str


class Index(Part, frozen=True):
    """`of[key]`."""

    of: Expression
    key: Expression


class Slice(Part, frozen=True):
    """`of[first..end]`."""

    of: Expression
    first: Expression | None
    end: Expression | None


class ListOf(Part, frozen=True):
    """`[a, b]`."""

    items: tuple[Expression, ...]


class MapOf(Part, frozen=True):
    """`{name: a}`."""

    entries: tuple[tuple[str, Expression], ...]


class Unary(Part, frozen=True):
    """`NOT a`, `-a`, `a IS NULL`, `a IS NOT NULL`."""

    sign: Literal["NOT", "-", "IS NULL", "IS NOT NULL"]
    of: Expression


class Binary(Part, frozen=True):
    """Two values and what is between them."""

    sign: str
    left: Expression
    right: Expression


class HasLabel(Part, frozen=True):
    """`n:one|other`."""

    of: Variable
    labels: tuple[str, ...]


class Case(Part, frozen=True):
    """`CASE of WHEN a THEN b ELSE c END`."""

    of: Expression | None
    branches: tuple[tuple[Expression, Expression], ...]
    otherwise: Expression | None


class Call(Part, frozen=True):
    """`name(a, b)`; a star counts rows."""

    name: str
    arguments: tuple[Expression, ...]
    distinct: bool = False
    star: bool = False


class Comprehension(Part, frozen=True):
    """`[name IN list WHERE where | result]`."""

    name: str
    list: Expression
    where: Expression | None
    result: Expression | None


class Quantifier(Part, frozen=True):
    """`any(name IN list WHERE where)` and its like."""

    kind: Literal["all", "any", "none", "single"]
    name: str
    list: Expression
    where: Expression


class Exists(Part, frozen=True):
    """`EXISTS { patterns WHERE where }`; `bare` stood in WHERE alone and gives no names."""

    patterns: tuple[Pattern, ...]
    where: Expression | None
    bare: bool = False


class CountOf(Part, frozen=True):
    """`COUNT { patterns WHERE where }`."""

    patterns: tuple[Pattern, ...]
    where: Expression | None


class PatternList(Part, frozen=True):
    """`[pattern WHERE where | result]`."""

    pattern: Pattern
    where: Expression | None
    result: Expression


Expression: TypeAlias = (
    Constant
    | Parameter
    | Variable
    | Property
    | Index
    | Slice
    | ListOf
    | MapOf
    | Unary
    | Binary
    | HasLabel
    | Case
    | Call
    | Comprehension
    | Quantifier
    | Exists
    | CountOf
    | PatternList
)

# --- patterns ---


class NodePattern(Part, frozen=True):
    """`(name:label {properties})`; of several labels one is enough."""

    name: str | None
    labels: tuple[str, ...]
    properties: MapOf | None


class EdgePattern(Part, frozen=True):
    """`-[name:type *shortest..longest {properties}]->`; `steps` is none for a single edge."""

    name: str | None
    types: tuple[str, ...]
    direction: Direction
    steps: tuple[int, int] | None
    properties: MapOf | None


class Pattern(Part, frozen=True):
    """Nodes and the edges between them; `shortest` asks for one shortest path."""

    name: str | None
    nodes: tuple[NodePattern, ...]
    edges: tuple[EdgePattern, ...]
    shortest: bool = False


# --- clauses ---


class Match(Part, frozen=True):
    """`OPTIONAL MATCH patterns WHERE where`."""

    patterns: tuple[Pattern, ...]
    where: Expression | None
    optional: bool


class Unwind(Part, frozen=True):
    """`UNWIND list AS name`."""

    list: Expression
    name: str


class Item(Part, frozen=True):
    """`value AS name`; `said` is how the value is written."""

    value: Expression
    name: str | None
    said: str


class Order(Part, frozen=True):
    """One key of ORDER BY."""

    key: Expression
    descending: bool


class Projection(Part, frozen=True):
    """What WITH and RETURN have in common."""

    items: tuple[Item, ...]
    star: bool
    distinct: bool
    order: tuple[Order, ...]
    skip: Expression | None
    limit: Expression | None


class With(Part, frozen=True):
    """`WITH projection WHERE where`."""

    projection: Projection
    where: Expression | None


class Return(Part, frozen=True):
    """`RETURN projection`."""

    projection: Projection


Clause: TypeAlias = Match | Unwind | With | Return


class Single(Part, frozen=True):
    """Clauses, the last of which is a RETURN."""

    clauses: tuple[Clause, ...]


class Query(Part, frozen=True):
    """Single queries; `every` tells of each UNION whether it keeps what is there already."""

    singles: tuple[Single, ...]
    every: tuple[bool, ...] = ()


def parts(node: object) -> Iterator[object]:
    """Go through what a part of a query is made of."""
    if isinstance(node, Part):
        for field in node.__struct_fields__:
            yield getattr(node, field)
    elif isinstance(node, tuple):
        yield from cast("tuple[object, ...]", node)
