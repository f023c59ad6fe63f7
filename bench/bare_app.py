"""One handler with a path parameter as a program of this gateway, without layers of its own."""

from __future__ import annotations

import os

from nexus_gateway import get, param, path
from nexus_gateway.server import serve


async def square(number: int) -> dict[str, int]:
    """Square a number."""
    return {"number": number, "square": number * number}


if __name__ == "__main__":
    serve(
        (path("squares") / param("number", int) & get()).then(square),
        port=int(os.environ["PORT"]),
    )
