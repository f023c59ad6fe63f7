"""The check of callables at start: what cannot work where it is used is refused, and only that."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from typing import Any, TypedDict, cast
from unittest.mock import AsyncMock

import msgspec
import pydantic
import pytest

from nexus_gateway import Filter, Routes, blocking, body, get, param, path, post, public
from nexus_gateway.compile.lint import lint
from nexus_gateway.server import Application, Server
from nexus_gateway.testing import Client, request

Anything = Callable[..., Any]


async def waits(id: int) -> Any:
    return id


async def chunks(id: int) -> AsyncIterator[str]:
    yield str(id)


def plain(id: int) -> int:
    return id


def items(id: int) -> Generator[int]:
    yield id


def forwards(id: int) -> Awaitable[int]:
    return waits(id)


def forwards_chunks(id: int) -> AsyncIterator[str]:
    return chunks(id)


def decorated(fn: Anything) -> Anything:
    @functools.wraps(fn)
    def call(*values: object) -> object:
        return fn(*values)

    return call


def made_async(fn: Anything) -> Anything:
    @functools.wraps(fn)
    async def call(*values: object) -> object:
        return fn(*values)

    return call


class Calls:
    def __call__(self, id: int) -> int:
        return id

    def plain(self, id: int) -> int:
        return id

    async def waits(self, id: int) -> int:
        return id

    @staticmethod
    def static(id: int) -> int:
        return id

    @classmethod
    async def of_class(cls, id: int) -> int:
        return id


class Waits:
    async def __call__(self, id: int) -> int:
        return id


class Streams:
    async def __call__(self, id: int) -> AsyncIterator[str]:
        yield str(id)


ONE: Filter[int] = path("x") / param("id", int) & get()


def errors(routes: Any) -> list[str]:
    return [found.message for found in lint(routes) if found.level == "error"]


def then(handler: Anything) -> list[str]:
    return errors(ONE.then(handler))


def stream(handler: Anything) -> list[str]:
    return errors(ONE.stream(handler))


def mapped(function: Anything) -> list[str]:
    return errors(ONE.map(function).then(taking_anything))


def and_then(function: Anything) -> list[str]:
    return errors(ONE.and_then(function).then(taking_anything))


def recover(function: Anything) -> list[str]:
    return errors(ONE.then(waits).recover(function))


async def taking_anything(value: Any) -> None: ...


async def recovers(error: Exception) -> str:
    return str(error)


def recovers_plainly(error: Exception) -> str:
    return str(error)


async def recovers_value(error: ValueError, more: int) -> str:
    return f"{error}{more}"


WRONG: list[tuple[Callable[[Anything], list[str]], Anything, str]] = [
    (
        then,
        plain,
        "plain() is a plain `def`; a handler is an `async def`: write an `async def`, or",
    ),
    (then, functools.partial(plain), "is a plain `def`"),
    (then, functools.partial(functools.partial(plain)), "is a plain `def`"),
    (then, decorated(plain), "is a plain `def`"),
    (then, decorated(chunks), "end the chain with .stream(handler)"),
    (then, Calls(), "Calls() is a plain `def`"),
    (then, Calls().plain, "Calls.plain() is a plain `def`"),
    (then, Calls.static, "is a plain `def`"),
    (then, Calls, "Calls() is a class"),
    (
        then,
        chunks,
        "is an async generator; a handler is an `async def`: end the chain with .stream",
    ),
    (then, Streams(), "is an async generator"),
    (then, forwards_chunks, "returns an async iterator"),
    (then, items, "is a generator"),
    (then, lambda id: "text", "is a plain `def`"),
    (then, len, "is a plain `def`"),
    (then, functools.cache(plain), "is a plain `def`"),
    (then, functools.cache(waits), "awaited once only"),
    (then, cast("Anything", "text"), "found str, which is not callable"),
    (stream, waits, "is an `async def`; a stream's handler is an async generator"),
    (stream, items, "is a generator"),
    (stream, plain, "is a plain `def`"),
    (stream, Waits(), "is an `async def`"),
    (stream, functools.partial(items), "is a generator"),
    (mapped, waits, "is an `async def`; map takes a plain function: write and_then"),
    (mapped, Waits(), "write and_then"),
    (mapped, functools.partial(waits), "write and_then"),
    (mapped, chunks, "is an async generator"),
    (mapped, forwards, "write and_then"),
    (mapped, lambda a, b: (a, b), "takes 2 values, its filters extract 1"),
    (mapped, lambda: 1, "takes 0 values, its filters extract 1"),
    (and_then, plain, "and_then takes an `async def`: write map(...) for it"),
    (and_then, chunks, "is an async generator"),
    (and_then, str, "str() is a class"),
    (and_then, Calls(), "is a plain `def`"),
    (recover, recovers_plainly, "recover takes an `async def`"),
    (recover, recovers_value, "takes 2 values"),
]
RIGHT: list[tuple[Callable[[Anything], list[str]], Anything]] = [
    (then, waits),
    (then, functools.partial(waits)),
    (then, decorated(waits)),
    (then, decorated(decorated(waits))),
    (then, made_async(plain)),
    (then, blocking(plain)),
    (then, Waits()),
    (then, Calls().waits),
    (then, Calls.of_class),
    (then, forwards),
    (then, lambda id: waits(int(id))),
    (then, AsyncMock()),
    (stream, chunks),
    (stream, forwards_chunks),
    (stream, Streams()),
    (stream, decorated(chunks)),
    (mapped, plain),
    (mapped, str),
    (mapped, Calls()),
    (mapped, "{}".format),
    (mapped, lambda number: number + 1),
    (mapped, functools.partial(max, 3)),
    (and_then, waits),
    (and_then, forwards),
    (and_then, lambda number: asyncio.sleep(0, number)),
    (recover, recovers),
]


@pytest.mark.parametrize(("use", "function", "message"), WRONG)
def test_what_cannot_work_is_refused_at_start(
    use: Callable[[Anything], list[str]], function: Anything, message: str
) -> None:
    found = use(function)

    assert len(found) >= 1
    assert message in found[0]


@pytest.mark.parametrize(("use", "function"), RIGHT)
def test_what_can_work_is_accepted(
    use: Callable[[Anything], list[str]], function: Anything
) -> None:
    assert use(function) == []


def test_functions_inside_alternatives_are_checked() -> None:
    text: Filter[Any] = path("x") & (body(int).map(cast("Anything", waits)) | body(str)) & get()

    (found,) = errors(text.then(taking_anything))

    assert "write and_then" in found


@pytest.mark.parametrize("function", [waits, chunks, items, functools.partial(waits), Waits()])
def test_blocking_takes_plain_functions_only(function: Anything) -> None:
    with pytest.raises(TypeError, match="blocking takes a plain `def`"):
        blocking(function)


# --- lifespans ---


async def bare() -> AsyncGenerator[None]:
    yield


@contextlib.asynccontextmanager
async def opened() -> AsyncGenerator[None]:
    yield


@contextlib.contextmanager
def synchronous() -> Generator[None]:
    yield


@contextlib.asynccontextmanager
async def of_an_application(app: object) -> AsyncGenerator[None]:
    yield


async def no_yield() -> None: ...


class Opens:
    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


@pytest.mark.parametrize(
    ("lifespan", "message"),
    [
        (bare, "and @asynccontextmanager of contextlib above it"),
        (no_yield, "is an `async def`: write an async generator"),
        (synchronous, "is a generator below its decorator"),
        (of_an_application, "is called without arguments: missing a required argument: 'app'"),
        (Opens(), "found Opens: name the function"),
        (Calls, "it has no __aenter__"),
        (functools.partial(bare), "@asynccontextmanager"),
    ],
)
def test_a_lifespan_that_cannot_be_opened_is_refused(lifespan: Any, message: str) -> None:
    application = Application(Routes(ONE.then(waits)), lifespan=lifespan)

    with pytest.raises(TypeError) as caught:
        Server(application)

    assert message in str(caught.value)


@pytest.mark.parametrize("lifespan", [opened, Opens, functools.partial(of_an_application, 1)])
def test_a_lifespan_that_can_be_opened_serves(lifespan: Any) -> None:
    with Client(Application(Routes(ONE.then(waits)), lifespan=lifespan)) as client:
        assert client.send(request("GET /x/3")).json() == 3


# --- signatures and bodies ---


class Point(TypedDict):
    x: int
    y: int


class OnlyX(TypedDict):
    x: int


class Other(TypedDict):
    z: int


class Wrong(TypedDict):
    x: str


async def takes_any(value: Any) -> None: ...
async def takes_list_of_any(value: list[Any]) -> None: ...
async def takes_object(value: object) -> None: ...
async def takes_point(value: Point) -> None: ...
async def takes_only_x(value: OnlyX) -> None: ...
async def takes_other(value: Other) -> None: ...
async def takes_wrong(value: Wrong) -> None: ...
async def takes_dict(value: dict[str, Any]) -> None: ...
async def takes_union(value: list[int] | Point) -> None: ...


def with_body(kind: Any, handler: Anything) -> list[str]:
    return errors((path("x") & post() & public() & body(kind)).then(handler))


@pytest.mark.parametrize(
    ("kind", "handler"),
    [
        (int, takes_any),
        (list[int], takes_list_of_any),
        (list[Any], takes_list_of_any),
        (Any, takes_point),
        (Point, takes_any),
        (Point, takes_object),
        (Point, takes_point),
        (Point, takes_only_x),
        (Point, takes_dict),
        (dict[str, int], takes_point),
        (Point, takes_union),
        (list[int], takes_union),
    ],
)
def test_a_signature_that_takes_the_body_is_accepted(kind: Any, handler: Anything) -> None:
    assert with_body(kind, handler) == []


@pytest.mark.parametrize(
    ("kind", "handler"), [(Point, takes_other), (Point, takes_wrong), (int, takes_point)]
)
def test_a_typed_dict_that_the_body_does_not_fit_is_refused(kind: Any, handler: Anything) -> None:
    assert len(with_body(kind, handler)) == 1


class Model(pydantic.BaseModel):
    x: int


class Plain:
    pass


class HasObjects(msgspec.Struct):
    anything: object
    each: dict[str, object]


@pytest.mark.parametrize("kind", [object, Any, list[object], HasObjects])
def test_a_body_of_anything_is_accepted(kind: Any) -> None:
    assert with_body(kind, takes_any) == []


class HasModel(msgspec.Struct):
    models: list[Model]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Model, "Model is a pydantic model, which is not decoded here; write its fields in"),
        (list[Model], "Model is a pydantic model"),
        (Model | None, "Model is a pydantic model"),
        (dict[str, Model], "Model is a pydantic model"),
        (HasModel, "Model is a pydantic model"),
        (Plain, "JSON has no form for Plain"),
    ],
)
def test_a_body_that_json_cannot_be_decoded_as_is_refused(kind: Any, message: str) -> None:
    with pytest.raises(TypeError) as caught:
        body(kind)

    assert message in str(caught.value)
