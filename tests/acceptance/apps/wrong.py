"""A handler that does not fit its chain: `check` must say where and why."""

from __future__ import annotations

from nexus_gateway import get, param, path, post, public


async def show(numbr: int) -> dict[str, int]:
    return {"number": numbr}


async def add(number: str) -> str:
    return number


async def count(number: int, more: int) -> int:
    return number + more


number = path("numbers") / param("number", int)
misnamed = (number & get() & public()).then(show)
mistyped = (number & post() & public()).then(add)  # type: ignore[arg-type]  # what is tested
miscounted = (number & get()).then(count)  # type: ignore[arg-type]  # as above
shadowed = (path("a") & get()).answer("a") | (path("a") & get()).answer("b")
unprotected = (path("a") & post()).answer("a")
