"""Routes and their handlers: the check at start, names, layers, recovery, threads and streams."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, NewType, Protocol

import msgspec
import pytest

from nexus_gateway import (
    Filter,
    Reject,
    Reply,
    Response,
    Route,
    Routes,
    blocking,
    body,
    cors,
    created,
    get,
    log,
    param,
    path,
    post,
    query,
    route,
    timeout,
)
from nexus_gateway.describe.handler import check, fits, name_of, place_of
from nexus_gateway.testing import request
from tests.harness.in_process import refused

if TYPE_CHECKING:
    from decimal import Decimal

    from nexus_gateway.describe.node import Slot

EntityId = NewType("EntityId", int)
UserId = NewType("UserId", int)


class Entity(msgspec.Struct):
    id: int


class Other(msgspec.Struct):
    id: int


class Show:
    async def __call__(self, id: int) -> None: ...

    async def method(self, id: int) -> None: ...


class Loads(Protocol):
    def load(self) -> None: ...


ID = param("id", int)
both: Filter[int, int] = path("x") / param("a", int) / param("b", int) & get()
one: Filter[int] = path("x") / ID & get()


async def fine(a: int, b: int) -> None: ...


def plain(a: int, b: int) -> None: ...


async def with_default(a: int, b: int, extra: int = 1) -> None: ...


async def swapped(b: int, a: int) -> None: ...


async def keyword(a: int, b: int, *, c: int) -> None: ...


async def anything(*values: object) -> None: ...


async def unknown(a: Decimal, b: int) -> None: ...


async def wants_text(id: str) -> None: ...


async def other(entity: Other) -> None: ...


async def paged(limit: int, offset: int) -> None: ...


# What the checkers cannot know of: a program without annotations.
UNNOTED: dict[str, Callable[..., object]] = {}
exec("async def unnoted(a, b): ...", UNNOTED)

FITTING: list[Callable[..., object]] = [
    fine,
    UNNOTED["unnoted"],
    with_default,
    anything,
    unknown,
    blocking(plain),
    functools.partial(fine),
]
MISFITS: list[tuple[tuple[Slot, ...], Callable[..., object], str]] = [
    (both.slots, swapped, "the filters extract 'a' where the handler takes 'b'"),
    (one.slots, fine, "takes 2 values, its filters extract 1: id"),
    (both.slots, keyword, "takes 'c' by keyword"),
    (one.slots, wants_text, "'id' is str, its filter extracts int"),
    (body(Entity).slots, other, "'entity' is Other, its filter extracts Entity"),
    (
        (query("offset", int) & query("limit", int)).slots,
        paged,
        "the filters extract 'offset' where the handler takes 'limit'",
    ),
]


@pytest.mark.parametrize("handler", FITTING)
def test_a_handler_that_fits_passes(handler: Callable[..., object]) -> None:
    check(handler, both.slots)


@pytest.mark.parametrize("handler", [Show(), Show().method])
def test_a_callable_object_and_a_bound_method_are_handlers(handler: Callable[..., object]) -> None:
    check(handler, one.slots)


@pytest.mark.parametrize(("slots", "handler", "message"), MISFITS)
def test_a_handler_that_does_not_fit_is_named_with_its_place(
    slots: tuple[Slot, ...], handler: Callable[..., object], message: str
) -> None:
    with pytest.raises(TypeError) as caught:
        check(handler, slots)

    text = str(caught.value)
    line = inspect.getsourcelines(handler)[1]
    assert message in text
    assert f"test_route.py:{line}: {name_of(handler)}()" in text


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (int, int),
        (int, float),
        (int, object),
        (object, int),
        (bool, int),
        (Entity, msgspec.Struct),
        (Annotated[int, msgspec.Meta(ge=1)], int),
        (int, Annotated[int, "any"]),
        (EntityId, EntityId),
        (EntityId, int),
        (int, int | None),
        (int | None, int | str | None),
        (list[int], Sequence[int]),
        (list[int], list[int]),
        (Literal["a", "b"], str),
        (Literal["a"], Literal["a"]),
        (Entity, Loads),
        (None, type(None)),
        (dict[str, int], dict[str, object]),
        ("Entity", int),
    ],
)
def test_a_type_fits(given: object, wanted: object) -> None:
    assert fits(given, wanted)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (str, int),
        (float, int),
        (EntityId, UserId),
        (int, EntityId),
        (EntityId, str),
        (int | None, int),
        (int | str, int),
        (list[int], list[str]),
        (Literal["a", 1], str),
        (Entity, Other),
        (None, int),
        (int, None),
    ],
)
def test_a_type_does_not_fit(given: object, wanted: object) -> None:
    assert not fits(given, wanted)


def test_names_leave_out_where_a_handler_was_written() -> None:
    async def local(id: int) -> None: ...

    assert name_of(local) == "local"
    assert name_of(Show().method) == "Show.method"
    assert name_of(Show()) == "Show"
    assert name_of(blocking(functools.partial(plain, 1))) == "plain"


def test_a_place_is_a_module_where_there_is_no_source() -> None:
    assert place_of(len) == "builtins"
    assert place_of(Show()).rpartition(":")[0] == __file__


def test_a_decorated_handler_is_a_route() -> None:
    @route(one, status=201, name="shown")
    async def show(id: int) -> str:
        return str(id)

    assert isinstance(show, Route)
    assert show.title == "shown"
    answer = request("GET /x/3").reply(show)
    assert (answer.status, answer.body) == (201, b"3")


def test_status_leaves_a_response_alone() -> None:
    async def make(id: int) -> Response[int]:
        return created(id, location="/x/3")

    async def either(id: int) -> Reply:
        return created(id)

    for handler in (make, either):
        assert request("GET /x/3").reply(one.then(handler, status=202)).status == 201


def test_a_blocking_handler_runs_on_another_thread() -> None:
    seen: list[threading.Thread] = []

    def slow(id: int) -> str:
        """Take a while."""
        seen.append(threading.current_thread())
        return str(id)

    handler = blocking(slow)

    assert handler.__doc__ == "Take a while."
    assert request("GET /x/3").reply(one.then(handler)).body == b"3"
    assert seen != [threading.main_thread()]


def test_a_stream_is_answered_in_chunks() -> None:
    async def count(id: int) -> AsyncIterator[str]:
        for number in range(id):
            yield f"data: {number}\n\n"

    answer = request("GET /x/3").reply(one.stream(count))

    assert answer.body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert dict(answer.headers)["content-type"] == "text/event-stream"


def test_a_stream_is_completed_in_python_too() -> None:
    async def letters(text: str) -> AsyncIterator[bytes]:
        for letter in text:
            yield letter.encode()

    chain = one.map(lambda id: "x" * id)

    assert request("GET /x/3").reply(chain.stream(letters)).body == b"xxx"


def test_recover_answers_what_a_handler_raised() -> None:
    async def fail(id: int) -> str:
        raise LookupError(str(id))

    async def recover(error: Exception) -> Response[str]:
        if isinstance(error, LookupError):
            return Response(f"no {error}", 404)
        raise error

    routes = Routes(one.then(fail)).recover(recover)

    answer = request("GET /x/3").reply(routes)
    assert (answer.status, answer.body) == (404, b"no 3")


def test_recover_does_not_see_refusals() -> None:
    async def refuse(id: int) -> str:
        raise Reject("conflict")

    async def recover(error: Exception) -> str:
        return "recovered"

    status, error = refused(request("GET /x/3").reply(one.then(refuse).recover(recover)))

    assert (status, error.code) == (409, "conflict")


def test_the_nearest_recover_is_kept() -> None:
    async def first(error: Exception) -> str:
        return "first"

    async def second(error: Exception) -> str:
        return "second"

    routes = Routes(one.then(wants_text)).recover(first).recover(second)  # type: ignore[arg-type]

    assert routes.routes[0].recovery is first


def test_routes_join_in_order_and_keep_their_layers() -> None:
    a, b, c = one.then(Show()), (path("b") & post()).answer("b"), (path("c") & get()).answer("c")

    routes = (a | b).wrap(log()) | (c | b).wrap(log(), cors(["https://a.example"]))

    assert routes.routes == (a, b, c, b)
    assert routes.layers == (log(), cors(["https://a.example"]))


def test_a_timeout_is_of_the_routes_that_it_wraps() -> None:
    slow = one.then(Show(), timeout=60)
    routes = Routes(slow, one.then(Show())).with_(timeout(5)) | one.then(Show())

    assert [each.timeout for each in routes.routes] == [60, 5, None]


def test_a_timeout_is_positive() -> None:
    with pytest.raises(ValueError, match="positive number of seconds, at most 4000000, found 0"):
        timeout(0)


def test_a_route_joins_with_routes_only() -> None:
    with pytest.raises(TypeError, match=r"end it with \.then"):
        one.then(Show()) | get()  # type: ignore[operator]


def test_the_core_names_what_it_answers_itself() -> None:
    assert (path("h") & get()).answer("ok").title == "answer"
    assert (path("m") & get()).metrics("summary").title == "metrics"
    assert (path("ws") & get()).echo().title == "echo"
    assert (path("h") & get()).answer("ok").place == ""
