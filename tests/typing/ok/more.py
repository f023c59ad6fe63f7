"""Must pass: the wider corners (threads, streams, constraints, long chains, callables)."""

import functools
from collections.abc import AsyncIterator
from typing import Annotated, NewType, assert_type

import msgspec
from nexus_gateway import (
    Claims,
    Filter,
    Path,
    auth,
    blocking,
    body,
    get,
    header,
    param,
    path,
    query,
    use,
)


class Entity(msgspec.Struct):
    id: int


EntityId = NewType("EntityId", int)
Limit = Annotated[int, msgspec.Meta(ge=1, le=100)]
ID = param("id", EntityId)
base = path("e") / ID
assert_type(base, Path[EntityId])
assert_type(base & header("x-limit", Limit), Filter[EntityId, int])
assert_type(query("limit", Limit), Filter[int])

# '|' over two values, on both sides the same.
left = header("a") & auth(scope="x")
right = header("b") & auth(scope="y")
assert_type(left | right, Filter[str, Claims])


def slow(id: EntityId, claims: Claims) -> Entity:
    return Entity(id)


(base & get() & auth(scope="r")).then(blocking(slow))


async def events(id: EntityId) -> AsyncIterator[str]:
    yield f"data: {id}\n\n"


(base & get()).stream(events)


class Show:
    async def __call__(self, id: EntityId) -> Entity:
        return Entity(id)


(base & get()).then(Show())


async def configured(prefix: str, id: EntityId) -> str:
    return prefix


(base & get()).then(functools.partial(configured, "p"))
(base & get()).then(lambda id: Show()(id))

nine = (
    path("a") / param("a", int) / param("b", str) / param("c", float) / param("d", str)
    & get()
    & header("e")
    & header("f", int)
    & auth(scope="g")
    & body(Entity)
    & use(3)
)
assert_type(nine, Filter[int, str, float, str, str, int, Claims, Entity, int])
assert_type(
    nine & (header("x") & header("y") & header("z") & header("w")),
    Filter[int, str, float, str, str, int, Claims, Entity, int, str, str, str, str],
)
