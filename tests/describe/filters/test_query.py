"""`query`: the query string as a struct, or one value at a time."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from typing import Annotated, Generic, Literal, TypeVar, cast

import msgspec
import pytest
from msgspec import Meta

from nexus_gateway import Filter, get, path, query
from nexus_gateway.testing import request
from tests.harness.in_process import refused

T = TypeVar("T")


class Order(enum.Enum):
    NEW = "new"
    OLD = "old"


class Page(msgspec.Struct, rename="camel"):
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    next_cursor: str | None = None
    order: Order = Order.NEW
    tag: list[str] = []
    ids: list[uuid.UUID] = []


class Needed(msgspec.Struct):
    text: str
    limit: int


class Span(msgspec.Struct):
    first: dt.date
    last: dt.date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ValueError("last is before first")


class Between(msgspec.Struct, Generic[T]):
    low: int


async def show(page: object) -> None: ...


def test_fields_that_are_absent_take_their_defaults() -> None:
    assert request("GET /x").extract(query(Page)) == (Page(),)


def test_fields_are_read_by_the_names_that_they_have_outside() -> None:
    one = "12345678-1234-1234-1234-1234567890ab"
    target = f"/x?limit=5&nextCursor=a%2Bb&order=old&tag=a&tag=b&ids={one}&other=1"

    (page,) = request(f"GET {target}").extract(query(Page))

    assert page == Page(5, "a+b", Order.OLD, ["a", "b"], [uuid.UUID(one)])


def test_each_wrong_field_is_named() -> None:
    route = (path("x") & get() & query(Page)).then(show)

    status, error = refused(request("GET /x?limit=0&order=up").reply(route))

    assert (status, error.code) == (400, "validation_error")
    assert [detail["field"] for detail in error.details] == ["limit", "order"]


def test_fields_without_default_are_needed() -> None:
    route = (path("x") & get() & query(Needed)).then(show)

    _, error = refused(request("GET /x?limit=3").reply(route))

    assert [detail["field"] for detail in error.details] == ["text"]


def test_a_struct_may_refuse_what_its_fields_say_together() -> None:
    route = (path("x") & get() & query(Span)).then(show)

    status, error = refused(request("GET /x?first=2026-02-02&last=2026-02-01").reply(route))

    assert (status, error.code) == (400, "validation_error")
    assert error.error == "query: last is before first"


def test_a_struct_may_be_completed_in_python() -> None:
    chain = query(Page).map(lambda page: page.limit)

    assert request("GET /x?limit=7").extract(chain) == (7,)


def test_an_optional_struct_is_none_where_nothing_is_given() -> None:
    chain = query(Needed).optional()

    assert request("GET /x").extract(chain) == (None,)
    assert request("GET /x?text=a&limit=1").extract(chain) == (Needed("a", 1),)


def test_a_generic_struct_is_read() -> None:
    assert request("GET /x?low=1").extract(query(Between[int])) == (Between(1),)


def test_one_value_is_needed_without_a_default() -> None:
    assert request("GET /x?limit=3").extract(query("limit", int)) == (3,)
    assert not request("GET /x").matches(query("limit", int))


@pytest.mark.parametrize(("target", "value"), [("/x", 20), ("/x?limit=0", 0)])
def test_one_value_may_have_a_default(target: str, value: int) -> None:
    assert request(f"GET {target}").extract(query("limit", int, default=20)) == (value,)


def test_one_value_of_nullable_type_may_be_absent() -> None:
    since = query("since", dt.date | None)

    assert request("GET /x").extract(since) == (None,)
    assert request("GET /x?since=2026-02-01").extract(since) == (dt.date(2026, 2, 1),)


def test_one_value_may_be_a_list() -> None:
    chain = query("order", list[Order], default=[])

    assert request("GET /x?order=new&order=old").extract(chain) == ([Order.NEW, Order.OLD],)
    assert request("GET /x").extract(chain) == ([],)


@pytest.mark.parametrize("kind", [int, str, dict[str, int], "Page"])
def test_a_whole_query_is_a_struct(kind: object) -> None:
    with pytest.raises(TypeError, match="take a Struct, or name the value"):
        query(kind)  # type: ignore[call-overload]  # a type known at run time only


def test_a_field_that_the_core_cannot_check_is_named() -> None:
    class Odd(msgspec.Struct):
        inner: dict[str, int]

    with pytest.raises(TypeError, match="query parameter 'inner': the core cannot check dict"):
        query(Odd)


Choice = Literal["up", "down"]
BOUNDED = Annotated[int, Meta(ge=1, le=9)]


@pytest.mark.parametrize(
    ("kind", "sent", "message"),
    [
        (BOUNDED, "", "expected int >= 1 and <= 9, but it is missing"),
        (BOUNDED, "x=", "expected int >= 1 and <= 9, got ''"),
        (BOUNDED, "x=0", "expected int >= 1 and <= 9, got '0'"),
        (
            BOUNDED,
            "x=1&x=2",
            "expected one value, int >= 1 and <= 9, but it is given more than once",
        ),
        (Choice, "x=left", "expected one of down, up, got 'left'"),
        (
            Choice,
            "x=up&x=up",
            "expected one value, one of down, up, but it is given more than once",
        ),
        (bool, "x=yes", "expected bool (true, false, 1 or 0), got 'yes'"),
        (float, "x=nan", "expected float, got 'nan'"),
        (float, "x=1e999", "expected float, got '1e999'"),
    ],
)
def test_each_kind_of_message_reads_as_a_sentence(kind: object, sent: str, message: str) -> None:
    async def show(x: object) -> None: ...

    asked: Filter[object] = query("x", cast("type[object]", kind))
    chain = path("x") & get() & asked
    _, error = refused(request(f"GET /x?{sent}").reply(chain.then(show)))

    assert error.error == f"query x: {message}"
