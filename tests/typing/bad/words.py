"""Must fail on the marked lines: codes, words and options that do not exist."""

import msgspec

from nexus_gateway import (
    Reject,
    auth,
    body,
    get,
    log,
    param,
    path,
    post,
    query,
    rate_limit,
    tail,
)


class Entity(msgspec.Struct):
    id: int


async def create(entity: Entity) -> Entity:
    raise Reject("no_such_code")  # E


async def show(rest: int) -> None: ...


chain = path("e") & post() & body(Entity)
chain.then(create, raises=("no_such_code",))  # E
chain.then(create, status="201")  # E
chain.then(create, 201)  # E
(path("e") / tail("rest")).then(show)  # E
(path("metrics") & get()).metrics("xml")  # E
(path("ws") & get()).echo(1000)  # E
(path("ws") & get()).hub("telegraph")  # E
rate_limit("1/s", by="nobody")  # E
log("loud")  # E
query("limit")(int)  # E
path("e") / param("id")  # E
(path("e") & get()).then(create).recover(create)  # E
chain.then(create).wrap(log())  # E
chain.then(create) & auth()  # E
