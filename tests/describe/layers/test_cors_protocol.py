"""The CORS protocol (Fetch, section 3.3) as a table: what each request is allowed, and no more."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeAlias

import pytest

from nexus_gateway import (
    Reject,
    Response,
    Routes,
    auth,
    body,
    cors,
    get,
    log,
    path,
    post,
    public,
    put,
)
from nexus_gateway.testing import Client, request
from tests.harness.in_process import application

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator

    from nexus_gateway import Claims

Headers: TypeAlias = "tuple[tuple[str, str], ...]"

APP = "https://app.example.com"
LOCAL = "http://localhost:5173"


async def gone() -> None:
    raise Reject("not_found")


async def broken() -> None:
    raise RuntimeError("broken")


async def made() -> None: ...


async def same() -> Response[None]:
    return Response(None, 304, (("etag", '"1"'),))


async def moved() -> Response[None]:
    return Response(None, 303, (("location", "/free"),))


async def presumptuous() -> Response[str]:
    headers = (("access-control-allow-origin", "*"), ("access-control-allow-credentials", "true"))
    return Response("", 200, headers)


async def events() -> AsyncIterator[str]:
    yield "data: 1\n\n"


async def secret(claims: Claims) -> None: ...


async def store(numbers: list[int]) -> None: ...


def routes() -> Routes:
    return Routes(
        (path("free") & get() & public()).answer({"free": True}),
        (path("free") & post() & public() & body(list[int])).then(store),
        (path("gone") & get() & public()).then(gone),
        (path("broken") & get() & public()).then(broken),
        (path("made") & put() & public()).then(made),
        (path("same") & get() & public()).then(same),
        (path("moved") & get() & public()).then(moved),
        (path("presumptuous") & get() & public()).then(presumptuous),
        (path("events") & get() & public()).stream(events),
        (path("secret") & get() & auth()).then(secret),
        (path("every") & public()).answer("any method"),
        (path("socket") & get() & public()).echo(),
    )


RULES = {
    "one": cors([APP]),
    "listed": cors(
        [LOCAL, "https://app.example.com:8443", "http://[::1]:8000"],
        headers=["X-Own", "Authorization"],
        expose=["x-total"],
        credentials=True,
        max_age=0,
    ),
    "any": cors(["*"], headers=["*"], expose=["*"]),
    "network": cors([APP], private_network=True, headers=[], expose=[]),
}
EXPOSED = "x-request-id, ratelimit, ratelimit-policy, retry-after, location, etag"
SENDABLE = ", ".join(RULES["one"].headers)
ASKED = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


@pytest.fixture(scope="module")
def clients() -> Generator[dict[str, Client]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(Client(application(routes().wrap(log("error"), rules))))
            for name, rules in RULES.items()
        }


def asks(origin: str, method: str = "POST", *more: tuple[str, str]) -> Headers:
    return (("origin", origin), ("access-control-request-method", method), *more)


def simple(origin: str) -> Headers:
    return (("origin", origin),)


def names(listed: str) -> tuple[str, str]:
    return ("access-control-request-headers", listed)


def preflight(origin: str, methods: str, headers: str | None, age: str = "600") -> dict[str, str]:
    written = {"allow-origin": origin, "allow-methods": methods, "max-age": age}
    return written | ({} if headers is None else {"allow-headers": headers})


ACTUAL = {"allow-origin": APP, "expose-headers": EXPOSED}
WITH = {"allow-credentials": "true"}
LISTED = {"allow-origin": LOCAL, "expose-headers": "x-total"} | WITH
FREE = preflight(APP, "GET, POST", SENDABLE)
PRIVATE = ("access-control-request-private-network", "true")
ASKED_PRIVATE = f"{ASKED}, Access-Control-Request-Private-Network"
TWICE = (("origin", APP), ("origin", APP))

TABLE: list[tuple[str, str, Headers, int, dict[str, str], str]] = [
    # preflights of an allowed origin: without a token, a body, or the handler
    ("one", "OPTIONS /free", asks(APP), 204, FREE, ASKED),
    ("one", "OPTIONS /free", asks(APP, "GET"), 204, FREE, ASKED),
    ("one", "OPTIONS /free", asks(APP, "DELETE"), 204, FREE, ASKED),
    ("one", "OPTIONS /free", asks(APP, "post"), 204, FREE, ASKED),
    ("one", "OPTIONS /free", asks(APP, "POST", names("content-type")), 204, FREE, ASKED),
    ("one", "OPTIONS /free", asks(APP, "POST", names("Content-Type,AUTHORIZATION")), 204, FREE,
     ASKED),
    ("one", "OPTIONS /free", asks(APP, "POST", names("x-evil, *")), 204, FREE, ASKED),
    ("one", "OPTIONS /free", asks(APP, "POST", names("")), 204, FREE, ASKED),
    ("one", "OPTIONS /free?a=b", asks(APP), 204, FREE, ASKED),
    ("one", "OPTIONS /secret", asks(APP, "GET"), 204, preflight(APP, "GET", SENDABLE), ASKED),
    ("one", "OPTIONS /made", asks(APP, "PUT"), 204, preflight(APP, "PUT", SENDABLE), ASKED),
    ("one", "OPTIONS /every", asks(APP, "PATCH"), 204, preflight(APP, "PATCH", SENDABLE), ASKED),
    ("one", "OPTIONS /every", asks(APP, "TRACE"), 204,
     {"allow-origin": APP, "allow-headers": SENDABLE, "max-age": "600"}, ASKED),
    ("one", "OPTIONS /free", (*asks(APP), PRIVATE), 204, FREE, ASKED),
    # preflights of others: answered, with no permission
    ("one", "OPTIONS /free", asks("https://evil.example.com"), 204, {}, ASKED),
    ("one", "OPTIONS /free", asks("http://app.example.com"), 204, {}, ASKED),
    ("one", "OPTIONS /free", asks("https://app.example.com:443"), 204, {}, ASKED),
    ("one", "OPTIONS /free", asks("https://APP.example.com"), 204, {}, ASKED),
    ("one", "OPTIONS /free", asks("https://app.example.com/"), 204, {}, ASKED),
    ("one", "OPTIONS /free", asks("https://app.example.com.evil.com"), 204, {}, ASKED),
    ("one", "OPTIONS /free", asks("null"), 204, {}, ASKED),
    ("one", "OPTIONS /free", asks("*"), 204, {}, ASKED),
    ("one", "OPTIONS /free", (*TWICE, *asks(APP)[1:]), 400, {}, "Origin"),
    ("one", "OPTIONS /free", asks(APP, "POST", asks(APP)[1]), 400, ACTUAL, "Origin"),
    # no preflights
    ("one", "OPTIONS /free", simple(APP), 204, ACTUAL, "Origin"),
    ("one", "OPTIONS /free", asks(APP)[1:], 204, {}, "Origin"),
    ("one", "OPTIONS /free", (), 204, {}, "Origin"),
    ("one", "OPTIONS /nowhere", simple(APP), 404, ACTUAL, "Origin"),
    # actual requests
    ("one", "GET /free", simple(APP), 200, ACTUAL, "Origin"),
    ("one", "HEAD /free", simple(APP), 200, ACTUAL, "Origin"),
    ("one", "GET /free", (), 200, {}, "Origin"),
    ("one", "GET /free", asks(APP), 200, ACTUAL, "Origin"),
    ("one", "GET /free", simple("https://evil.example.com"), 200, {}, "Origin"),
    ("one", "GET /free", simple("null"), 200, {}, "Origin"),
    ("one", "GET /free", simple(""), 200, {}, "Origin"),
    ("one", "GET /free", TWICE, 400, {}, "Origin"),
    ("one", "GET /events", simple(APP), 200, ACTUAL, "Origin"),
    ("one", "PUT /made", simple(APP), 204, ACTUAL, "Origin"),
    ("one", "GET /same", simple(APP), 304, ACTUAL, "Origin"),
    ("one", "GET /moved", simple(APP), 303, ACTUAL, "Origin"),
    ("one", "GET /every", simple(APP), 200, ACTUAL, "Origin"),
    ("one", "GET /presumptuous", simple(APP), 200, ACTUAL, "Origin"),
    ("one", "GET /presumptuous", simple("https://evil.example.com"), 200, {}, "Origin"),
    # refusals are readable too
    ("one", "GET /nowhere", simple(APP), 404, ACTUAL, "Origin"),
    ("one", "DELETE /free", simple(APP), 405, ACTUAL, "Origin"),
    ("one", "GET /gone", simple(APP), 404, ACTUAL, "Origin"),
    ("one", "GET /secret", simple(APP), 401, ACTUAL, "Origin"),
    ("one", "GET /broken", simple(APP), 500, ACTUAL, "Origin"),
    ("one", "POST /free", simple(APP), 400, ACTUAL, "Origin"),
    ("one", "GET /socket", simple(APP), 426, ACTUAL, "Origin"),
    ("one", "GET /%zz", simple(APP), 400, ACTUAL, "Origin"),
    ("one", "GET /broken", simple("https://evil.example.com"), 500, {}, "Origin"),
    # several origins, with credentials
    ("listed", "GET /free", simple(LOCAL), 200, LISTED, "Origin"),
    ("listed", "GET /free", simple("https://app.example.com:8443"), 200,
     LISTED | {"allow-origin": "https://app.example.com:8443"}, "Origin"),
    ("listed", "GET /free", simple("http://[::1]:8000"), 200,
     LISTED | {"allow-origin": "http://[::1]:8000"}, "Origin"),
    ("listed", "GET /free", simple("https://app.example.com"), 200, {}, "Origin"),
    ("listed", "GET /nowhere", simple(LOCAL), 404, LISTED, "Origin"),
    ("listed", "OPTIONS /free", asks(LOCAL), 204,
     preflight(LOCAL, "GET, POST", "x-own, authorization", "0") | WITH, ASKED),
    ("listed", "OPTIONS /free", asks("https://evil.example.com"), 204, {}, ASKED),
    # every origin, and every header: never with credentials
    ("any", "GET /free", simple("https://evil.example.com"), 200,
     {"allow-origin": "*", "expose-headers": "*"}, ""),
    ("any", "GET /free", simple("null"), 200, {"allow-origin": "*", "expose-headers": "*"}, ""),
    ("any", "GET /free", (), 200, {"allow-origin": "*", "expose-headers": "*"}, ""),
    ("any", "OPTIONS /free", asks("null"), 204, preflight("*", "GET, POST", "*, authorization"),
     "Access-Control-Request-Method, Access-Control-Request-Headers"),
    # a private network
    ("network", "OPTIONS /free", (*asks(APP), PRIVATE), 204,
     preflight(APP, "GET, POST", None) | {"allow-private-network": "true"}, ASKED_PRIVATE),
    ("network", "OPTIONS /free", asks(APP), 204, preflight(APP, "GET, POST", None), ASKED_PRIVATE),
    ("network", "OPTIONS /free", (*asks("https://evil.example.com"), PRIVATE), 204, {}, ASKED),
    ("network", "GET /free", simple(APP), 200, {"allow-origin": APP}, "Origin"),
]  # fmt: skip


@pytest.mark.parametrize(("rules", "line", "headers", "status", "allowed", "vary"), TABLE)
def test_a_request_is_allowed_what_the_protocol_says(
    clients: dict[str, Client],
    rules: str,
    line: str,
    headers: Headers,
    status: int,
    allowed: dict[str, str],
    vary: str,
) -> None:
    asked = request(line)
    for name, value in headers:
        asked = asked.header(name, value)

    answer = clients[rules].send(asked)

    prefix = "access-control-"
    found = [(name.removeprefix(prefix), value) for name, value in answer.headers]
    found = [pair for pair, (name, _) in zip(found, answer.headers, strict=True) if prefix in name]
    varies = [value for name, value in answer.headers if name == "vary"]
    assert answer.status == status
    assert sorted(found) == sorted(allowed.items())
    assert ", ".join(varies) == vary
