"""Must pass: inference along the chain, exact in both checkers."""

from typing import Protocol, TypeVarTuple, assert_type

import msgspec
from nexus_gateway import (
    Claims,
    Filter,
    Path,
    Reply,
    Route,
    Routes,
    auth,
    body,
    delete,
    get,
    header,
    param,
    path,
    post,
    query,
    rate_limit,
    route,
    state,
    use,
)


class Entity(msgspec.Struct):
    id: int
    name: str


class Page(msgspec.Struct):
    limit: int = 20


class Opened(msgspec.Struct, tag=True):
    id: int


class Closed(msgspec.Struct, tag=True):
    id: int


class Store(Protocol):
    async def load(self, id: int) -> Entity: ...


ID = param("id", int)
entities = path("api") / "entities"

assert_type(entities, Path[()])
assert_type(entities / ID, Path[int])
assert_type(entities / ID / "links" / param("kind", str), Path[int, str])
assert_type(entities & get(), Filter[()])
assert_type(entities / ID & get(), Filter[int])
assert_type(entities / ID & get() & auth(scope="read"), Filter[int, Claims])
assert_type(entities & post() & auth(scope="write") & body(Entity), Filter[Claims, Entity])
assert_type(
    entities & post() & rate_limit(per_minute=60) & body(list[Entity]), Filter[list[Entity]]
)
assert_type(header("x-trace"), Filter[str])
assert_type(header("x-depth", int).optional(), Filter[int | None])
assert_type(auth(scope="a") | auth(scope="b"), Filter[Claims])
assert_type(body(Entity) | body(Page), Filter[Entity | Page])

# A named group of filters, used on the right: up to four values.
writer = auth(scope="write") & body(Entity)
assert_type(entities / ID & post() & writer, Filter[int, Claims, Entity])
assert_type(
    entities / ID & (header("a") & header("b") & writer), Filter[int, str, str, Claims, Entity]
)

# map / and_then
assert_type((entities / ID & get()).map(lambda id: f"e{id}"), Filter[str])


def pair(id: int, claims: Claims) -> tuple[Claims, int]:
    return claims, id


assert_type((entities / ID & auth(scope="r")).map(pair), Filter[tuple[Claims, int]])
assert_type((entities / ID & auth(scope="r")).map(pair).untuple(), Filter[Claims, int])


async def load(id: int) -> Entity:
    return Entity(id, "x")


assert_type((entities / ID).and_then(load), Filter[Entity])


# Handlers: plain functions, bound methods, wider parameter types, defaults.
async def create(claims: Claims, entity: Entity) -> Entity:
    return entity


async def show(id: int) -> Entity | None:
    return None


async def index(page: Page) -> list[Entity]:
    return []


async def audit(claims: object, entity: msgspec.Struct, note: str = "") -> dict[str, str]:
    return {}


class Entities:
    async def remove(self, id: int, claims: Claims) -> None: ...


service = Entities()
routes = (
    (entities & get() & query(Page)).then(index)
    | (entities & post() & auth(scope="write") & body(Entity)).then(create)
    | (entities / "audit" & post() & auth(scope="write") & body(Entity)).then(audit)
    | (entities / ID & get()).then(show)
    | (entities / ID & delete() & auth(scope="write")).then(service.remove)
)
assert_type(routes, Routes)


@route(entities / ID & get() & auth(scope="read"))
async def read(id: int, claims: Claims) -> Entity:
    return Entity(id, claims.subject)


assert_type(read, Route)


# Protocols as state keys need TypeForm; `use` takes any object.
async def fetch(id: int, store: Store) -> Reply:
    return await store.load(id)


class Sql:
    async def load(self, id: int) -> Entity:
        return Entity(id, "row")


(entities / ID & get() & state(Store)).then(fetch)
(entities / ID & get() & use(Sql())).then(fetch)
assert_type(body(Opened | Closed), Filter[Opened | Closed])


# A project's own filter is a function that returns a chain.
def tenant(name: str) -> Filter[str, Claims]:
    return header("x-tenant") & auth(scope=f"{name}:read")


async def by_tenant(id: int, tenant: str, claims: Claims) -> str:
    return tenant


(entities / ID & get() & tenant("acme")).then(by_tenant)


# A generic helper over any chain keeps the types.
Ts = TypeVarTuple("Ts")


def guarded(chain: Filter[*Ts]) -> Filter[*Ts, Claims]:
    return chain & auth(scope="admin")


assert_type(guarded(entities / ID & get()), Filter[int, Claims])
