"""Handlers whose answers say what is the core's to say."""

from __future__ import annotations

import asyncio

from nexus_gateway import Chunks, Response, compress, get, param, path, plan, public
from nexus_gateway.server import Application

ended = asyncio.Event()


async def length(size: int) -> Response[str]:
    return Response("y" * 3000, 200, (("content-length", str(size)),))


async def chunked() -> Response[str]:
    return Response("y" * 3000, 200, (("transfer-encoding", "chunked"), ("trailer", "x")))


async def close() -> Response[str]:
    return Response("y" * 3000, 200, (("connection", "close"), ("keep-alive", "timeout=0")))


async def content(status: int) -> Response[str]:
    return Response("content", status, (("content-length", "7"),))


async def chunks() -> Chunks:
    yield b"content"


async def streamed(status: int) -> Response[Chunks]:
    return Response(chunks(), status)


async def endless() -> Response[Chunks]:
    async def ticks() -> Chunks:
        try:
            while True:
                yield b"tick"
                await asyncio.sleep(0.01)
        finally:
            ended.set()

    return Response(ticks())


async def wait_for_end() -> str:
    await ended.wait()
    return "ended"


ROUTES = (
    (path("health") & get() & public()).answer("ok")
    | (path("length") / param("size", int) & get() & public()).then(length)
    | (path("chunked") & get() & public()).then(chunked)
    | (path("close") & get() & public()).then(close)
    | (path("status") / param("status", int) & get() & public()).then(content)
    | (path("streamed") / param("status", int) & get() & public()).then(streamed)
    | (path("endless") & get() & public()).then(endless)
    | (path("ended") & get() & public()).then(wait_for_end)
)
gateway = Application(ROUTES, layers=plan.Layers(compress=compress()))
