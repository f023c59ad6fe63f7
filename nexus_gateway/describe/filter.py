"""Filters: what a chain extracts is what its handler must take.

A `Filter[A, B]` matches a request and extracts two values, an `A` then a `B`. Filters are only
descriptions: nothing here reads a request. The core executes what `compile` makes of them.

    a & b      both match; the values are joined     Filter[A] & Filter[B] -> Filter[A, B]
    a | b      the first that matches                Filter[A] | Filter[A] -> Filter[A]
    p / "x"    one more segment, text or a `param`   Path[A] / param("n", int) -> Path[A, int]
    f.then(h)  the end: call `h` with the values     -> Route

For a request the core runs its own filters first, in the order of the source; then Python runs what
is written in Python (`map`, `and_then`), also in that order, whatever stood between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Annotated,
    Generic,
    NoReturn,
    TypeVar,
    TypeVarTuple,
    cast,
    get_args,
    get_origin,
    overload,
)

from nexus_gateway import plan
from nexus_gateway.describe.node import (
    Awaited,
    Both,
    Either,
    Everything,
    Json,
    Mapped,
    Maybe,
    Media,
    Native,
    Node,
    Segment,
    Slot,
    Spread,
)
from nexus_gateway.describe.route import Route, Routes, check_seconds
from nexus_gateway.describe.terminals.answer import answer
from nexus_gateway.describe.terminals.echo import MAX_BYTES, echo
from nexus_gateway.describe.terminals.files import files
from nexus_gateway.describe.terminals.metrics import metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
    from pathlib import Path as Folder

    from nexus_gateway.describe.reject import Code
    from nexus_gateway.describe.reply import Reply
    from nexus_gateway.describe.scalar import Parameter

Ts = TypeVarTuple("Ts")
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")


class Filter(Generic[*Ts]):
    """Matches a request and extracts `*Ts`, or refuses it. Immutable; share it freely."""

    __slots__ = ("node", "slots")

    def __init__(self, node: Node, slots: tuple[Slot, ...] = ()) -> None:
        self.node = node
        self.slots = slots

    # PEP 646 allows one unpacked TypeVarTuple per argument list, so the right-hand side is spelt
    # out by how much it extracts. Chains lean left, so the left-hand side may be of any length.
    @overload
    def __and__(self, other: Filter[()]) -> Filter[*Ts]: ...
    @overload
    def __and__(self, other: Filter[A]) -> Filter[*Ts, A]: ...
    @overload
    def __and__(self, other: Filter[A, B]) -> Filter[*Ts, A, B]: ...
    @overload
    def __and__(self, other: Filter[A, B, C]) -> Filter[*Ts, A, B, C]: ...
    @overload
    def __and__(self, other: Filter[A, B, C, D]) -> Filter[*Ts, A, B, C, D]: ...
    def __and__(self, other: object) -> object:
        if isinstance(other, Route | Routes):
            raise TypeError(
                "a route cannot follow '&': write (a & b).then(handler), with the parentheses"
            )
        if not isinstance(other, Filter):
            return NotImplemented
        return Filter[()](Both(self.node, other.node), self.slots + other.slots)

    @overload
    def __or__(self, other: Filter[*Ts]) -> Filter[*Ts]: ...
    @overload
    def __or__(self: Filter[A], other: Filter[B]) -> Filter[A | B]: ...
    def __or__(self, other: object) -> object:
        if not isinstance(other, Filter):
            return NotImplemented
        if len(self.slots) != len(other.slots):
            raise TypeError(
                "both sides of '|' must extract as many values: "
                f"the left extracts {len(self.slots)}, the right {len(other.slots)}"
            )
        slots = tuple(map(_either, self.slots, other.slots))
        return Filter[()](Either(self.node, other.node), slots)

    def optional(self: Filter[A]) -> Filter[A | None]:
        """Extract None where the value is absent; one that is present but wrong still refuses."""
        slot = self.slots[0]
        return Filter(Maybe(self.node), (Slot(slot.label, _or_none(slot.type), slot.exact),))

    def map(self, fn: Callable[[*Ts], T]) -> Filter[T]:
        """Replace the extracted values by `fn(*values)`; `fn` runs in Python, on every request."""
        return Filter(Mapped(self.node, fn, self.slots), (Slot(None, object),))

    def and_then(self, fn: Callable[[*Ts], Awaitable[T]]) -> Filter[T]:
        """Like `map` with an async `fn`, which may raise `Reject`."""
        return Filter(Awaited(self.node, fn, self.slots), (Slot(None, object),))

    def untuple(self: Filter[tuple[A, B]]) -> Filter[A, B]:
        """Spread an extracted pair over two handler parameters."""
        return Filter(Spread(self.node), (Slot(None, object),) * 2)

    def then(
        self,
        handler: Callable[[*Ts], Awaitable[Reply]],
        *,
        status: int | None = None,
        also: Sequence[int] = (),
        streams: Sequence[str] | Mapping[str, object] = (),
        timeout: float | None = None,
        name: str | None = None,
        raises: Sequence[Code] = (),
    ) -> Route:
        """End the chain: answer with `await handler(*values)`.

        Args:
            handler: an `async def`, or `blocking(fn)`.
            status: of an answer that is not a `Response`.
            also: further statuses of `Response` that are no refusals, for the documentation.
            streams: further content types of a `Response`, of an async generator for instance, for
                the documentation; a mapping says of which type each line, or the `data` of each
                event is. Where events have names, that is a mapping again, of names to types.
            timeout: seconds, 504 beyond; without it the gateway's.
            name: instead of the handler's qualified name.
            raises: the kinds of `Reject` that the handler raises, for the documentation.

        Raises:
            ValueError: the timeout is not positive, or not finite.
        """
        if timeout is not None:
            check_seconds(timeout)
        return Route(
            self.node,
            self.slots,
            handler,
            status=status,
            also=tuple(also),
            streams=tuple(_streams(streams)),
            timeout=timeout,
            name=name,
            raises=tuple(raises),
        )

    def stream(
        self,
        handler: Callable[[*Ts], AsyncIterator[bytes | str]],
        *,
        content_type: str = "text/event-stream",
        timeout: float | None = None,
        name: str | None = None,
        raises: Sequence[Code] = (),
    ) -> Route:
        """End the chain: answer with the chunks of the async generator `handler(*values)`.

        Args:
            handler: yields text or bytes; each chunk is sent at once.
            content_type: of the whole answer.
            timeout: seconds until the first chunk, 504 beyond; without it the gateway's.
            name: instead of the handler's qualified name.
            raises: the kinds of `Reject` that the handler raises before its first chunk.

        Raises:
            ValueError: the timeout is not positive, or not finite.
        """
        if timeout is not None:
            check_seconds(timeout)
        return Route(
            self.node,
            self.slots,
            handler,
            stream=content_type,
            timeout=timeout,
            name=name,
            raises=tuple(raises),
        )

    def answer(
        self,
        content: object,
        *,
        status: int = 200,
        content_type: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        name: str | None = None,
    ) -> Route:
        """End the chain in the core: the same answer each time, text as it is, the rest as JSON."""
        terminal = answer(content, status=status, content_type=content_type, headers=headers)
        return Route(self.node, self.slots, None, terminal=terminal, name=name)

    def metrics(self, written: plan.MetricsFormat, *, name: str | None = None) -> Route:
        """End the chain in the core: its counters, as `prometheus` text or as JSON."""
        return Route(self.node, self.slots, None, terminal=metrics(written), name=name)

    @overload
    def files(
        self: Filter[()],
        folder: str | Folder,
        *,
        index: str | None = ...,
        fallback: bool = ...,
        immutable: Sequence[str] = ...,
        headers: Sequence[tuple[str, str]] = ...,
        types: Mapping[str, str] | None = ...,
        name: str | None = ...,
    ) -> Route: ...
    @overload
    def files(
        self: Filter[str],
        folder: str | Folder,
        *,
        index: str | None = ...,
        fallback: bool = ...,
        immutable: Sequence[str] = ...,
        headers: Sequence[tuple[str, str]] = ...,
        types: Mapping[str, str] | None = ...,
        name: str | None = ...,
    ) -> Route: ...
    def files(
        self,
        folder: str | Folder,
        *,
        index: str | None = "index.html",
        fallback: bool = False,
        immutable: Sequence[str] = (),
        headers: Sequence[tuple[str, str]] = (),
        types: Mapping[str, str] | None = None,
        name: str | None = None,
    ) -> Route:
        """End the chain in the core: a file below `folder`, by the chain's one text (`tail`).

        Without a text it is the index. The folder is read at start and served from memory. With
        `path("p") / tail("file")` also `/p/` and `/p` are answered, unless they have routes of
        their own: a folder without its slash redirects to its index.

        Args:
            folder: only what is below it at start is served, and no hidden files.
            index: the file that stands for a folder, None for none.
            fallback: whether the index answers for names without an extension that are not there.
            immutable: beginnings of names whose files clients may keep for a year.
            headers: sent with each file.
            types: content types by extension, before those that the core knows.
            name: of the route.

        Raises:
            TypeError: the chain extracts more than one text.
        """
        if len(self.slots) > 1:
            raise TypeError(f"files takes one text, the chain extracts {len(self.slots)} values")
        terminal = files(
            folder,
            index=index,
            fallback=fallback,
            immutable=immutable,
            headers=headers,
            types=types,
        )
        return Route(self.node, self.slots, None, terminal=terminal, name=name)

    def echo(self, *, max_bytes: int = MAX_BYTES, name: str | None = None) -> Route:
        """End the chain in the core: a WebSocket that sends back each message."""
        return Route(self.node, self.slots, None, terminal=echo(max_bytes=max_bytes), name=name)

    def hub(self, operation: plan.HubOperation, *, name: str | None = None) -> Route:
        """End the chain in the core: channels over a WebSocket (`socket`), or what is around them.

        A channel is the chain's one path parameter: `path("ws") / param("channel", str)`. The
        body that an operation needs (`publish`, `disconnect`, `revoke`) is asked for by itself.

        Args:
            operation: `socket`, `events` (a channel's messages as server-sent events), or one that
                is answered as JSON: `publish`, `channels`, `presence`, `history`, `disconnect`,
                `revoke`, `revocations`.
            name: of the route, `hub-{operation}` without it.

        Raises:
            TypeError: the chain does not extract the one channel that the operation needs.
        """
        from nexus_gateway.realtime.terminal import BODIES, hub

        terminal = hub(operation, sum(_is_text(slot.type) for slot in self.slots))
        kind = BODIES.get(operation)
        node = self.node
        if kind is not None:
            body = Native(plan.Body(content="json"), kind, Json((kind,)))
            node = Both(node, body)
        return Route(node, self.slots, None, terminal=terminal, name=name or f"hub-{operation}")

    def __bool__(self) -> NoReturn:
        raise TypeError("filters combine with & and |, not with 'and' and 'or'")


class Path(Filter[*Ts]):
    """A filter on the request's path. `/` adds a segment; the match must reach the path's end."""

    __slots__ = ()

    @overload
    def __truediv__(self, segment: str) -> Path[*Ts]: ...
    @overload
    def __truediv__(self, segment: Param[T]) -> Path[*Ts, T]: ...
    def __truediv__(self, segment: str | Param[T]) -> object:
        if isinstance(segment, Param):
            slot = Slot(segment.name, segment.type, exact=True)
            return Path[()](Both(self.node, segment.node), (*self.slots, slot))
        if not isinstance(segment, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            return NotImplemented
        return Path[()](Both(self.node, literal(segment)), self.slots)


class Param(Generic[T]):
    """A typed path segment, named as in the URL template: `param("id", int)` is `{id}`."""

    __slots__ = ("name", "node", "type")

    def __init__(
        self, name: str, kind: object, parameter: Parameter, *, rest: bool = False
    ) -> None:
        self.name = name
        self.type = kind
        step = plan.Param(name=name, kind=parameter.kind)
        self.node = Native(step, kind, parameter.conversion, rest=rest)


def literal(text: str) -> Node:
    """Read literal segments, `api/entities`; outer slashes make no difference.

    Raises:
        ValueError: the text is not part of a path.
    """
    node: Node = Everything()
    for part in filter(None, text.strip("/").split("/")):
        if not part.isascii() or not part.isprintable() or any(mark in part for mark in " {}?#%"):
            raise ValueError(
                f"{part!r} is not a literal path segment: it must be printable ASCII without"
                " blanks, '?', '#', '%' and braces (a variable segment is a param)"
            )
        node = Segment(part) if isinstance(node, Everything) else Both(node, Segment(part))
    return node


def _is_text(kind: object) -> bool:
    return kind is str or (get_origin(kind) is Annotated and get_args(kind)[0] is str)


def _streams(streams: Sequence[str] | Mapping[str, object]) -> Iterator[Media]:
    if not isinstance(streams, Mapping):
        yield from (Media(name) for name in streams)
        return
    for name, kind in streams.items():
        if isinstance(kind, Mapping):
            events = cast("Mapping[str, object]", kind)
            yield Media(name, events=tuple(events.items()))
        else:
            yield Media(name, kind)


def _either(left: Slot, right: Slot) -> Slot:
    label = left.label if left.label == right.label else None
    same = left.type == right.type
    return Slot(label, left.type if same else object, exact=left.exact and right.exact)


def _or_none(kind: object) -> object:
    # `X | None` does not exist for every X that a type may be: a NewType has it, a string has not.
    try:
        return kind | None  # type: ignore[operator]  # any type, known at run time only
    except TypeError:
        return object
