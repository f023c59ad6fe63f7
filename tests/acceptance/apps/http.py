"""Routes that show how a request was understood: its path, its header fields, its body."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nexus_gateway import (
    body_bytes,
    get,
    header,
    param,
    path,
    plan,
    post,
    public,
    query_method,
    tail,
)
from nexus_gateway.server import Application

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


async def user(name: str) -> dict[str, str]:
    return {"user": name}


async def rest(name: str) -> dict[str, str]:
    return {"rest": name}


async def echo(content: bytes) -> bytes:
    return content


async def text(value: str) -> str:
    return value


async def late() -> str:
    await asyncio.sleep(0.2)
    return "late"


async def numbers() -> AsyncGenerator[str]:
    for number in range(3):
        await asyncio.sleep(0.05)
        yield f"{number} "


routes = (
    (path("hello") & get() & public()).answer("hello")
    | (path("users/me") & get() & public()).answer("me")
    | (path("users") / param("name", str) & get() & public()).then(user)
    | (path("entities:batch") & post() & public()).answer("batch")
    | (path("rest") / tail("name") & get() & public()).then(rest)
    | (path("rest/private") / tail("name") & get() & public()).answer("private")
    | (path("echo") & post() & public() & body_bytes()).then(echo)
    | (path("ignore") & post() & public()).answer("ignored")
    | (path("cookie") & get() & public() & header("cookie")).then(text, name="cookie")
    | (path("accept") & get() & public() & header("accept")).then(text, name="accept")
    | (path("host") & get() & public() & header("host")).then(text, name="host")
    | (path("late") & get() & public()).then(late)
    | (path("numbers") & get() & public()).stream(numbers)
    | (path("search") & query_method() & public()).answer("found")
)
gateway = Application(routes=routes, layers=plan.Layers(), bounds=plan.Bounds())
