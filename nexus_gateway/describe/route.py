"""Routes: a chain with its handler, and the check of one against the other at start.

The type checkers see most of what is wrong. What they cannot see is checked here, once: the names
of path parameters, same-typed values swapped, and handlers that were written without annotations.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias, TypeVar, TypeVarTuple, cast

import msgspec

from nexus_gateway import plan
from nexus_gateway.describe.call_kind import (
    check_awaited,
    check_blocking,
    check_handler,
    check_stream,
)
from nexus_gateway.describe.handler import Handler, check, name_of, place_of
from nexus_gateway.describe.node import Media, Node, Slot
from nexus_gateway.describe.reject import Code
from nexus_gateway.describe.reply import Reply

if TYPE_CHECKING:
    from nexus_gateway.describe.filter import Filter

Ts = TypeVarTuple("Ts")
T = TypeVar("T")
Recover: TypeAlias = Callable[[Exception], Awaitable[Reply]]


SECONDS_MAX = 4_000_000
"""Seconds that a route may take."""


def check_seconds(seconds: float) -> None:
    """Refuse a time that no route can be given.

    Raises:
        ValueError: it is not positive, not finite or too long.
    """
    if not 0 < seconds <= SECONDS_MAX:
        raise ValueError(
            f"a timeout is a positive number of seconds, at most {SECONDS_MAX}, found {seconds}"
        )


class Timeout(msgspec.Struct, frozen=True):
    """A layer: the time, in seconds, that each of the wrapped routes may take."""

    seconds: float


Layer: TypeAlias = plan.Log | plan.Cors | plan.Compress | plan.AddressLimit | Timeout


class Route(msgspec.Struct, frozen=True, eq=False):
    """A chain with its handler, or with what the core answers itself (`terminal`).

    `stream` is the content type of a stream, None where the handler answers at once.
    """

    node: Node
    slots: tuple[Slot, ...]
    handler: Handler | None
    terminal: plan.Terminal | None = None
    stream: str | None = None
    status: int | None = None
    also: tuple[int, ...] = ()
    streams: tuple[Media, ...] = ()
    timeout: float | None = None
    name: str | None = None
    raises: tuple[Code, ...] = ()
    recovery: Recover | None = None

    def __or__(self, other: Route | Routes) -> Routes:
        return Routes(self, other)

    def __ror__(self, other: object) -> Routes:
        raise TypeError(_not_a_route(other))

    def recover(self, fn: Recover) -> Route:
        """Answer what the handler raised with `await fn(exception)`, which may raise a `Reject`.

        Refusals of the core's filters never enter Python, so `fn` does not see them.
        """
        return msgspec.structs.replace(self, recovery=fn)

    def check(self) -> None:
        """Compare the handler with the chain, once, at start.

        Raises:
            TypeError: the handler cannot work, or the count, a name or an annotation differs; the
                message names both sides.
        """
        if self.handler is not None:
            (check_handler if self.stream is None else check_stream)(self.handler)
            check(self.handler, self.slots)
        if self.recovery is not None:
            check_awaited(self.recovery, "recover")
            check(self.recovery, (Slot(None, Exception),), by_name=False)

    @property
    def title(self) -> str:
        """The route's name: as given, or its handler's, or what the core answers with."""
        if self.name is not None:
            return self.name
        if self.handler is not None:
            return name_of(self.handler)
        return "answer" if self.terminal is None else str(self.terminal.__struct_config__.tag)

    @property
    def place(self) -> str:
        """Where the handler is, `file:line`; empty where there is none."""
        return "" if self.handler is None else place_of(self.handler)


class Routes:
    """A set of routes: what a gateway is made of. The most exact path wins, whatever the order."""

    __slots__ = ("layers", "routes")

    def __init__(self, *routes: Route | Routes, layers: tuple[Layer, ...] = ()) -> None:
        """Join routes and sets of them.

        Raises:
            TypeError: something is not a route, or not a layer; the message says what to write.
        """
        found: list[Route] = []
        joined = list(_layers(layers))
        for one in routes:
            if isinstance(one, Routes):
                found.extend(one.routes)
                joined.extend(layer for layer in one.layers if layer not in joined)
            elif isinstance(one, Route):  # pyright: ignore[reportUnnecessaryIsInstance]
                found.append(one)
            else:
                raise TypeError(_not_a_route(one))
        self.routes: tuple[Route, ...] = tuple(found)
        self.layers: tuple[Layer, ...] = tuple(joined)

    def __or__(self, other: Route | Routes) -> Routes:
        return Routes(self, other)

    def __ror__(self, other: object) -> Routes:
        raise TypeError(_not_a_route(other))

    def wrap(self, *layers: Layer) -> Routes:
        """Put log, cors, compress or limit around the gateway, or a timeout around the routes.

        A layer wraps every answer, also a 404: it belongs to the whole gateway, whichever routes it
        was written at. Only `timeout` is of the routes that it wraps.
        """
        routes = self.routes
        layers = _layers(layers)
        for layer in layers:
            if isinstance(layer, Timeout):
                routes = tuple(_within(route, layer.seconds) for route in routes)
        more = tuple(layer for layer in layers if not isinstance(layer, Timeout))
        return Routes(*routes, layers=(*self.layers, *more))

    # Warp's word for the same.
    with_ = wrap

    def recover(self, fn: Recover) -> Routes:
        """Answer what a handler of these routes raised with `await fn(exception)`."""
        routes = (route if route.recovery else route.recover(fn) for route in self.routes)
        return Routes(*routes, layers=self.layers)


def route(
    chain: Filter[*Ts],
    *,
    status: int | None = None,
    timeout: float | None = None,
    name: str | None = None,
    raises: tuple[Code, ...] = (),
) -> Callable[[Callable[[*Ts], Awaitable[Reply]]], Route]:
    """`@route(chain)` above a handler is `chain.then(handler)`."""

    def end(handler: Callable[[*Ts], Awaitable[Reply]]) -> Route:
        return chain.then(handler, status=status, timeout=timeout, name=name, raises=raises)

    return end


def blocking(fn: Callable[[*Ts], T]) -> Callable[[*Ts], Awaitable[T]]:
    """Let a plain `def` be a handler; it runs on a worker thread, never on the event loop.

    Raises:
        TypeError: the function is asynchronous or a generator.
    """
    check_blocking(fn)
    # Imported here: to describe a gateway needs no event loop, and asyncio is half of the import.
    from asyncio import to_thread

    def run(*values: *Ts) -> T:
        try:
            return fn(*values)
        except StopIteration as error:
            # A future cannot hold it, so its handler would wait until the deadline.
            raise RuntimeError(f"{name_of(fn)}() raised StopIteration") from error

    async def call(*values: *Ts) -> T:
        return await to_thread(run, *values)

    return functools.update_wrapper(call, fn)


def _layers(layers: object) -> tuple[Layer, ...]:
    if not isinstance(layers, list | tuple):
        raise TypeError(f"layers are a tuple, (log(), cors(...)), found {_spell(layers)}")
    given = cast("list[object] | tuple[object, ...]", layers)
    for layer in given:
        if not isinstance(layer, Layer):
            raise TypeError(
                f"{_spell(layer)} is not a layer: take log(), cors(...), compress(), limit(...)"
                " or timeout(...)"
            )
    return tuple(layer for layer in given if isinstance(layer, Layer))


def _not_a_route(found: object) -> str:
    # Not by its type, whose module imports this one.
    if hasattr(found, "then"):
        return "a chain is not a route yet: end it with .then(handler)"
    if isinstance(found, list | tuple | set | frozenset | dict):
        shown = _spell(cast("object", found))
        return f"Routes takes each route as an argument, Routes(*routes), found {shown}"
    if callable(found):
        return f"{_spell(found)} is not a route: write chain.then({name_of(found)})"
    return f"expected a route, found {_spell(found)}"


def _spell(found: object) -> str:
    if callable(found):
        return f"{name_of(found)}() of {place_of(found)}"
    return f"a {type(found).__qualname__}"


def _within(route: Route, seconds: float) -> Route:
    return route if route.timeout is not None else msgspec.structs.replace(route, timeout=seconds)
