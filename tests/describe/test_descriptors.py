"""What the tests of a program open is closed again: no descriptor is left after each of them."""

from __future__ import annotations

import asyncio
import gc
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nexus_gateway import get, param, path
from nexus_gateway.server import Application, Server
from nexus_gateway.testing import Client, request

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def answer() -> str:
    return "ok"


async def wait() -> str:
    await asyncio.sleep(0)
    return "ok"


ROUTES = (path("ok") & get()).then(answer) | (path("wait") & get()).then(wait)


@asynccontextmanager
async def failing() -> AsyncGenerator[None]:
    if ROUTES.routes:
        raise LookupError("it does not start")
    yield


def use_client() -> None:
    with Client(ROUTES) as client:
        assert client.send(request("GET /ok")).body == b"ok"
        assert client.send(request("GET /wait")).body == b"ok"


def use_plain_tasks() -> None:
    async def run() -> None:
        async with Server(ROUTES, eager=False) as server:
            await request("GET /wait").send(server)

    asyncio.run(run())


def use_reply() -> None:
    assert request("GET /wait").reply(ROUTES).status == 200


def use_extract() -> None:
    assert request("GET /users/7").extract(path("users") / param("id", int)) == (7,)
    assert not request("GET /users/x").matches(path("users") / param("id", int))


def use_server() -> None:
    async def run() -> None:
        async with Server(ROUTES, listen=[("127.0.0.1", 0)]) as server:
            await request("GET /wait").send(server)

    asyncio.run(run())


def use_nothing() -> None:
    Client(ROUTES)


def fail_in_the_test() -> None:
    async def run() -> None:
        async with Server(ROUTES) as server:
            await request("GET /wait").send(server)
            raise LookupError

    with pytest.raises(LookupError):
        asyncio.run(run())


def fail_in_the_lifespan() -> None:
    with pytest.raises(LookupError), Client(Application(ROUTES, lifespan=failing)):
        pass


def fail_to_listen() -> None:
    async def run(address: tuple[str, int]) -> None:
        async with Server(ROUTES, listen=[address]):
            pass

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        asyncio.run(run(taken.getsockname()))


@pytest.mark.parametrize(
    "use",
    [
        use_client,
        use_plain_tasks,
        use_reply,
        use_extract,
        use_server,
        use_nothing,
        fail_in_the_test,
        fail_in_the_lifespan,
        fail_to_listen,
    ],
)
def test_no_descriptor_is_left(use: Callable[[], None]) -> None:
    use()
    gc.collect()
    before = descriptors()

    for _ in range(30):
        use()

    gc.collect()
    assert descriptors() <= before
