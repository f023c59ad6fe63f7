"""The describe tree: what a filter is before it is compiled, as immutable plain data.

A chain is a tree of these nodes. `lower` turns it into the core's steps and the readers that
regroup the core's values for the handler; OpenAPI and the lints read the same. A leaf that the core
executes holds the plan's own step, so a new native filter needs no node of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TypeAlias

import msgspec

from nexus_gateway import plan


class Slot(msgspec.Struct, frozen=True):
    """One extracted value, as the check at start compares it with the handler's parameter.

    `label` is the value's name where it has one; `exact` says that the handler must use it,
    otherwise it only must not be the name of another of the handler's parameters.
    """

    label: str | None
    type: object
    exact: bool = False


# --- conversions: what Python makes of one of the core's values ---


class Member(msgspec.Struct, frozen=True, tag_field="node", tag="member"):
    """A word of an enum or of a `Literal` that is not text, as its member."""

    words: tuple[tuple[str, object], ...]


class Parse(msgspec.Struct, frozen=True, tag_field="node", tag="parse"):
    """A date, time or UUID, whose text the core has checked."""

    kind: type[object]
    location: str
    name: str


class Each(msgspec.Struct, frozen=True, tag_field="node", tag="each"):
    """Each value of a list."""

    item: Conversion


class Default(msgspec.Struct, frozen=True, tag_field="node", tag="default"):
    """`value` where nothing was given."""

    value: object
    otherwise: Conversion | None


class Json(msgspec.Struct, frozen=True, tag_field="node", tag="json"):
    """A JSON body, as the first of the types that it fits."""

    types: tuple[object, ...]


class Text(msgspec.Struct, frozen=True, tag_field="node", tag="text"):
    """A body of text, which the core has checked to be UTF-8."""


class Record(msgspec.Struct, frozen=True, tag_field="node", tag="record"):
    """A query record, as a struct."""

    kind: type[msgspec.Struct]
    names: tuple[str, ...]
    conversions: tuple[Conversion | None, ...]


Conversion: TypeAlias = Member | Parse | Each | Default | Json | Text | Record

# --- nodes ---


class Segment(msgspec.Struct, frozen=True, tag_field="node", tag="segment"):
    """Literal text of the path between two slashes."""

    text: str


class Method(msgspec.Struct, frozen=True, tag_field="node", tag="method"):
    """The request's method."""

    name: str


class Media(msgspec.Struct, frozen=True):
    """A content type, and what it holds: a JSON value, or each line or event of a stream.

    events: what the `data` of each kind of server-sent event is, by the name of the event.
    """

    name: str
    type: object = None
    events: tuple[tuple[str, object], ...] = ()


class Native(msgspec.Struct, frozen=True, tag_field="node", tag="native"):
    """A step that the core executes, and what Python makes of the value that it extracts.

    media: what a body may be, for documents; empty for what its content says by itself.
    """

    step: plan.Step
    type: object = None
    conversion: Conversion | None = None
    rest: bool = False
    media: tuple[Media, ...] = ()


class RateLimit(msgspec.Struct, frozen=True, tag_field="node", tag="rate_limit"):
    """A limit; without `by`, of the subject where `auth` comes before, otherwise of the address."""

    requests: int
    period_ms: int
    burst: int
    by: plan.LimitBy | None
    name: str | None
    legacy_headers: bool


class Constant(msgspec.Struct, frozen=True, tag_field="node", tag="constant"):
    """The same object for every request."""

    value: object


class State(msgspec.Struct, frozen=True, tag_field="node", tag="state"):
    """The object that the gateway is given for a type at start."""

    type: object


class Public(msgspec.Struct, frozen=True, tag_field="node", tag="public"):
    """Says that the chain is meant to be open to everyone."""


class Both(msgspec.Struct, frozen=True, tag_field="node", tag="and"):
    """Both filters, left then right."""

    left: Node
    right: Node


class Either(msgspec.Struct, frozen=True, tag_field="node", tag="or"):
    """The first of two filters that matches."""

    left: Node
    right: Node


class Maybe(msgspec.Struct, frozen=True, tag_field="node", tag="optional"):
    """None where what the filter asks for is absent."""

    inner: Node


class Mapped(msgspec.Struct, frozen=True, tag_field="node", tag="map"):
    """The extracted values, `slots`, replaced by what a function makes of them."""

    inner: Node
    function: Callable[..., object]
    slots: tuple[Slot, ...]


class Awaited(msgspec.Struct, frozen=True, tag_field="node", tag="and_then"):
    """The extracted values, `slots`, replaced by what an async function makes of them."""

    inner: Node
    function: Callable[..., Awaitable[object]]
    slots: tuple[Slot, ...]


class Spread(msgspec.Struct, frozen=True, tag_field="node", tag="untuple"):
    """An extracted pair, as two values."""

    inner: Node


class Everything(msgspec.Struct, frozen=True, tag_field="node", tag="everything"):
    """Matches every request and extracts nothing: the root path."""


Node: TypeAlias = (
    Segment
    | Method
    | Native
    | RateLimit
    | Constant
    | State
    | Public
    | Both
    | Either
    | Maybe
    | Mapped
    | Awaited
    | Spread
    | Everything
)


def python_steps(node: Node) -> Iterator[Mapped | Awaited]:
    """Find what a chain runs in Python before its handler."""
    match node:
        case Both() | Either():
            yield from python_steps(node.left)
            yield from python_steps(node.right)
        case Mapped() | Awaited():
            yield from python_steps(node.inner)
            yield node
        case Maybe() | Spread():
            yield from python_steps(node.inner)
        case _:
            pass


def alternatives(node: Either) -> list[Node]:
    """List what `|` joins, left to right."""
    left = alternatives(node.left) if isinstance(node.left, Either) else [node.left]
    right = alternatives(node.right) if isinstance(node.right, Either) else [node.right]
    return [*left, *right]
