"""Every refusal has the same shape: of the router, a filter, a handler, the parser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import jsonschema
import msgspec
import pytest

from nexus_gateway.describe.reject import BY_CODE
from tests.acceptance.apps.sample import LEAK
from tests.harness.gateway_process import (
    ORIGIN,
    Answer,
    Gateway,
    bearer,
    closed,
    decoded,
    exchange,
    read_answer,
)

if TYPE_CHECKING:
    import httpx

MEMBERS = {
    "error": {"type": "string", "minLength": 1},
    "code": {"enum": list(BY_CODE)},
    "timestamp": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"},
    "request_id": {"type": "string", "pattern": "^[A-Za-z0-9._:-]{1,128}$"},
    "details": {
        "type": "array",
        "minItems": 1,
        "items": {
            "type": "object",
            "required": ["location", "field", "kind", "message"],
            "properties": {
                "location": {"enum": ["path", "query", "header", "body"]},
                "field": {"type": "string"},
                "kind": {"type": "string", "minLength": 1},
                "message": {"type": "string", "minLength": 1},
                "limit": {"type": "string", "minLength": 1},
            },
            "additionalProperties": False,
        },
    },
}
STANDARD = {
    "type": "object",
    "required": ["error", "code", "timestamp", "request_id"],
    "properties": MEMBERS,
    "additionalProperties": False,
}
PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "code", "timestamp"],
    "properties": {
        **{name: schema for name, schema in MEMBERS.items() if name != "error"},
        "type": {"type": "string", "pattern": "^/errors/[a-z_]+$"},
        "title": {"type": "string", "minLength": 1},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "minLength": 1},
        "instance": {"type": "string", "pattern": "^urn:request:"},
    },
    "additionalProperties": False,
}


class Wrong(msgspec.Struct, frozen=True):
    """A request, and what it is refused with; `field` is of the first detail."""

    name: str
    method: str
    target: str
    status: int
    code: str
    field: str | None = None
    content: bytes = b""
    headers: dict[str, str] = {}


JSON = {"content-type": "application/json"}
WRONG = [
    Wrong("unknown path", "GET", "/nowhere", 404, "not_found"),
    Wrong("unknown path below a known one", "GET", "/free/more", 404, "not_found"),
    Wrong("a slash too many", "GET", "/free/", 404, "not_found"),
    Wrong("unknown path, other method", "POST", "/nowhere", 404, "not_found", content=b"{}"),
    Wrong("wrong method", "POST", "/free", 405, "method_not_allowed"),
    Wrong("wrong method with a parameter", "DELETE", "/typed/5", 405, "method_not_allowed"),
    Wrong("unknown method", "BREW", "/free", 405, "method_not_allowed"),
    Wrong("path not a number", "GET", "/typed/x", 400, "validation_error", "number"),
    Wrong("path above its limit", "GET", "/typed/10", 400, "validation_error", "number"),
    Wrong("path beyond 64 bits", "GET", f"/typed/{10**30}", 400, "validation_error", "number"),
    Wrong("query not a number", "GET", "/typed/5?limit=x", 400, "validation_error", "limit"),
    Wrong("query below its limit", "GET", "/typed/5?limit=0", 400, "validation_error", "limit"),
    Wrong("query given twice", "GET", "/typed/5?limit=1&limit=2", 400, "validation_error", "limit"),
    Wrong("query not UTF-8", "GET", "/typed/5?words=%FF", 400, "validation_error", "words"),
    Wrong(
        "header not a number",
        "GET",
        "/typed/5",
        400,
        "validation_error",
        "x-level",
        headers={"x-level": "high"},
    ),
    Wrong("header missing", "GET", "/needed", 400, "validation_error", "x-name"),
    Wrong(
        "header too long",
        "GET",
        "/needed",
        400,
        "validation_error",
        "x-name",
        headers={"x-name": "123456789"},
    ),
    Wrong("body not JSON", "POST", "/notes", 400, "malformed_body", None, b'{"title":', JSON),
    Wrong("body empty", "POST", "/notes", 400, "malformed_body", None, b"", JSON),
    Wrong("body not UTF-8", "POST", "/notes", 400, "malformed_body", None, b'{"title":"\xff"}'),
    Wrong("text not UTF-8", "POST", "/texts", 400, "malformed_body", None, b"\xff"),
    Wrong("field missing", "POST", "/notes", 422, "validation_error", "title", b"{}", JSON),
    Wrong(
        "field of another type",
        "POST",
        "/notes",
        422,
        "validation_error",
        "title",
        b'{"title":7}',
        JSON,
    ),
    Wrong(
        "element off its limit",
        "POST",
        "/notes",
        422,
        "validation_error",
        "marks[1]",
        b'{"title":"x","marks":[1,10]}',
        JSON,
    ),
    Wrong(
        "field deep inside",
        "POST",
        "/notes",
        422,
        "validation_error",
        "answer.answer.title",
        b'{"title":"x","answer":{"title":"y","answer":{"title":""}}}',
        JSON,
    ),
    Wrong("one byte over", "POST", "/notes", 413, "payload_too_large", None, b"x" * 1001, JSON),
    Wrong(
        "not JSON at all",
        "POST",
        "/notes",
        415,
        "unsupported_media_type",
        content=b"title=x",
        headers={"content-type": "application/x-www-form-urlencoded"},
    ),
    Wrong("target too long", "GET", "/" + "x" * 1000, 414, "uri_too_long"),
    Wrong(
        "header lines too long",
        "GET",
        "/free",
        431,
        "headers_too_large",
        headers={"x-filler": "x" * 4000},
    ),
    Wrong("no token", "GET", "/secret", 401, "authentication_failed"),
    Wrong(
        "other scheme",
        "GET",
        "/secret",
        401,
        "authentication_failed",
        headers={"authorization": "Basic YTpi"},
    ),
    Wrong(
        "garbage for a token",
        "GET",
        "/secret",
        401,
        "token_invalid",
        headers={"authorization": "Bearer garbage"},
    ),
    Wrong("scope missing", "GET", "/secret", 403, "permission_denied", headers=bearer()),
    Wrong("handler: conflict", "GET", "/refuse/conflict", 409, "conflict"),
    Wrong(
        "handler: precondition", "GET", "/refuse/precondition_failed", 412, "precondition_failed"
    ),
    Wrong("handler: store down", "GET", "/refuse/database_error", 503, "database_error"),
    Wrong("handler: busy", "GET", "/refuse/service_unavailable", 503, "service_unavailable"),
    Wrong("handler: nothing there", "GET", "/refuse/not_found", 404, "not_found"),
    Wrong("handler fails", "GET", "/broken", 500, "internal_error"),
    Wrong("answer is no JSON", "GET", "/unencodable", 500, "internal_error"),
    Wrong("handler too slow", "GET", "/slow", 504, "deadline_exceeded"),
]


def send(client: httpx.Client, wrong: Wrong, **headers: str) -> httpx.Response:
    """Send what is wrong, as a page of the allowed origin would."""
    sent = {"origin": ORIGIN, **wrong.headers, **headers}
    return client.request(wrong.method, wrong.target, content=wrong.content, headers=sent)


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_a_refusal_has_the_error_shape_ids_and_cors(client: httpx.Client, wrong: Wrong) -> None:
    answer = send(client, wrong)

    assert (answer.status_code, answer.headers["content-type"]) == (
        wrong.status,
        "application/json",
    )
    jsonschema.validate(answer.json(), STANDARD)
    assert answer.json()["code"] == wrong.code
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]", answer.headers["traceparent"])
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "origin" in answer.headers["vary"].lower()
    assert answer.headers["cache-control"] == "no-store"
    if wrong.field is not None:
        assert answer.json()["details"][0]["field"] == wrong.field


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_a_refusal_is_problem_details_where_they_are_asked_for(
    client: httpx.Client, wrong: Wrong
) -> None:
    answer = send(client, wrong, accept="application/problem+json")

    assert answer.headers["content-type"] == "application/problem+json"
    jsonschema.validate(answer.json(), PROBLEM)
    found = answer.json()
    assert (found["status"], found["code"]) == (wrong.status, wrong.code)
    assert found["type"] == f"/errors/{wrong.code}"


def test_there_are_forty_of_them() -> None:
    assert len(WRONG) >= 40


def test_problem_details_refused_by_q_0_are_not_sent(client: httpx.Client) -> None:
    answer = client.get("/nowhere", headers={"accept": "application/problem+json;q=0, */*"})

    assert answer.headers["content-type"] == "application/json"


def test_405_lists_the_methods_that_the_path_has(client: httpx.Client) -> None:
    free = client.post("/free").headers["allow"]
    notes = client.get("/notes").headers["allow"]

    assert "GET" in free and "POST" not in free  # noqa: PT018 - one statement of one header
    assert "POST" in notes and "GET" not in notes  # noqa: PT018 - as above


def test_every_field_of_a_wrong_body_is_listed(client: httpx.Client) -> None:
    answer = client.post("/notes", json={"title": "", "marks": [0, 5, 99], "answer": {}})

    fields = {detail["field"] for detail in answer.json()["details"]}
    assert fields == {"title", "marks[0]", "marks[2]", "answer.title"}


def test_a_failing_handler_leaks_nothing(client: httpx.Client) -> None:
    answer = client.get("/broken")

    assert LEAK not in answer.text
    assert "RuntimeError" not in answer.text
    assert "sample.py" not in answer.text


def test_a_wrong_path_query_or_header_enters_no_python(
    sample: Gateway, client: httpx.Client
) -> None:
    before = sample.metric("nexus_python_calls_total")

    for wrong in WRONG:
        if wrong.status in {400, 401, 403, 404, 405, 413, 414, 415, 431} and not (
            wrong.code == "malformed_body" or wrong.target.startswith("/refuse")
        ):
            send(client, wrong)

    assert sample.metric("nexus_python_calls_total") == before


def test_a_body_of_exactly_the_bound_passes(client: httpx.Client) -> None:
    answer = client.post("/texts", content=b"x" * 1000, headers={"content-type": "text/plain"})

    assert (answer.status_code, len(answer.text)) == (200, 1000)


def test_a_chunked_body_one_byte_over_is_refused(client: httpx.Client) -> None:
    def body(size: int) -> list[bytes]:
        return [b"x" * 500, b"x" * (size - 500)]

    passed = client.post("/texts", content=iter(body(1000)))
    refused = client.post("/texts", content=iter(body(1001)))

    assert passed.status_code == 200
    assert refused.status_code == 413
    jsonschema.validate(refused.json(), STANDARD)


def test_a_declared_length_over_the_bound_is_refused_before_the_body_comes(
    sample: Gateway,
) -> None:
    head = b"POST /texts HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n"

    answer = exchange(sample, head)

    assert (answer.status, decoded(answer.body)["code"]) == (413, "payload_too_large")


MALFORMED = {
    "a request line of one word": (b"GARBAGE\r\n\r\n", 400),
    "a binary mess": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "an unknown version": (b"GET /free HTTP/9.9\r\nHost: x\r\n\r\n", 400),
    "a blank in a header's name": (b"GET /free HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n", 400),
    "a blank before a colon": (b"GET /free HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    "a header without a colon": (b"GET /free HTTP/1.1\r\nHost: x\r\nnothing\r\n\r\n", 400),
    "a control character in a value": (b"GET /free HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n", 400),
    "a folded header": (b"GET /free HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400),
    "a method of control characters": (b"G\x01T /free HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "a length that is no number": (
        b"POST /texts HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n",
        400,
    ),
    "a negative length": (b"POST /texts HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
    "two lengths": (
        b"POST /texts HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        400,
    ),
    "a coding that is not known": (
        b"POST /texts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        400,
    ),
    "a chunk size that is no number": (
        b"POST /texts HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        400,
    ),
    "no Host": (b"GET /free HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (b"GET /free HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    "more headers than are read": (
        b"GET /free HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 500 + b"\r\n",
        431,
    ),
    "a header without an end": (b"GET /free HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 20_000, 431),
    "a target without an end": (b"GET /" + b"x" * 20_000, 414),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_not_http_is_refused_in_the_same_shape(sample: Gateway, name: str) -> None:
    sent, status = MALFORMED[name]

    answer = exchange(sample, sent)

    assert answer.status == status, answer
    assert_whole(answer)


def assert_whole(answer: Answer) -> None:
    """Check the shape and the ids of a refusal on a plain socket."""
    body = decoded(answer.body)
    jsonschema.validate(body, STANDARD)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"] == body["request_id"]
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-3]", answer.headers["traceparent"])


def test_both_a_length_and_chunks_are_not_taken_for_a_body_of_either(sample: Gateway) -> None:
    smuggled = (
        b"POST /texts HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
    )

    with sample.connect() as connection:
        connection.sendall(smuggled)
        read_answer(connection)

        # RFC 9112, section 6.1: whatever the answer, the connection ends with it.
        assert closed(connection)


def test_a_slow_body_is_given_up_at_the_route_s_time(sample: Gateway) -> None:
    head = b"POST /slowly HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n{"

    answer = exchange(sample, head)

    assert (answer.status, decoded(answer.body)["code"]) == (408, "request_timeout")
    assert_whole(answer)


def test_every_page_of_an_error_code_is_there(studio: Gateway) -> None:
    with studio.client() as client:
        for code in BY_CODE:
            assert code in client.get(f"/errors/{code}").text
        assert client.get("/errors/no_such_code").status_code == 404
