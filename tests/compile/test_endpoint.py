"""Endpoints: conversions and readers as the binding calls them."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import TYPE_CHECKING, cast

import pytest

from nexus_gateway import Reject, get, header, path
from nexus_gateway.compile.conversion import build
from nexus_gateway.compile.endpoint import EndpointSpec, endpoint
from nexus_gateway.compile.lower import Apply, Take, Unpack
from nexus_gateway.describe.node import Default, Each, Member, Parse, State
from nexus_gateway.describe.route import Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

chain = path("x") & get()
upper = Apply((Take(),), str.upper, awaited=False)


async def result(spec: EndpointSpec, *values: object) -> object:
    """Call an endpoint without slots, as the bridge does."""
    assert spec.slots is None
    return await cast("Awaitable[object]", spec.call(list(values)))


def route(handler: Callable[..., object], stream: str | None = None) -> Route:
    """Make a route whatever the checkers say of its handler."""
    return Route(chain.node, (), handler, stream=stream)


async def pair(a: object, b: object) -> list[object]:
    return [a, b]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (dt.datetime, "2026-02-28t12:00:00z", dt.datetime(2026, 2, 28, 12, tzinfo=dt.UTC)),
        (dt.date, "2026-02-28", dt.date(2026, 2, 28)),
        (uuid.UUID, "00000000-0000-0000-0000-0000000000AB", uuid.UUID(int=0xAB)),
    ],
)
def test_text_is_parsed(kind: type[object], text: str, value: object) -> None:
    convert = build(Parse(kind, "query", "at"))

    assert convert is not None
    assert convert(text) == value


def test_text_that_python_cannot_hold_is_a_400() -> None:
    convert = build(Parse(dt.datetime, "query", "at"))

    assert convert is not None
    with pytest.raises(Reject) as caught:
        convert("2016-12-31T23:59:60Z")
    assert (caught.value.code, caught.value.status) == ("validation_error", 400)
    assert caught.value.details[0].field == "at"


def test_a_list_is_converted_item_by_item() -> None:
    each = build(Each(Member((("1", 1), ("2", 2)))))

    assert each is not None
    assert each(["2", "1"]) == [2, 1]


@pytest.mark.parametrize(("given", "value"), [(None, 3), (b"", 3), ("2", 2)])
def test_a_default_stands_for_nothing(given: object, value: int) -> None:
    default = build(Default(3, Member((("2", 2),))))

    assert default is not None
    assert default(given) == value


async def test_state_is_given_among_values_that_python_completes() -> None:
    spec = endpoint(route(pair), [upper, State(int)], {int: 7})

    assert await result(spec, "a") == ["A", 7]


async def test_a_map_that_makes_no_pair_cannot_be_untupled() -> None:
    spec = endpoint(route(pair), [Unpack((upper,))], {})

    with pytest.raises(TypeError, match="needs a pair, its filter made str"):
        await result(spec, "a")


async def test_a_handler_that_is_not_async_is_said_to_be_so() -> None:
    spec = endpoint(route(str), [upper], {})

    with pytest.raises(TypeError, match="this one returned str"):
        await result(spec, "a")


async def test_a_stream_that_is_no_generator_is_said_to_be_so() -> None:
    spec = endpoint(route(str, "text/plain"), [upper], {})
    chunks = cast("AsyncIterator[object]", spec.call(["a"]))

    with pytest.raises(TypeError, match="a stream's handler is an async generator"):
        await anext(chunks)


def test_what_the_core_answers_has_no_endpoint() -> None:
    with pytest.raises(TypeError, match="the core answers this route itself"):
        endpoint((chain & header("a")).answer("x"), [], {})
