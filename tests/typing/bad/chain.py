"""Must fail: every line marked `# E` in both checkers, and no other line."""

from typing import assert_type

import msgspec
from nexus_gateway import (
    Claims,
    Filter,
    auth,
    body,
    get,
    header,
    param,
    path,
    post,
    route,
    use,
)


class Entity(msgspec.Struct):
    id: int
    name: str


class Other(msgspec.Struct):
    id: int


ID = param("id", int)
entities = path("api") / "entities"
write = entities & post() & auth(scope="write") & body(Entity)


async def swapped(entity: Entity, claims: Claims) -> Entity:
    return entity


async def too_few(claims: Claims) -> None: ...


async def too_many(claims: Claims, entity: Entity, extra: int) -> None: ...


async def wrong_type(claims: Claims, entity: Other) -> None: ...


def not_async(claims: Claims, entity: Entity) -> Entity:
    return entity


async def bad_reply(claims: Claims, entity: Entity) -> object:
    return object()


async def by_keyword(*, claims: Claims, entity: Entity) -> None: ...


async def takes_str(id: str) -> None: ...


async def nothing() -> None: ...


async def one_str(depth: str) -> None: ...


write.then(swapped)  # E
write.then(too_few)  # E
write.then(too_many)  # E
write.then(wrong_type)  # E
write.then(not_async)  # E
write.then(bad_reply)  # E
write.then(by_keyword)  # E
write.then(None)  # E
(entities / ID & get()).then(takes_str)  # E
(entities / ID & get()).then(nothing)  # E
(entities & get() & header("x-depth", int)).then(one_str)  # E
(entities & get() & header("x-depth").optional()).then(one_str)  # E

entities & post  # E
entities / 3  # E
entities / int  # E
entities & "x"  # E
get() / "x"  # E
auth(scope=1)  # E
auth("write")  # E

# The trap of precedence: `.then` binds to the last filter only.
entities & post() & body(Entity).then(nothing)  # E
entities & get() & use(3).then(takes_str)  # E

# '|' wants the same number of values.
auth(scope="a") | get()  # E

(entities / ID).map(lambda id: id.upper())  # E
(entities / ID).map(takes_str.__name__)  # E


@route(entities / ID & get())  # E
async def decorated(id: str) -> None: ...


assert_type(entities / ID, Filter[str])  # E
