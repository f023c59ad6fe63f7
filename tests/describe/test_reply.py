"""What handlers may return, and what the core makes of it."""

from __future__ import annotations

import asyncio
import gzip

import msgspec
import pytest

from nexus_gateway import (
    Chunks,
    Reject,
    Reply,
    Response,
    Routes,
    accepted,
    compress,
    cors,
    created,
    get,
    html,
    no_content,
    param,
    path,
    see_other,
)
from nexus_gateway.describe.terminals import answer
from nexus_gateway.server import Server
from nexus_gateway.testing import Answer, Client, request


class Entity(msgspec.Struct):
    id: int


JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("reply", "status", "content_type", "content"),
    [
        (Entity(1), 200, JSON, b'{"id":1}'),
        ([Entity(1)], 200, JSON, b'[{"id":1}]'),
        ({"a": 1}, 200, JSON, b'{"a":1}'),
        ("text", 200, TEXT, b"text"),
        (b"\x00", 200, "application/octet-stream", b"\x00"),
        (None, 204, None, b""),
        (Response({"a": 1}, 418), 418, JSON, b'{"a":1}'),
        (Response(b"<a/>", content_type="application/xml"), 200, "application/xml", b"<a/>"),
        (created(Entity(2)), 201, JSON, b'{"id":2}'),
        (accepted({"job": 1}), 202, JSON, b'{"job":1}'),
        (no_content(), 204, None, b""),
        (html("<p>"), 200, "text/html; charset=utf-8", b"<p>"),
    ],
)
def test_a_reply_becomes_an_answer(
    reply: Reply, status: int, content_type: str | None, content: bytes
) -> None:
    async def handler() -> Reply:
        return reply

    found = request("GET /x").reply((path("x") & get()).then(handler))

    assert (found.status, found.body) == (status, content)
    assert found.header("content-type") == content_type


@pytest.mark.parametrize(
    "reply", [created(1, location="/e/1"), accepted(1, location="/e/1"), see_other("/e/1")]
)
def test_a_location_is_a_header(reply: Response[object]) -> None:
    async def handler() -> Response[object]:
        return reply

    found = request("GET /x").reply((path("x") & get()).then(handler))

    assert found.header("location") == "/e/1"


def test_a_constant_answer_is_json_or_text() -> None:
    assert answer({"status": "ok"}).body == '{"status":"ok"}'
    assert answer({}).content_type == JSON
    assert answer("ok").content_type == TEXT
    assert answer("{}", content_type=JSON).body == "{}"
    assert answer("", headers=[("a", "b")]).headers == (("a", "b"),)


async def rows() -> Chunks:
    yield b"1\n"
    await asyncio.sleep(0)
    yield "2\n"


async def fails() -> Chunks:
    if msgspec.json.encode(1):
        raise Reject("conflict")
    yield b""


async def empty() -> Chunks:
    for _ in range(0):
        yield b""


@pytest.mark.parametrize("eager", [False, True])
async def test_a_reply_may_be_streamed_or_given_at_once(*, eager: bool) -> None:
    async def handler(rate: str) -> Response[list[int] | Chunks]:
        if rate == "fast":
            return Response([1, 2])
        return Response(rows(), 206, (("x-rows", "2"),), "application/x-ndjson")

    chain = path("x") / param("rate", str) & get()
    route = chain.then(handler, also=[206], streams=["application/x-ndjson"])
    async with Server(route, eager=eager) as server:
        streamed = await request("GET /x/slow").send(server)
        at_once = await request("GET /x/fast").send(server)

    assert (streamed.status, streamed.body) == (206, b"1\n2\n")
    assert streamed.header("content-type") == "application/x-ndjson"
    assert (streamed.header("x-rows"), streamed.header("cache-control")) == ("2", "no-cache")
    assert (at_once.status, at_once.json()) == (200, [1, 2])


def test_a_stream_keeps_its_own_cache_control_and_may_be_empty() -> None:
    async def handler() -> Response[Chunks]:
        return Response(empty(), headers=(("cache-control", "max-age=5"),))

    found = request("GET /x").reply((path("x") & get()).then(handler))

    assert (found.status, found.body) == (200, b"")
    assert found.header("cache-control") == "max-age=5"
    assert found.header("content-type") == "application/octet-stream"


def test_a_stream_that_fails_before_its_first_chunk_is_refused() -> None:
    async def handler() -> Response[Chunks]:
        return Response(fails())

    async def wrong() -> Response[Chunks]:
        return Response(rows(), headers=(("a", "b\n"),))

    routes = (path("x") & get()).then(handler) | (path("y") & get()).then(wrong)

    assert request("GET /x").reply(routes).status == 409
    assert request("GET /y").reply(routes).status == 500


@pytest.mark.parametrize("status", [100, 199, 600])
def test_a_constant_answer_has_the_status_of_an_answer(status: int) -> None:
    with pytest.raises(ValueError, match=f"found {status}"):
        answer("", status=status)


@pytest.mark.parametrize(
    "name",
    [
        "content-length",
        "Content-Length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "proxy-connection",
        "upgrade",
        "te",
        "trailer",
        "date",
    ],
)
def test_headers_that_frame_a_message_are_the_core_s(name: str) -> None:
    async def handler() -> Response[str]:
        return Response("y" * 3000, 200, ((name, "7"), ("x-own", "1")))

    async def refuses() -> str:
        raise Reject("conflict", headers=((name, "7"), ("x-own", "1")))

    async def streams() -> Response[Chunks]:
        return Response(rows(), headers=((name, "7"), ("x-own", "1")))

    routes = (
        (path("x") & get()).then(handler)
        | (path("y") & get()).then(refuses)
        | (path("z") & get()).then(streams)
    ).wrap(compress())
    with Client(routes) as client:
        for target, status in (("/x", 200), ("/y", 409), ("/z", 200)):
            for coding in ("gzip", "identity"):
                asked = request(f"GET {target}").header("accept-encoding", coding)
                found = asked.reply(client)
                assert (found.status, found.header("x-own")) == (status, "1")
                assert found.header(name) != "7"
                if target == "/x" and coding == "identity":
                    assert found.body == b"y" * 3000
    with pytest.raises(ValueError, match="written by the core alone"):
        request("GET /c").reply((path("c") & get()).answer("x", headers=[(name, "7")]))


ONCE = ["content-type", "location", "etag", "last-modified", "retry-after", "content-range"]


@pytest.mark.parametrize("name", ONCE)
def test_a_header_that_an_answer_has_once_is_replaced(name: str) -> None:
    twice = ((name.title(), '"a/b"'), (name, '"c/d"'))

    async def handler() -> Response[str]:
        return Response("x", headers=twice)

    async def refuses() -> str:
        raise Reject("conflict", headers=twice)

    routes = (
        (path("x") & get()).then(handler)
        | (path("y") & get()).then(refuses)
        | (path("z") & get()).answer("x", headers=twice)
    )
    with Client(routes) as client:
        for target in ("/x", "/y", "/z"):
            assert lines(request(f"GET {target}").reply(client), name) == ['"c/d"']


def lines(found: Answer, name: str) -> list[str]:
    """Read the values of each line of a header."""
    return [value for known, value in found.headers if known == name]


def test_the_content_type_of_a_response_counts_before_its_headers() -> None:
    async def handler() -> Response[str]:
        return Response("x", headers=(("Content-Type", "text/html"),), content_type="text/css")

    assert lines(request("GET /x").reply((path("x") & get()).then(handler)), "content-type") == [
        "text/css"
    ]


def test_headers_that_are_lists_may_be_repeated_and_vary_is_merged() -> None:
    headers = (
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("vary", "Origin, accept"),
        ("vary", "Accept"),
        ("vary", "Accept-Encoding"),
    )

    async def handler() -> Response[str]:
        return Response("x" * 2000, headers=headers)

    routes = Routes((path("x") & get()).then(handler)).wrap(compress(), cors(["https://a.example"]))
    found = request("GET /x").header("accept-encoding", "gzip").reply(routes)

    assert lines(found, "set-cookie") == ["a=1", "b=2"]
    assert ", ".join(lines(found, "vary")).lower() == "origin, accept, accept-encoding"


def test_what_a_handler_has_coded_is_not_compressed_again() -> None:
    coded = gzip.compress(b"x" * 5000) + b"\0" * 5000

    async def handler() -> Response[bytes]:
        return Response(coded, headers=(("content-encoding", "gzip"),), content_type=TEXT)

    routes = Routes((path("x") & get()).then(handler)).wrap(compress())
    found = request("GET /x").header("accept-encoding", "br, gzip").reply(routes)

    assert (found.body, lines(found, "content-encoding")) == (coded, ["gzip"])


@pytest.mark.parametrize("status", [-1, 0, 99, 100, 101, 103, 199, 600, 999, 70_000])
def test_a_status_that_is_not_final_is_a_500_that_names_the_handler(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def gives_odd_status() -> Response[str]:
        return Response("x", status)

    async def streams() -> Response[Chunks]:
        return Response(rows(), status)

    routes = (path("x") & get()).then(gives_odd_status) | (path("y") & get()).then(streams)
    with Client(routes) as client:
        for target in ("/x", "/y"):
            assert request(f"GET {target}").reply(client).status == 500
    assert str(status) in caplog.text


@pytest.mark.parametrize("status", [204, 205, 304])
def test_an_answer_without_content_ends_with_its_head(status: int) -> None:
    begun: list[str] = []

    async def handler() -> Response[str]:
        return Response("content", status, (("etag", '"1"'),), "text/css")

    async def chunks() -> Chunks:
        begun.append("begun")
        yield b"content"

    async def streams() -> Response[Chunks]:
        return Response(chunks(), status, (("etag", '"1"'), ("content-encoding", "gzip")))

    routes = (
        (path("x") & get()).then(handler)
        | (path("y") & get()).then(streams)
        | (path("z") & get()).answer(None, status=status, headers=[("etag", '"1"')])
    )
    with Client(routes) as client:
        for target in ("/x", "/y", "/z"):
            found = request(f"GET {target}").reply(client)
            assert (found.status, found.body, found.header("etag")) == (status, b"", '"1"')
            assert found.header("content-type") is None
            assert found.header("content-encoding") is None
            assert found.header("transfer-encoding") is None
            assert found.header("content-length") == ("0" if status == 205 else None)
    assert begun == []
    with pytest.raises(ValueError, match="has no content"):
        answer("content", status=status)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x", "a\r\nset-cookie: b"),
        ("x", "a\nb"),
        ("x", "a\0"),
        ("x", "\ud800"),
        ("a b", "c"),
        ("ü", "c"),
        ("", "c"),
        ("a:", "c"),
        ("a\r\n", "c"),
    ],
)
def test_a_header_that_cannot_be_sent_is_a_500(name: str, value: str) -> None:
    async def handler() -> Response[str]:
        return Response("x", headers=((name, value),))

    async def refuses() -> str:
        raise Reject("conflict", headers=((name, value),))

    routes = (path("x") & get()).then(handler) | (path("y") & get()).then(refuses)
    with Client(routes) as client:
        for target in ("/x", "/y"):
            found = request(f"GET {target}").reply(client)
            assert (found.status, found.header("set-cookie")) == (500, None)


def test_white_space_around_a_header_s_value_is_not_sent_and_a_location_is_ascii() -> None:
    async def handler() -> Response[str]:
        return Response("x", 201, (("x-own", " \ta b\t "), ("location", "/größe/a%20b")))

    found = request("GET /x").reply((path("x") & get()).then(handler))

    assert found.header("x-own") == "a b"
    assert found.header("location") == "/gr%C3%B6%C3%9Fe/a%20b"


def test_the_core_answers_constants_and_counters() -> None:
    routes = (path("h") & get()).answer({"status": "ok"}) | (path("m") & get()).metrics("summary")

    assert request("GET /h").reply(routes).body == b'{"status":"ok"}'
    assert request("GET /m").reply(routes).header("content-type") == JSON
