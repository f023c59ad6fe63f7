"""What calling a function gives: a coroutine, an async generator, or a plain value.

The check at start refuses the functions that cannot work where they are used, such as a plain `def`
as a handler, which would fail at every request. Only the outermost callable counts: a decorator
that is an `async def` makes a handler of anything. Where nobody can say, nothing is refused.
"""

from __future__ import annotations

import dis
import functools
import inspect
import sys
import types
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from enum import Enum
from typing import cast, get_origin

from nexus_gateway.describe.handler import annotated_return, name_of, place_of

# The class of what `functools.cache` makes.
_CACHED = type(functools.cache(repr))


class CallKind(Enum):
    """What a call gives, by the words of a message."""

    COROUTINE = "an `async def`"
    ASYNC_GENERATOR = "an async generator"
    GENERATOR = "a generator"
    PLAIN = "a plain `def`"
    TYPE = "a class"
    ITERABLE = "a function that returns an async iterator"
    CACHED = "a cached function"
    UNKNOWN = "unknown"


def kind_of(function: object) -> CallKind:
    """Classify a function by what calling it gives."""
    kind = _outermost(function)
    if kind is not CallKind.PLAIN:
        return kind
    declared = _declared(function)
    if declared is not None:
        return declared
    inner: object = getattr(_called(function), "__wrapped__", None)
    # A decorator that is a plain function gives what it calls.
    return kind if inner is None else kind_of(inner)


def _outermost(function: object) -> CallKind:  # noqa: PLR0911  # one for each kind
    called = _called(function)
    if isinstance(called, _CACHED):
        inner = kind_of(called.__wrapped__)
        return CallKind.PLAIN if inner is CallKind.PLAIN else CallKind.CACHED
    if inspect.iscoroutinefunction(called) or _is_generator_coroutine(called):
        return CallKind.COROUTINE
    if inspect.isasyncgenfunction(called):
        return CallKind.ASYNC_GENERATOR
    if inspect.isgeneratorfunction(called):
        return CallKind.GENERATOR
    if isinstance(called, type):
        return _of_type(called)
    if isinstance(called, types.FunctionType):
        return CallKind.UNKNOWN if _may_forward(called) else CallKind.PLAIN
    if isinstance(called, types.BuiltinFunctionType):
        standard = str(called.__module__).partition(".")[0] in sys.stdlib_module_names
        return CallKind.PLAIN if standard else CallKind.UNKNOWN
    return CallKind.UNKNOWN


def _called(function: object) -> object:
    """Find the function that runs: below partials, bound methods and objects with `__call__`."""
    while True:
        if isinstance(function, functools.partial):
            function = cast("object", function.func)
        elif isinstance(function, types.MethodType):
            function = function.__func__
        elif (
            isinstance(function, type | types.FunctionType | types.BuiltinFunctionType)
            or hasattr(function, "__wrapped__")
            or inspect.iscoroutinefunction(function)
        ):
            return function
        else:
            called: object = inspect.getattr_static(type(function), "__call__", None)
            if not isinstance(called, types.FunctionType | functools.partialmethod):
                return function
            function = called.func if isinstance(called, functools.partialmethod) else called


def _is_generator_coroutine(function: object) -> bool:
    code = getattr(function, "__code__", None)
    return isinstance(code, types.CodeType) and bool(code.co_flags & inspect.CO_ITERABLE_COROUTINE)


def _of_type(kind: type) -> CallKind:
    if hasattr(kind, "__await__"):
        return CallKind.COROUTINE
    if hasattr(kind, "__aiter__") and hasattr(kind, "__anext__"):
        return CallKind.ITERABLE
    return CallKind.TYPE


def _may_forward(function: types.FunctionType) -> bool:
    """Say whether a lambda may return what another function gives; it has no annotation."""
    return function.__name__ == "<lambda>" and any(
        step.opname.startswith("CALL") for step in dis.get_instructions(function)
    )


def _declared(function: object) -> CallKind | None:
    returned = annotated_return(function)
    returned = get_origin(returned) or returned
    if not isinstance(returned, type):
        return None
    if issubclass(returned, Awaitable):
        return CallKind.COROUTINE
    # One that has only `__aiter__` is not one that can be read.
    if issubclass(returned, AsyncIterator):
        return CallKind.ITERABLE
    return CallKind.UNKNOWN if issubclass(returned, AsyncIterable) else None


# --- what each use takes ---


def check_handler(function: Callable[..., object]) -> None:
    """Refuse what cannot answer a request.

    Raises:
        TypeError: it cannot be awaited; the message says what to write.
    """
    kind = kind_of(function)
    instead = {
        CallKind.ASYNC_GENERATOR: "end the chain with .stream(handler)",
        CallKind.ITERABLE: "end the chain with .stream(handler)",
        CallKind.GENERATOR: "write an `async def`, or an async generator and .stream(handler)",
        CallKind.PLAIN: "write an `async def`, or blocking(handler) to run it on a thread",
        CallKind.TYPE: "write an `async def`",
        CallKind.CACHED: "a coroutine can be awaited once only",
    }
    _refuse(function, kind, "a handler is an `async def`", instead)


def check_awaited(function: object, use: str) -> None:
    """Refuse what `and_then` or `recover` cannot await.

    Raises:
        TypeError: it cannot be awaited; the message says what to write.
    """
    kind = kind_of(function)
    plain = "write map(...) for it" if use == "and_then" else "write an `async def`"
    instead = {
        CallKind.ASYNC_GENERATOR: "write an `async def` without `yield`",
        CallKind.ITERABLE: "write an `async def`",
        CallKind.GENERATOR: "write an `async def` without `yield`",
        CallKind.PLAIN: plain,
        CallKind.TYPE: plain,
        CallKind.CACHED: "a coroutine can be awaited once only",
    }
    _refuse(function, kind, f"{use} takes an `async def`", instead)


def check_stream(function: object) -> None:
    """Refuse what cannot be a stream.

    Raises:
        TypeError: it is no async generator; the message says what to write.
    """
    kind = kind_of(function)
    written = "write `async def` with `yield`"
    instead = {
        CallKind.COROUTINE: f"end the chain with .then(handler), or {written}",
        CallKind.GENERATOR: written,
        CallKind.PLAIN: written,
        CallKind.TYPE: written,
        CallKind.CACHED: "it can be read once only",
    }
    _refuse(function, kind, "a stream's handler is an async generator", instead)


def check_mapped(function: object) -> None:
    """Refuse what gives no value to `map`.

    Raises:
        TypeError: it is asynchronous; the message says what to write.
    """
    kind = kind_of(function)
    instead = {
        CallKind.COROUTINE: "write and_then(...) for it",
        CallKind.ASYNC_GENERATOR: "write and_then(...) with an `async def` without `yield`",
    }
    # A class makes a value, whatever can be done with it later.
    if not isinstance(_called(function), type):
        _refuse(function, kind, "map takes a plain function", instead)


def check_blocking(function: object) -> None:
    """Refuse what does not run on a thread.

    Raises:
        TypeError: it is asynchronous or a generator; the message says what to write.
    """
    kind = kind_of(function)
    instead = {
        CallKind.COROUTINE: "it is a handler without blocking()",
        CallKind.ASYNC_GENERATOR: "end the chain with .stream(handler)",
        CallKind.ITERABLE: "end the chain with .stream(handler)",
        CallKind.GENERATOR: "return a list",
    }
    _refuse(function, kind, "blocking takes a plain `def`", instead)


def check_lifespan(lifespan: object) -> None:
    """Refuse what does not open an async context.

    Raises:
        TypeError: its decorator is missing, or it takes arguments; the message says what to write.
    """
    if not callable(lifespan):
        found = type(lifespan).__qualname__
        raise TypeError(
            f"lifespan: expected a function that makes an async context manager, found {found}: "
            "name the function, without calling it"
        )
    where = f"lifespan: {place_of(lifespan)}: {name_of(lifespan)}()"
    called = _called(lifespan)
    inner: object = getattr(called, "__wrapped__", None)
    kind = _outermost(lifespan) if inner is None else kind_of(inner)
    if inner is None and kind in (CallKind.ASYNC_GENERATOR, CallKind.COROUTINE, CallKind.GENERATOR):
        raise TypeError(
            f"{where} is {kind.value}: write an async generator with one `yield`, and "
            "@asynccontextmanager of contextlib above it"
        )
    if inner is not None and kind in (CallKind.COROUTINE, CallKind.GENERATOR):
        raise TypeError(
            f"{where} is {kind.value} below its decorator: @asynccontextmanager needs an "
            "`async def` with `yield`"
        )
    if isinstance(called, type) and not hasattr(called, "__aenter__"):
        raise TypeError(f"{where} makes no async context manager: it has no __aenter__")
    try:
        inspect.signature(lifespan).bind()
    except TypeError as error:
        raise TypeError(f"{where} is called without arguments: {error}") from None
    except ValueError:
        return


def _refuse(function: object, kind: CallKind, expected: str, instead: dict[CallKind, str]) -> None:
    advice = instead.get(kind)
    if advice is not None and callable(function):
        where = f"{place_of(function)}: {name_of(function)}()"
        raise TypeError(f"{where} is {kind.value}; {expected}: {advice}")
    if not callable(function):
        raise TypeError(f"{expected}, found {type(function).__qualname__}, which is not callable")
