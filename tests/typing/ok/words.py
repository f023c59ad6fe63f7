"""Must pass: words, options and answers beyond the plain chains of the other files."""

import enum
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Literal, assert_type
from uuid import UUID

import msgspec

from nexus_gateway import (
    Claims,
    Filter,
    Path,
    Reject,
    Response,
    Route,
    Routes,
    Trace,
    auth,
    body,
    body_bytes,
    body_text,
    cors,
    created,
    get,
    header,
    log,
    no_content,
    param,
    path,
    post,
    public,
    query,
    rate_limit,
    require,
    route,
    tail,
    timeout,
    trace,
)


class Entity(msgspec.Struct):
    id: UUID


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


base = path("e") / param("id", UUID)
assert_type(base, Path[UUID])
assert_type(path("files") / tail("rest"), Path[str])
assert_type(
    path("a") / param("color", Color) / param("side", Literal["left", "right"]) & get(),
    Filter[Color, Literal["left", "right"]],
)
assert_type(query("since", datetime), Filter[datetime])
assert_type(query("limit", int, default=20), Filter[int])
assert_type(query("tag", list[str], default=[]), Filter[list[str]])
assert_type(header("x-at", datetime).optional(), Filter[datetime | None])
assert_type(body_bytes(max_bytes=10), Filter[bytes])
assert_type(body_text(), Filter[str])
assert_type(base & get() & require(scope="r") & trace(), Filter[UUID, Trace])
assert_type(base & post() & public() & rate_limit("100/min burst 20", by="api"), Filter[UUID])
assert_type(auth(scope=("a", "b")), Filter[Claims])


async def create(id: UUID, entity: Entity) -> Response[Entity]:
    if entity.id != id:
        raise Reject("conflict", retry_after=1)
    return created(entity, location=f"/e/{id}")


async def remove(id: UUID) -> Response[None]:
    return no_content()


async def events(id: UUID) -> AsyncIterator[bytes]:
    yield b"1"


async def storage(error: Exception) -> None:
    raise Reject("database_error") from error


made = (base & post() & body(Entity)).then(create, status=201, raises=("conflict",), timeout=1.5)
assert_type(made, Route)
assert_type((base & get()).stream(events, content_type="application/x-ndjson"), Route)
assert_type((path("health") & get()).answer({"status": "ok"}), Route)
assert_type((path("metrics") & get()).metrics("prometheus"), Route)
assert_type((path("ws") & get()).echo(max_bytes=1000), Route)
assert_type((path("ws") / param("channel", str) & get()).hub("socket"), Route)
routes = made | (base & get()).then(remove)
assert_type(routes.wrap(log(), cors(["https://a.example"]), timeout(5)).recover(storage), Routes)
assert_type(routes.with_(log("warning")) | made, Routes)


@route(base & post() & body(Entity), status=201)
async def decorated(id: UUID, entity: Entity) -> Entity:
    return entity


async def claims(claims: Claims) -> str:
    assert_type(claims.get("email"), object)
    assert_type(claims.get("email", str), str | None)
    return claims.subject
