"""What handlers may return, and what the core makes of it."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from nexus_gateway import (
    Chunks,
    Reject,
    Reply,
    Response,
    accepted,
    created,
    get,
    html,
    no_content,
    param,
    path,
    see_other,
)
from nexus_gateway.server import Server
from nexus_gateway.terminals import answer
from nexus_gateway.testing import request


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


def test_the_core_answers_constants_and_counters() -> None:
    routes = (path("h") & get()).answer({"status": "ok"}) | (path("m") & get()).metrics("summary")

    assert request("GET /h").reply(routes).body == b'{"status":"ok"}'
    assert request("GET /m").reply(routes).header("content-type") == JSON
