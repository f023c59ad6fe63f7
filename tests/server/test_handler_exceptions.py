"""Whatever a handler raises affects its own request only, and the log names the handler."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from nexus_gateway import Reject, Response, Routes, blocking, cors, get, log, path, timeout
from nexus_gateway.testing import Client, request
from tests.harness.in_process import refused

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable
    from types import FrameType


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise KeyboardInterrupt


def recursive() -> int:
    return recursive() + 1


RAISED: list[BaseException] = [
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    asyncio.CancelledError(),
    StopAsyncIteration(),
    StopIteration(),
    MemoryError(),
    UnprintableError("\ud800"),
    BaseException("of no known kind"),
    BaseExceptionGroup("a fault beside a refusal", [KeyboardInterrupt(), Reject("not_found")]),
    Reject("not_found", "a lone surrogate \ud800"),
    Reject("not_found", headers=[("x-a", "two\nlines")]),
]


def raising(error: BaseException) -> Callable[[], Awaitable[str]]:
    async def handler() -> str:
        raise error

    return handler


def raising_later(error: BaseException) -> Callable[[], Awaitable[str]]:
    async def handler() -> str:
        await asyncio.sleep(0)
        raise error

    return handler


def raising_in_a_task(error: BaseException) -> Callable[[], Awaitable[str]]:
    async def handler() -> str:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(error))
        return "unreachable"

    return handler


def raising_in_a_thread(error: BaseException) -> Callable[[], Awaitable[str]]:
    def handler() -> str:
        raise error

    return blocking(handler)


async def fail(error: BaseException) -> NoReturn:
    await asyncio.sleep(0)
    raise error


async def answer() -> str:
    return "ok"


async def show(value: object) -> str:
    return str(value)


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("make", [raising, raising_later, raising_in_a_thread])
def test_whatever_a_handler_raises_is_answered_with_500(
    make: Callable[[BaseException], Callable[[], Awaitable[str]]],
    error: BaseException,
    caplog: pytest.LogCaptureFixture,
) -> None:
    routes = (path("raise") & get()).then(make(error)) | (path("ok") & get()).then(answer)

    with Client(routes) as client:
        status, body = refused(client.send(request("GET /raise")))
        again = client.send(request("GET /ok"))

    assert (status, body.code) == (500, "internal_error")
    assert again.body == b"ok"
    (record,) = [one for one in caplog.records if one.name == "nexus_gateway.describe.handler"]
    origin: object = getattr(record, "handler", None)
    assert isinstance(origin, str)
    assert origin.startswith("tests.server.test_handler_exceptions.handler() (")
    assert "test_handler_exceptions.py:" in record.getMessage()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), ValueError("no")])
def test_what_a_task_of_a_handler_raises_is_answered_with_500(error: BaseException) -> None:
    routes = (path("raise") & get()).then(raising_in_a_task(error)) | (path("ok") & get()).then(
        answer
    )

    # Ctrl-C of a test must end the test; here the signal has a handler, as in `serve`.
    import signal

    def ignore(number: int, frame: FrameType | None) -> None:
        pass

    before = signal.signal(signal.SIGINT, ignore)
    try:
        with Client(routes) as client:
            status, _ = refused(client.send(request("GET /raise")))
            again = client.send(request("GET /ok"))
    finally:
        signal.signal(signal.SIGINT, before)

    assert (status, again.body) == (500, b"ok")


def test_a_handler_that_stops_the_loop_is_answered() -> None:
    async def stop() -> str:
        asyncio.get_running_loop().stop()
        return "stopped"

    assert request("GET /x").reply((path("x") & get()).then(stop)).body == b"stopped"


@pytest.mark.parametrize("count", [1, 2])
def test_refusals_of_a_task_group_are_the_first_of_them(count: int) -> None:
    async def handler() -> str:
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(fail(Reject("not_found", f"no {number}")))
        return "unreachable"

    status, body = refused(request("GET /x").reply((path("x") & get()).then(handler)))

    assert (status, body.error) == (404, "no 0")


def test_a_refusal_in_a_group_is_not_recovered_from() -> None:
    async def recover(error: Exception) -> str:
        return f"recovered from {type(error).__name__}"

    grouped = ExceptionGroup("several", [ExceptionGroup("inner", [Reject("conflict")])])
    chain = path("x") & get()

    assert request("GET /x").reply(chain.then(raising(grouped)).recover(recover)).status == 409
    mixed = ExceptionGroup("several", [Reject("conflict"), ValueError("no")])
    answered = request("GET /x").reply(chain.then(raising(mixed)).recover(recover))
    assert answered.body == b"recovered from ExceptionGroup"


@pytest.mark.parametrize(
    "value",
    [object(), "\ud800", {"a": "\ud800"}, Response("x", 99), Response("x", 200, (("a b", "c"),))],
)
def test_a_value_that_cannot_be_sent_is_logged_with_its_handler(
    value: object, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler() -> object:
        return value

    chain = path("x") & get()
    status, _ = refused(request("GET /x").reply(chain.then(handler)))  # type: ignore[arg-type]

    assert status == 500
    assert "test_handler_exceptions.handler() (" in caplog.text
    assert "returned a value that cannot be sent: " in caplog.text


def test_a_map_that_exits_is_answered_with_500(caplog: pytest.LogCaptureFixture) -> None:
    def convert() -> str:
        sys.exit(3)

    async def check() -> str:
        sys.exit(4)

    chain = path("x") & get()
    for route in (chain.map(convert).then(show), chain.and_then(check).then(show)):
        caplog.clear()
        status, _ = refused(request("GET /x").reply(route))

        assert status == 500
        (record,) = [one for one in caplog.records if one.name == "nexus_gateway.describe.handler"]
        # The function that raised, and the handler that it was called for.
        assert record.getMessage().partition("() (")[0].endswith(("convert", "check"))
        assert getattr(record, "handler", "").startswith(
            "tests.server.test_handler_exceptions.show() ("
        )


def test_a_stream_that_exits_is_cut_or_answered_with_500() -> None:
    async def at_once() -> AsyncGenerator[str]:
        if RAISED:
            sys.exit(3)
        yield ""

    async def later() -> AsyncGenerator[str]:
        yield "one"
        sys.exit(3)

    chain = get()
    routes = (path("a") & chain).stream(at_once) | (path("b") & chain).stream(later)
    with Client(routes | (path("ok") & get()).then(answer)) as client:
        assert client.send(request("GET /a")).status == 500
        with pytest.raises(ConnectionError):
            client.send(request("GET /b"))
        assert client.send(request("GET /ok")).body == b"ok"


def test_the_log_writes_text_that_utf8_cannot(capfd: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("nexus_gateway").setLevel(logging.NOTSET)

    request("GET /x").reply((path("x") & get()).then(raising(ValueError("a\ud800b"))))

    assert "ValueError: a\\\\ud800b" in capfd.readouterr().err


# --- forms of Routes ---


def test_routes_are_made_of_routes_and_of_sets_of_them() -> None:
    one, two = (path("a") & get()).then(answer), (path("b") & get()).then(answer)

    joined = Routes(one | two, Routes(one).wrap(log()), layers=(log(),))

    assert joined.routes == (one, two, one)
    assert joined.layers == (log(),)


# The first value is a route, the second the class `Routes`; both are `Any`, since a checker would
# refuse what these try.
NOT_ROUTES: list[tuple[Callable[[Any, Any], object], str]] = [
    (lambda one, routes: routes(path("a") & get()), "end it with .then"),
    (lambda one, routes: routes([one]), r"Routes\(\*routes\), found a list"),
    (lambda one, routes: routes(answer), "write chain.then"),
    (lambda one, routes: routes(None), "expected a route, found a NoneType"),
    (lambda one, routes: one | None, "expected a route, found a NoneType"),
    (lambda one, routes: None | one, "expected a route, found a NoneType"),
    (lambda one, routes: routes(one) | (path("a") & get()), "end it with .then"),
    (lambda one, routes: (path("a") & get()) | routes(one), "end it with .then"),
    (lambda one, routes: routes(one) | [one], r"Routes\(\*routes\)"),
    (lambda one, routes: routes(one, layers=log()), "layers are a tuple"),
    (
        lambda one, routes: routes(one, layers=(cors,)),
        r"cors\(\) of .*cors.py:\d+ is not a layer",
    ),
    (lambda one, routes: routes(one).wrap(timeout), "is not a layer"),
    (lambda one, routes: routes(one).wrap("log"), "a str is not a layer"),
    (lambda one, routes: routes("routes"), "expected a route, found a str"),
]


@pytest.mark.parametrize(("make", "said"), NOT_ROUTES)
def test_what_is_not_a_route_is_refused_with_what_to_write(
    make: Callable[..., object], said: str
) -> None:
    with pytest.raises(TypeError, match=said):
        make((path("a") & get()).then(answer), Routes)
