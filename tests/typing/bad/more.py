"""Must fail on the marked lines."""

from collections.abc import AsyncIterator
from typing import NewType, TypeVarTuple

import msgspec
from nexus_gateway import (
    Filter,
    auth,
    blocking,
    get,
    header,
    param,
    path,
    route,
)


class Entity(msgspec.Struct):
    id: int


Ts = TypeVarTuple("Ts")
Us = TypeVarTuple("Us")
EntityId = NewType("EntityId", int)
UserId = NewType("UserId", int)
base = path("e") / param("id", EntityId)


async def for_user(id: UserId) -> None: ...


def slow(id: str) -> Entity:
    return Entity(1)


async def events(id: str) -> AsyncIterator[str]:
    yield ""


class Show:
    async def __call__(self, id: str) -> Entity:
        return Entity(1)


(base & get()).then(for_user)  # E
(base & get()).then(blocking(slow))  # E
(base & get()).stream(events)  # E
(base & get()).then(events)  # E
(base & get()).then(Show())  # E
five = header("a") & header("b") & header("c") & header("d") & header("e")
base & five  # E
(header("a") & auth(scope="x")) | (auth(scope="x") & header("a"))  # E


class Routed:
    # A method takes `self` too: give `.then` the bound method of an object instead.
    @route(base & get())  # E
    async def show(self, id: EntityId) -> Entity:
        return Entity(id)


def join(left: Filter[*Ts], right: Filter[*Us]) -> Filter[*Ts]:
    left & right  # E
    return left
