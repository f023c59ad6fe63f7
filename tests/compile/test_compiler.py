"""Compiling: the plan is the same whatever the order, and everything wrong is said at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from nexus_gateway import (
    Filter,
    Routes,
    auth,
    body_bytes,
    compress,
    cors,
    get,
    header,
    limit,
    log,
    param,
    path,
    plan,
    post,
    public,
    query,
    rate_limit,
    require,
    tail,
    trace,
    use,
)
from nexus_gateway.compile.compiler import compile_routes
from nexus_gateway.compile.format_plan import describe
from nexus_gateway.compile.lint import DescriptionError, lint
from tests.harness.plan_examples import EXAMPLES

if TYPE_CHECKING:
    from nexus_gateway.describe.route import Route

ID = param("id", int)


async def show(id: int) -> None: ...


async def nothing() -> None: ...


async def one(value: object) -> None: ...


shown = (path("x") / ID & get()).then(show)
health = (path("health") & get()).answer({"status": "ok"})
counters = (path("metrics") & get()).metrics("prometheus")


def messages(*routes: Route) -> list[str]:
    return [str(finding) for finding in lint(Routes(*routes))]


def test_the_order_of_the_source_changes_nothing() -> None:
    forwards, backwards = Routes(shown, health, counters), Routes(counters, health, shown)

    assert compile_routes(forwards).plan.to_json() == compile_routes(backwards).plan.to_json()


def test_a_handler_is_its_place_among_the_endpoints() -> None:
    first, second = (path("a") & get()).then(nothing), (path("b") & get()).then(nothing)
    compiled = compile_routes(Routes(second, health, first))

    terminals = [each.terminal for each in compiled.plan.routes]

    assert [getattr(each, "handler", None) for each in terminals] == [0, 1, None]
    assert compiled.routes == (first, second, health)


def test_a_chain_of_core_values_is_called_without_python_in_between() -> None:
    (endpoint,) = compile_routes(shown).endpoints

    assert endpoint.call is show
    assert endpoint.slots == (("value", None),)


def test_constants_keep_their_place() -> None:
    async def both(value: object, id: int) -> None: ...

    chain = use("constant") & (path("x") / ID) & get()

    assert compile_routes(chain.then(both)).endpoints[0].slots == (
        ("constant", "constant"),
        ("value", None),
    )


def test_times_are_milliseconds() -> None:
    route = (path("x") & get()).then(nothing, timeout=1.5)

    assert compile_routes(route).plan.routes[0].timeout_ms == 1500


def test_layers_of_routes_and_of_the_gateway_are_joined() -> None:
    routes = Routes(health).wrap(log("error"), compress(), limit("10/s"))

    compiled = compile_routes(routes, layers=plan.Layers(cors=cors(["*"])))

    assert compiled.plan.layers == plan.Layers(
        log=plan.Log(level="error"),
        cors=cors(["*"]),
        compress=compress(),
        limit=plan.AddressLimit(requests=10, period_ms=1000, burst=10),
    )


def test_two_different_layers_of_one_kind_are_refused() -> None:
    routes = Routes(health).wrap(log("error"))

    with pytest.raises(TypeError, match="two different layers 'log'"):
        compile_routes(routes, layers=plan.Layers(log=plan.Log(level="info")))


def test_everything_wrong_is_said_at_once() -> None:
    async def wrong(number: int) -> None: ...

    broken = (path("x") / ID & get()).then(wrong)
    pathless = get().then(nothing)

    with pytest.raises(DescriptionError) as caught:
        compile_routes(Routes(broken, pathless, health, health))

    text = str(caught.value)
    assert "extract 'id' where the handler takes 'number'" in text
    assert "nothing(): the chain has no path" in text
    assert "GET /health is answered already by answer" in text
    assert len(caught.value.lints) == 3


def test_parameters_of_two_names_are_one_shape() -> None:
    other = (path("x") / param("name", str) & get()).answer("")

    assert "GET /x/{name} is answered already" in messages(shown, other)[0]


def test_a_tail_is_another_shape_than_a_segment() -> None:
    assert messages(shown, (path("x") / tail("rest") & get()).answer("")) == []


def test_a_mutating_route_without_token_is_a_warning() -> None:
    (warning,) = messages((path("x") & post()).then(nothing))

    assert warning.startswith("warning: ")
    assert "test_compiler.py" in warning
    assert "nothing(): POST /x asks for no token" in warning


@pytest.mark.parametrize("guard", [require(scope="a"), public()])
def test_a_mutating_route_with_token_or_meant_to_be_open_is_fine(guard: Filter[()]) -> None:
    assert messages((path("x") & post() & guard).then(nothing)) == []


def test_a_token_in_every_alternative_is_a_token() -> None:
    chain = path("x") & post() & (auth(scope="a") | auth(scope="b"))

    assert messages(chain.then(one)) == []


def test_an_optional_token_is_none() -> None:
    chain = path("x") & post() & auth().optional()

    assert "asks for no token" in messages(chain.then(one))[0]


def test_a_route_of_every_method_is_a_warning() -> None:
    assert "answers every method" in messages(path("x").then(nothing))[0]


def test_strict_takes_warnings_for_errors() -> None:
    route = path("x").then(nothing)

    assert compile_routes(route).lints[0].level == "warning"
    with pytest.raises(DescriptionError, match="answers every method"):
        compile_routes(route, strict=True)


def test_a_limit_by_subject_before_the_token_is_an_error() -> None:
    chain = path("x") & get() & rate_limit("1/s", by="subject") & require()

    assert "error: " in messages(chain.then(nothing))[0]
    assert "stands before auth()" in messages(chain.then(nothing))[0]


def test_a_limit_without_by_follows_the_token() -> None:
    before = compile_routes((path("x") & get() & rate_limit("1/s")).then(nothing))
    after = compile_routes((path("x") & get() & require() & rate_limit("1/s")).then(nothing))

    limits = [each.plan.routes[0].steps[-1] for each in (before, after)]

    assert [getattr(each, "by", None) for each in limits] == ["address", "subject"]


def test_limits_without_a_name_get_different_ones() -> None:
    chain = path("x") & get() & rate_limit("1/s") & rate_limit("9/min")

    steps = compile_routes(chain.then(nothing)).plan.routes[0].steps

    assert [getattr(step, "name", None) for step in steps] == ["address", "address-2"]


@pytest.mark.parametrize(
    "always", [trace().map(str), header("a").optional().map(str), body_bytes().map(str)]
)
def test_an_alternative_after_one_that_always_fits_is_an_error(always: Filter[str]) -> None:
    chain = path("x") & get() & (always | header("b"))

    assert "alternative 2 of a '|' is never tried" in messages(chain.then(one))[0]


def test_alternatives_that_may_refuse_are_fine() -> None:
    chain = path("x") & get() & (query("a", int) | header("b", int).optional())

    assert messages(chain.then(one)) == []


def test_a_chain_is_described_in_one_line() -> None:
    class Page(msgspec.Struct):
        limit: int = 20
        cursor: str | None = None

    async def index(page: Page) -> None: ...

    chain = path("x") & get() & require(scope="x:read") & rate_limit("100/min burst 20")
    compiled = compile_routes((chain & query(Page)).then(index))

    assert describe(compiled.plan.routes[0]) == (
        "auth(x:read) · limit(100/min burst 20 by subject) · query(limit, cursor) → index"
    )


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_kind_of_step_and_terminal_can_be_described(name: str) -> None:
    assert "→" in describe(EXAMPLES[name].routes[0])
