"""A gateway with one route for each kind of refusal and of answer."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from nexus_gateway import (
    Code,
    Reject,
    Response,
    Trace,
    auth,
    body,
    body_text,
    compress,
    cors,
    get,
    header,
    log,
    param,
    path,
    plan,
    post,
    public,
    query,
    rate_limit,
    require,
    trace,
)
from nexus_gateway.server import Application
from tests.harness.gateway_process import ORIGIN, SECRET

if TYPE_CHECKING:
    from nexus_gateway import Claims

Number = Annotated[int, Meta(ge=1, le=9)]
Name = Annotated[str, Meta(min_length=1, max_length=8)]
LEAK = "hunter2"


class Note(msgspec.Struct):
    """A body: two fields, and one of its own kind."""

    title: Annotated[str, Meta(min_length=1)]
    marks: list[Number] = []
    answer: Note | None = None


class Asked(msgspec.Struct):
    """A query."""

    limit: Number = 5
    words: list[str] = []


async def show(number: int, asked: Asked, level: int | None) -> dict[str, object]:
    return {"number": number, "limit": asked.limit, "words": asked.words, "level": level}


async def keep(note: Note) -> Note:
    return note


async def repeat(text: str) -> str:
    return text


async def who(claims: Claims) -> dict[str, object]:
    return {"subject": claims.subject, "scopes": sorted(claims.scopes)}


async def refuse(code: str) -> None:
    raise Reject(msgspec.convert(code, Code))


async def broken() -> None:
    raise RuntimeError(f"the password is {LEAK}")


async def unencodable() -> Response[object]:
    return Response(object())


async def slow() -> None:
    await asyncio.sleep(60)


async def zipped() -> Response[bytes]:
    text = gzip.compress(b"zipped by the handler " * 100, compresslevel=0)
    return Response(text, headers=(("content-encoding", "gzip"),), content_type="text/plain")


async def long() -> str:
    return "made in Python " * 200


async def told(ids: Trace) -> dict[str, object]:
    return {
        "trace_id": ids.trace_id,
        "span_id": ids.span_id,
        "parent_id": ids.parent_id,
        "request_id": ids.request_id,
        "state": ids.state,
    }


TEXT = "answered by the core " * 200
ROUTES = (
    (path("free") & get() & public()).answer({"free": True})
    | (path("text") & get() & public()).answer(TEXT)
    | (path("image") & get() & public()).answer(TEXT, content_type="image/png")
    | (path("python") & get() & public()).then(long)
    | (path("zipped") & get() & public()).then(zipped)
    | (
        path("typed") / param("number", Number)
        & get()
        & public()
        & query(Asked)
        & header("x-level", Number).optional()
    ).then(show)
    | (path("needed") & get() & public() & header("x-name", Name)).then(repeat)
    | (path("notes") & post() & public() & body(Note)).then(keep, status=201)
    | (path("texts") & post() & public() & body_text()).then(repeat, name="repeat_body")
    | (path("slowly") & post() & public() & body(Note)).then(keep, timeout=0.3, name="keep_slowly")
    | (path("who") & get() & auth()).then(who)
    | (path("secret") & get() & require(scope="notes:read")).answer({"secret": True})
    | (path("both") & get() & require(scope=["notes:read", "notes:write"])).answer("both")
    | (path("once") & get() & require() & rate_limit("1/min")).answer("once")
    | (path("refuse") / param("code", str) & get() & public()).then(refuse)
    | (path("broken") & get() & public()).then(broken)
    | (path("unencodable") & get() & public()).then(unencodable)
    | (path("slow") & get() & public()).then(slow, timeout=0.1)
    | (path("trace") & get() & public() & trace()).then(told)
    | (path("metrics") & get() & public()).metrics("prometheus")
)

gateway = Application(
    routes=ROUTES,
    layers=plan.Layers(log=log("info"), cors=cors([ORIGIN], credentials=True), compress=compress()),
    tokens=plan.Tokens(keys=(plan.Key(secret="jwt", algorithms=("HS256",)),), cache=100),
    secrets={"jwt": SECRET.encode()},
    bounds=plan.Bounds(
        body_bytes=1000, header_bytes=4000, uri_bytes=1000, head_timeout_ms=500, timeout_ms=5000
    ),
)
