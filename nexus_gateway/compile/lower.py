"""From the describe tree to what the core executes: a path, methods, steps, and how to read them.

The core extracts one flat list of values. A `Reading` says how a handler's arguments are made of
it. Where that takes no more than a conversion for each value, the binding does it all (the fast
form, see `endpoint`); `map`, `and_then`, `untuple` and alternatives that differ are completed in
Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, TypeAlias

import msgspec

from nexus_gateway import plan
from nexus_gateway.describe.node import (
    Awaited,
    Both,
    Constant,
    Conversion,
    Default,
    Either,
    Everything,
    Json,
    Mapped,
    Maybe,
    Method,
    Native,
    Node,
    Public,
    RateLimit,
    Record,
    Segment,
    Spread,
    State,
    alternatives,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

# --- readings ---


class Take(msgspec.Struct, frozen=True):
    """The core's next value, converted."""

    conversion: Conversion | None = None


class Apply(msgspec.Struct, frozen=True):
    """One value: what a function makes of others; `awaited` where it is async."""

    inner: tuple[Reading, ...]
    function: Callable[..., object]
    awaited: bool


class Unpack(msgspec.Struct, frozen=True):
    """The values of a pair."""

    inner: tuple[Reading, ...]


class Choose(msgspec.Struct, frozen=True):
    """The values of the alternative whose index is the core's next value."""

    alternatives: tuple[tuple[Reading, ...], ...]


class Perhaps(msgspec.Struct, frozen=True):
    """As many `None` as `outputs` if the core's next value is None, and `width` more follow it."""

    inner: tuple[Reading, ...]
    width: int
    outputs: int


Reading: TypeAlias = Take | Constant | State | Apply | Unpack | Choose | Perhaps


class Lowered(msgspec.Struct, frozen=True):
    """A chain as the core sees it, and how to read its values."""

    path: str
    methods: tuple[str, ...]
    steps: tuple[plan.Step, ...]
    readings: tuple[Reading, ...]
    public: bool


class _Part(msgspec.Struct, frozen=True):
    steps: tuple[plan.Step, ...] = ()
    readings: tuple[Reading, ...] = ()

    def __add__(self, other: _Part) -> _Part:
        return _Part(self.steps + other.steps, self.readings + other.readings)


def lower(node: Node) -> Lowered:
    """Read a chain.

    Raises:
        TypeError: the core cannot execute it; the message says which filter and why.
    """
    chain = _Chain()
    part = chain.read(node)
    if chain.segments is None:
        raise TypeError('the chain has no path: begin with path(...), path("") is the root')
    if _bodies(part.steps) > 1:
        raise TypeError(
            "the chain reads the body twice: take body(A) | body(B), or map one of them"
        )
    path = "/" + "/".join(chain.segments)
    methods = tuple(sorted(chain.methods or ()))
    return Lowered(path, methods, part.steps, part.readings, chain.public)


def width(steps: Sequence[plan.Step]) -> int:
    """Count the values that the core extracts for `steps`, as it counts them itself."""
    return sum(map(_width, steps))


class _Chain:
    """Collects, on the way through one chain, what is the whole chain's and not a step's."""

    def __init__(self) -> None:
        self.segments: list[str] | None = None
        self.methods: frozenset[str] | None = None
        self.public = False
        self.authenticated = False
        self.policies: set[str] = set()

    def read(self, node: Node, inside: str = "") -> _Part:  # noqa: C901, PLR0911  # one for each node
        match node:
            case Both():
                return self.read(node.left, inside) + self.read(node.right, inside)
            case Everything() | Segment():
                return self._segment(node.text if isinstance(node, Segment) else "", inside)
            case Method():
                return self._methods(frozenset({node.name}), inside)
            case Native():
                return self._native(node, inside)
            case RateLimit():
                return _Part((self._limit(node),))
            case Constant() | State():
                return _Part((), (node,))
            case Public():
                self.public = True
                return _Part()
            case Either():
                return self._either(node, inside)
            case Maybe():
                return self._maybe(node)
            case Mapped() | Awaited():
                part = self.read(node.inner, inside)
                awaited = isinstance(node, Awaited)
                return _Part(part.steps, (Apply(part.readings, node.function, awaited),))
            case Spread():
                part = self.read(node.inner, inside)
                return _Part(part.steps, (Unpack(part.readings),))

    def _segment(self, text: str, inside: str) -> _Part:
        if inside:
            _refuse("a path", inside, "write it before them: path(...) & (a | b)")
        if self.segments is None:
            self.segments = []
        if self.segments and self.segments[-1].startswith("{*"):
            raise TypeError(f"nothing can follow the path's tail {self.segments[-1]!r}")
        if text:
            self.segments.append(text)
        return _Part()

    def _methods(self, names: frozenset[str], inside: str) -> _Part:
        if inside:
            _refuse(
                "a method", inside, "make a route of each: the router decides by path and method"
            )
        self.methods = names if self.methods is None else self.methods & names
        if not self.methods:
            raise TypeError("no request has two methods at once: join them with '|'")
        return _Part()

    def _native(self, node: Native, inside: str) -> _Part:
        step = node.step
        if isinstance(step, plan.Param):
            template = f"{{*{step.name}}}" if node.rest else f"{{{step.name}}}"
            if {f"{{{step.name}}}", f"{{*{step.name}}}"}.intersection(self.segments or ()):
                raise TypeError(f"the path has two parameters named {step.name!r}")
            self._segment(template, inside)
        if isinstance(step, plan.Auth):
            self.authenticated = self.authenticated or inside == ""
        return _Part((step,), (Take(node.conversion),) * _width(step))

    def _limit(self, node: RateLimit) -> plan.Limit:
        by = node.by or ("subject" if self.authenticated else "address")
        name = node.name or by
        if name in self.policies and node.name is None:
            name = f"{by}-{len(self.policies) + 1}"
        if name in self.policies:
            raise TypeError(f"two limits of the chain are named {name!r}: give one another name=")
        self.policies.add(name)
        return plan.Limit(
            name=name,
            requests=node.requests,
            period_ms=node.period_ms,
            burst=node.burst,
            by=by,
            legacy_headers=node.legacy_headers,
            shared=node.name is not None,
        )

    def _either(self, node: Either, inside: str) -> _Part:
        members = alternatives(node)
        methods = frozenset(member.name for member in members if isinstance(member, Method))
        if len(methods) == len(members):
            return self._methods(methods, inside)
        bodies = _one_body(members)
        if bodies is not None:
            return self._native(bodies, inside)
        parts = [self.read(member, "'|'") for member in members]
        if all(_authenticates(part.steps) for part in parts):
            self.authenticated = self.authenticated or inside == ""
        return _join(parts)

    def _maybe(self, node: Maybe) -> _Part:
        part = self.read(node.inner, "optional()")
        if not part.steps:
            return part
        match part:
            case _Part(steps=(plan.Body(),), readings=(Take(conversion),)):
                # An absent body is an empty one; the core has no other sign of it.
                return _Part(part.steps, (Take(Default(None, conversion)),))
            case _Part(readings=(Take(conversion),)) if not isinstance(conversion, Record):
                taken = conversion and Default(None, conversion)
                return _Part((plan.Optional(steps=part.steps),), (Take(taken),))
            case _:
                # The index of the one alternative tells what is absent from what is None itself.
                tagged = plan.Or(alternatives=(part.steps,), tagged=True)
                perhaps = Perhaps(part.readings, width(part.steps), len(part.readings))
                return _Part((plan.Optional(steps=(tagged,)),), (perhaps,))


def _refuse(what: str, inside: str, instead: str) -> NoReturn:
    raise TypeError(f"{what} cannot stand inside {inside}: {instead}")


def _one_body(members: Sequence[Node]) -> Native | None:
    """Join `body(A) | body(B)` into one step, whose decoder tries each."""
    first = members[0]
    types: list[object] = []
    for member in members:
        match member:
            case Native(step=plan.Body(), conversion=Json(types=(*each,))) if (
                isinstance(first, Native) and member.step == first.step
            ):
                types.extend(each)
            case _:
                return None
    return Native(first.step, object, Json(tuple(types))) if isinstance(first, Native) else None


def _join(parts: Sequence[_Part]) -> _Part:
    steps = tuple(part.steps for part in parts)
    first = parts[0].readings
    alike = all(part.readings == first for part in parts)
    if alike and all(isinstance(reading, Take) for reading in first):
        return _Part((plan.Or(alternatives=steps, tagged=False),), first)
    choose = Choose(tuple(part.readings for part in parts))
    return _Part((plan.Or(alternatives=steps, tagged=True),), (choose,))


def _authenticates(steps: Sequence[plan.Step]) -> bool:
    return any(
        isinstance(step, plan.Auth)
        or (isinstance(step, plan.Or) and all(map(_authenticates, step.alternatives)))
        for step in steps
    )


def _bodies(steps: Sequence[plan.Step]) -> int:
    count = 0
    for step in steps:
        match step:
            case plan.Body():
                count += 1
            case plan.Optional():
                count += _bodies(step.steps)
            case plan.Or():
                count += max(map(_bodies, step.alternatives))
            case _:
                pass
    return count


def _width(step: plan.Step) -> int:
    match step:
        case plan.Auth():
            return int(step.extract)
        case plan.Limit():
            return 0
        case plan.Optional():
            return width(step.steps)
        case plan.Or():
            return int(step.tagged) + width(step.alternatives[0])
        case _:
            return 1
