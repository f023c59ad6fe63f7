"""Handlers that block, wait, stream and fail in the middle; `/seen` tells what became of them."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated
from weakref import WeakKeyDictionary

import msgspec
from msgspec import Meta

from nexus_gateway import (
    Claims,
    auth,
    blocking,
    body,
    compress,
    get,
    log,
    param,
    path,
    plan,
    post,
    public,
)
from nexus_gateway.server import Application
from tests.harness.gateway_process import SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

Seconds = Annotated[float, Meta(ge=0, le=10)]
seen: list[str] = []
current: ContextVar[str] = ContextVar("current", default="nobody")


class Numbers(msgspec.Struct):
    """A body."""

    numbers: list[int]


async def block(seconds: float) -> str:
    time.sleep(seconds)  # noqa: ASYNC251 - what must not happen, and does
    return "blocked"


def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return "slept"


async def wait(name: str) -> None:
    seen.append(f"{name} begins")
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        seen.append(f"{name} cancelled")
        raise
    finally:
        await asyncio.sleep(0)
        seen.append(f"{name} ends")


async def stubborn(name: str) -> str:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        seen.append(f"{name} goes on")
    return "too late"


async def tell() -> list[str]:
    return seen


async def remember(name: str) -> list[str]:
    """Set a context variable; what was there before must be nobody's."""
    before = current.get()
    current.set(name)
    await asyncio.sleep(0.005)
    return [before, current.get()]


async def remember_at_once(name: str) -> list[str]:
    before = current.get()
    current.set(name)
    return [before, current.get()]


async def limited() -> str:
    try:
        async with asyncio.timeout(0.02):
            await asyncio.sleep(10)
    except TimeoutError:
        return "in time"
    return "too late"


async def together(numbers: Numbers) -> list[int]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(square(number)) for number in numbers.numbers]
    return [task.result() for task in tasks]


async def square(number: int) -> int:
    await asyncio.sleep(0.001)
    if number < 0:
        raise ValueError("no number below 0")
    return number * number


async def task() -> dict[str, object]:
    """Tell what the running task is: one that may be waited for, named and cancelled."""
    mine = asyncio.current_task()
    await asyncio.sleep(0)
    return {"task": mine is not None, "same": asyncio.current_task() is mine}


class Awkward:
    """A value of a context variable that cannot be compared, as arrays cannot."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth value is ambiguous")


awkward: ContextVar[Awkward] = ContextVar("awkward")
first = Awkward()
awkward.set(first)  # in the context that handlers begin with
kept: list[asyncio.Task[object]] = []
marked: WeakKeyDictionary[asyncio.Task[object], bool] = WeakKeyDictionary()


async def trace(kind: str) -> dict[str, object]:
    """Tell what the running task is like, and leave a trace on it without waiting for anything."""
    mine = asyncio.current_task()
    if mine is None:
        return {}
    found: dict[str, object] = {
        "name": mine.get_name(),
        "kept": any(mine is one for one in kept),
        "marked": mine in marked,
        "cancelling": mine.cancelling(),
        "among all": mine in asyncio.all_tasks(),
        "own": getattr(mine, "own", None),
        "awkward": awkward.get() is first,
    }
    match kind:
        case "keep":
            kept.append(mine)
        case "cancel":
            kept.append(mine)
            mine.cancel()
        case "mark":
            marked[mine] = True
        case "call back":
            mine.add_done_callback(lambda one: seen.append(f"called back {one.done()}"))
        case "name":
            mine.set_name("mine")
        case "awkward":
            awkward.set(Awkward())
        case "own":
            setattr(mine, "own", kind)  # noqa: B010 - it is no attribute of the class
        case _:
            pass
    return found


async def keepers() -> list[list[bool]]:
    """Tell what became of the tasks that were kept."""
    return [[one.done(), one.done() and one.cancelled()] for one in kept]


async def between() -> dict[str, bool]:
    """Have the loop's next turn note whose it is, and end without waiting for it."""

    def note() -> None:
        seen.append(f"between {asyncio.current_task()}")

    mine = asyncio.current_task()
    asyncio.get_running_loop().call_soon(note)
    return {"task": mine is not None}


async def who(claims: Claims) -> str:
    await asyncio.sleep(0.002)
    return claims.subject


async def events() -> AsyncGenerator[str]:
    seen.append("events begin")
    try:
        for number in range(1000):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0.2)
    finally:
        seen.append("events end")


async def three() -> AsyncGenerator[str]:
    for number in range(3):
        yield f"line {number}\n" * 50


async def breaking() -> AsyncGenerator[str]:
    yield "before\n"
    await asyncio.sleep(0.01)
    raise RuntimeError("in the middle")


async def breaking_at_once() -> AsyncGenerator[str]:
    yield str(1 // len(""))


async def flood() -> AsyncGenerator[bytes]:
    """Yield 1 GB as fast as it is taken."""
    chunk = b"x" * 65536
    for number in range(16384):
        if number % 64 == 0:
            seen.append(f"flood {number}")
        yield chunk


name = param("name", str)
ROUTES = (
    (path("block") / param("seconds", Seconds) & get() & public()).then(block, timeout=0.5)
    | (path("sleep") / param("seconds", Seconds) & get() & public()).then(blocking(sleep))
    | (path("wait") / name & get() & public()).then(wait)
    | (path("late") / name & get() & public()).then(wait, timeout=0.1, name="late")
    | (path("stubborn") / name & get() & public()).then(stubborn, timeout=0.1)
    | (path("seen") & get() & public()).then(tell)
    | (path("remember") / name & get() & public()).then(remember)
    | (path("remember_at_once") / name & get() & public()).then(remember_at_once)
    | (path("limited") & get() & public()).then(limited)
    | (path("together") & post() & public() & body(Numbers)).then(together)
    | (path("task") & get() & public()).then(task)
    | (path("between") & get() & public()).then(between)
    | (path("trace") / param("kind", str) & get() & public()).then(trace)
    | (path("keepers") & get() & public()).then(keepers)
    | (path("who") & get() & auth()).then(who)
    | (path("secret") & get() & auth(scope="never")).then(who, name="secret")
    | (path("events") & get() & public()).stream(events)
    | (path("three") & get() & public()).stream(three, content_type="text/plain")
    | (path("breaking") & get() & public()).stream(breaking, content_type="text/plain")
    | (path("breaking_at_once") & get() & public()).stream(breaking_at_once)
    | (path("flood") & get() & public()).stream(flood, content_type="application/octet-stream")
    | (path("health") & get() & public()).answer({"status": "ok"})
    | (path("metrics") & get() & public()).metrics("prometheus")
)


def application(queue: int = 4096) -> Application:
    """Make the application; at most `queue` calls wait for Python."""
    return Application(
        routes=ROUTES,
        layers=plan.Layers(log=log("info"), compress=compress()),
        tokens=plan.Tokens(keys=(plan.Key(secret="jwt", algorithms=("HS256",)),), cache=1000),
        secrets={"jwt": SECRET.encode()},
        bounds=plan.Bounds(queue=queue, head_timeout_ms=300, idle_timeout_ms=1000),
    )


gateway = application()
crowded = application(queue=4)
