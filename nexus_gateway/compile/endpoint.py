"""Endpoints: how the binding calls a handler.

The fast form: a slot for each argument, and `call` is the handler itself. Where Python has to
complete a chain, the binding hands over all of the core's values as one list, and readers compiled
here make the arguments of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeGuard, get_origin

import msgspec

from nexus_gateway.compile.conversion import Convert, build, construct
from nexus_gateway.compile.lower import Apply, Choose, Perhaps, Reading, Take, Unpack
from nexus_gateway.describe.handler import origin_of, returns_of
from nexus_gateway.describe.node import Constant, Record, State
from nexus_gateway.describe.reject import rejection_of
from nexus_gateway.describe.reply import Response

if TYPE_CHECKING:
    from nexus_gateway.describe.route import Recover, Route

Slot: TypeAlias = (
    tuple[str, Convert | None]
    | tuple[str, Callable[..., object], tuple[str, ...], tuple[Convert | None, ...]]
    | tuple[str, object]
)
StateMap: TypeAlias = Mapping[object, object]
_Values: TypeAlias = Iterator[object]
_Reader: TypeAlias = Callable[[_Values], Awaitable[list[object]]]


class EndpointSpec(msgspec.Struct, frozen=True):
    """What `_core.Endpoint` is made of: with slots `call(*arguments)`, without `call(values)`.

    `origin` names the handler in the log.
    """

    call: Callable[..., object]
    slots: tuple[Slot, ...] | None
    stream: str | None
    origin: str


def endpoint(route: Route, readings: Sequence[Reading], state: StateMap) -> EndpointSpec:
    """Compile how a route's handler is called.

    Raises:
        TypeError: the handler needs an object of `state` that is not there.
    """
    if route.handler is None:
        raise TypeError("the core answers this route itself")
    call = route.handler
    if route.status is not None and not _returns_response(call):
        call = _with_status(call, route.status)
    slots = _slots(readings, state)
    if slots is None:
        read = _several(readings, state)
        call = _read_stream(read, call) if route.stream else _read_then(read, call)
    if route.recovery is not None and not route.stream:
        call = _recovering(call, route.recovery)
    return EndpointSpec(call, slots, route.stream, origin_of(route.handler))


def _slots(readings: Sequence[Reading], state: StateMap) -> tuple[Slot, ...] | None:
    slots = [_slot(reading, state) for reading in readings]
    found = tuple(slot for slot in slots if slot is not None)
    return found if len(found) == len(slots) else None


def _slot(reading: Reading, state: StateMap) -> Slot | None:
    match reading:
        case Take(conversion=Record() as record):
            converts = tuple(build(conversion) for conversion in record.conversions)
            return ("record", construct(record), record.names, converts)
        case Take():
            return ("value", build(reading.conversion))
        case Constant():
            return ("constant", reading.value)
        case State():
            return ("constant", _find(reading, state))
        case _:
            return None


def _find(wanted: State, state: StateMap) -> object:
    if wanted.type not in state:
        known = ", ".join(sorted(_spell(kind) for kind in state)) or "nothing"
        raise TypeError(
            f"no object is given at start for state({_spell(wanted.type)}), only for {known}"
        )
    return state[wanted.type]


def _spell(kind: object) -> str:
    return kind.__qualname__ if isinstance(kind, type) else str(kind)


# --- calls ---


def _with_status(handler: Callable[..., object], status: int) -> Callable[..., object]:
    async def call(*values: object) -> object:
        reply = await _awaitable(handler(*values))
        return reply if _is_response(reply) else Response(reply, status)

    return call


def _returns_response(handler: Callable[..., object]) -> bool:
    returned = returns_of(handler)
    return (get_origin(returned) or returned) is Response


def _is_response(reply: object) -> bool:
    return isinstance(reply, Response)


def _recovering(inner: Callable[..., object], recovery: Recover) -> Callable[..., object]:
    async def call(*values: object) -> object:
        try:
            return await _awaitable(inner(*values))
        except Exception as error:
            if rejection_of(error) is not None:
                raise
            return await recovery(error)

    return call


def _read_then(read: _Reader, handler: Callable[..., object]) -> Callable[..., object]:
    async def call(values: Sequence[object]) -> object:
        return await _awaitable(handler(*await read(iter(values))))

    return call


def _read_stream(read: _Reader, handler: Callable[..., object]) -> Callable[..., object]:
    async def call(values: Sequence[object]) -> AsyncIterator[object]:
        chunks = handler(*await read(iter(values)))
        if not _is_async_iterator(chunks):
            raise TypeError(f"a stream's handler is an async generator, not {type(chunks)}")
        async for chunk in chunks:
            yield chunk

    return call


async def _awaitable(result: object) -> object:
    if not _is_awaitable(result):
        raise TypeError(f"a handler is an `async def`, this one returned {type(result).__name__}")
    return await result


def _is_awaitable(value: object) -> TypeGuard[Awaitable[object]]:
    return isinstance(value, Awaitable)


def _is_async_iterator(value: object) -> TypeGuard[AsyncIterator[object]]:
    return isinstance(value, AsyncIterator)


# --- readers: the core's values, one after the other, as arguments ---


def _reader(reading: Reading, state: StateMap) -> _Reader:  # noqa: PLR0911  # one for each kind
    match reading:
        case Take():
            return _take(build(reading.conversion))
        case Constant():
            return _give(reading.value)
        case State():
            return _give(_find(reading, state))
        case Apply():
            return _apply(_several(reading.inner, state), reading.function, awaited=reading.awaited)
        case Unpack():
            return _unpack(_several(reading.inner, state))
        case Choose():
            return _choose([_several(inner, state) for inner in reading.alternatives])
        case Perhaps():
            return _perhaps(_several(reading.inner, state), reading)


def _several(readings: Sequence[Reading], state: StateMap) -> _Reader:
    readers = [_reader(reading, state) for reading in readings]

    async def read(values: _Values) -> list[object]:
        return [argument for reader in readers for argument in await reader(values)]

    return read


def _take(convert: Convert | None) -> _Reader:
    async def read(values: _Values) -> list[object]:
        value = next(values)
        return [value if convert is None else convert(value)]

    return read


def _give(value: object) -> _Reader:
    async def read(_: _Values) -> list[object]:
        return [value]

    return read


def _apply(inner: _Reader, function: Callable[..., object], *, awaited: bool) -> _Reader:
    async def read(values: _Values) -> list[object]:
        result = function(*await inner(values))
        return [await _awaitable(result) if awaited else result]

    return read


def _unpack(inner: _Reader) -> _Reader:
    async def read(values: _Values) -> list[object]:
        (pair,) = await inner(values)
        if not isinstance(pair, tuple):
            raise TypeError(f"untuple() needs a pair, its filter made {type(pair).__name__}")
        return [*pair]

    return read


def _choose(alternatives: Sequence[_Reader]) -> _Reader:
    async def read(values: _Values) -> list[object]:
        index = next(values)
        return await alternatives[index if isinstance(index, int) else 0](values)

    return read


def _perhaps(inner: _Reader, reading: Perhaps) -> _Reader:
    async def read(values: _Values) -> list[object]:
        if next(values) is not None:
            return await inner(values)
        for _ in range(reading.width):
            next(values)
        return [None] * reading.outputs

    return read
