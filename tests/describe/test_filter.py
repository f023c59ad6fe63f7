"""The algebra of filters: what `&`, `|`, `optional` and `map` extract, through the core."""

from __future__ import annotations

import msgspec
import pytest

from nexus_gateway import (
    Filter,
    Reject,
    Routes,
    body,
    get,
    header,
    method,
    param,
    path,
    post,
    query,
    rate_limit,
    state,
    use,
)
from nexus_gateway.compile.lower import lower
from nexus_gateway.server import Application
from nexus_gateway.testing import request
from tests.harness.in_process import refused

ID = param("id", int)


class Entity(msgspec.Struct):
    id: int


class Note(msgspec.Struct):
    text: str


async def echo(value: object) -> dict[str, object]:
    return {"value": value}


async def show(id: int) -> str:
    return str(id)


# --- describing ---


def test_a_route_after_and_explains_the_precedence() -> None:
    with pytest.raises(TypeError, match=r"write \(a & b\)\.then\(handler\)"):
        path("x") & get() & use(1).then(show)  # type: ignore[operator]


def test_routes_after_and_explain_the_precedence() -> None:
    routes = Routes(use(1).then(show))

    with pytest.raises(TypeError, match="a route cannot follow"):
        path("x") & routes  # type: ignore[operator]


def test_and_or_and_not_of_python_are_refused() -> None:
    with pytest.raises(TypeError, match="combine with & and"):
        bool(path("x"))


@pytest.mark.parametrize("other", [1, "x", None, get])
def test_a_filter_combines_with_filters_only(other: object) -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        get() & other  # type: ignore[operator]
    with pytest.raises(TypeError, match="unsupported operand"):
        get() | other  # type: ignore[operator]


def test_a_segment_is_text_or_a_param() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        path("x") / 3  # type: ignore[operator]


def test_alternatives_extract_as_many_values() -> None:
    with pytest.raises(TypeError, match="the left extracts 1, the right 0"):
        header("a") | get()  # type: ignore[operator]


def test_filters_are_shared_and_never_changed() -> None:
    base = path("x") & get()

    first, second = base & header("a"), base & header("b")

    assert len(base.slots) == 0
    assert [slot.label for slot in (*first.slots, *second.slots)] == ["a", "b"]


# --- extracting ---


def test_values_come_in_the_order_of_the_source() -> None:
    chain = path("x") / ID & header("x-a") & use("constant") & query("limit", int)

    values = request("GET /x/7?limit=3").header("x-a", "b").extract(chain)

    assert values == (7, "b", "constant", 3)


def test_a_group_of_filters_joins_its_values_on_the_right() -> None:
    group = header("a") & header("b")

    values = request("GET /x").header("a", "1").header("b", "2").extract(path("x") & group)

    assert values == ("1", "2")


def test_optional_is_none_where_the_value_is_absent() -> None:
    assert request("GET /x").extract(header("x-depth", int).optional()) == (None,)


def test_optional_still_refuses_what_is_wrong() -> None:
    deep = request("GET /x").header("x-depth", "deep")

    with pytest.raises(LookupError, match="400"):
        deep.extract(header("x-depth", int).optional())


def test_optional_of_several_values_is_none_as_a_whole() -> None:
    chain = (header("a") & header("b")).map(lambda a, b: a + b).optional()

    assert request("GET /x").header("a", "1").extract(chain) == (None,)
    assert request("GET /x").header("a", "1").header("b", "2").extract(chain) == ("12",)


def test_optional_tells_absent_from_none() -> None:
    inner = header("a").optional().map(lambda a: f"<{a}>").optional()

    assert request("GET /x").extract(inner & header("b").optional()) == ("<None>", None)


def test_optional_of_a_body_is_none_without_a_body() -> None:
    chain = body(Entity).optional()

    assert request("POST /x").extract(chain) == (None,)
    assert request("POST /x").json({"id": 1}).extract(chain) == (Entity(1),)


def test_optional_of_a_constant_is_the_constant() -> None:
    assert request("GET /x").extract(use(3).optional()) == (3,)


def test_map_and_and_then_replace_the_values() -> None:
    async def twice(value: int) -> int:
        return value * 2

    chain = (path("x") / ID).map(lambda id: id + 1).and_then(twice)

    assert request("GET /x/20").extract(chain) == (42,)


def test_untuple_spreads_a_pair() -> None:
    chain = header("a").map(lambda a: (a, len(a))).untuple()

    assert request("GET /x").header("a", "abc").extract(chain) == ("abc", 3)


def test_and_then_may_refuse() -> None:
    async def never(value: str) -> str:
        raise Reject("conflict", f"{value} is taken")

    chain = path("x") & get() & header("a").and_then(never)

    status, error = refused(request("GET /x").header("a", "it").reply(chain.then(echo)))

    assert (status, error.code, error.error) == (409, "conflict", "it is taken")


def test_native_filters_run_before_python_ones() -> None:
    ran: list[str] = []

    def note(a: str) -> str:
        ran.append(a)
        return a

    chain = header("a").map(note) & header("missing")

    assert not request("GET /x").header("a", "1").matches(chain)
    assert ran == []


# --- alternatives ---


@pytest.mark.parametrize(("name", "value"), [("a", "1"), ("b", "2")])
def test_the_first_alternative_that_matches_is_taken(name: str, value: str) -> None:
    chain: Filter[str] = header("a") | header("b")

    assert request("GET /x").header(name, value).extract(chain) == (value,)


def test_no_alternative_refuses() -> None:
    assert not request("GET /x").matches(header("a") | header("b"))


def test_alternatives_of_different_types_are_told_apart() -> None:
    paired = (header("c") & use(0)).map(lambda text, number: (text, number))
    chain = header("a", int) | header("b").map(str.upper) | paired

    answers = [request("GET /x").header(name, "7").extract(chain) for name in "abc"]

    assert answers == [(7,), ("7",), (("7", 0),)]


def test_alternatives_inside_optional_may_be_absent() -> None:
    chain = (header("a", int) | header("b").map(str.upper)).optional() & header("c")

    assert request("GET /x").header("c", "1").extract(chain) == (None, "1")
    assert request("GET /x").header("c", "1").header("b", "x").extract(chain) == ("X", "1")


def test_body_or_body_is_the_first_that_fits() -> None:
    chain = body(Entity) | body(Note)

    assert request("POST /x").json({"id": 1}).extract(chain) == (Entity(1),)
    assert request("POST /x").json({"text": "a"}).extract(chain) == (Note("a"),)


def test_methods_may_be_alternatives() -> None:
    route = (path("x") & (get() | post()) & use(1)).then(echo)

    assert request("POST /x").reply(route).status == 200
    assert request("DELETE /x").reply(route).status == 405


# --- what cannot be compiled ---


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        (get(), "the chain has no path"),
        (path("x") & (header("a") | (path("y") & header("b"))), "a path cannot stand inside '|'"),
        (path("x") & ((get() & header("a")) | header("b")), "a method cannot stand inside '|'"),
        (path("x") & (path("y") / ID).optional(), "a path cannot stand inside optional()"),
        (path("x") & get() & post(), "no request has two methods at once"),
        (path("x") / ID / ID, "two parameters named 'id'"),
        (path("x") & body(Entity) & body(Note), "reads the body twice"),
        (
            path("x") & rate_limit("1/s", name="a") & rate_limit("1/min", name="a"),
            "two limits of the chain are named 'a'",
        ),
    ],
)
def test_a_chain_that_cannot_be_executed_is_refused_at_start(
    chain: Filter[()], message: str
) -> None:
    with pytest.raises(TypeError) as caught:
        lower(chain.node)

    assert message in str(caught.value)


def test_state_is_given_at_start() -> None:
    chain = path("x") & get() & state(Entity)
    served = Application(Routes(chain.then(echo)), state={Entity: Entity(5)})

    assert request("GET /x").reply(served).body == b'{"value":{"id":5}}'


def test_state_that_is_missing_is_an_error_at_start() -> None:
    chain = path("x") & method("GET") & state(Entity)

    with pytest.raises(TypeError, match=r"state\(Entity\), only for Note"):
        request("GET /x").reply(Application(Routes(chain.then(echo)), state={Note: Note("")}))
