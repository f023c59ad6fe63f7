"""NDJSON: lists that are answered line by line, the first before the last is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from nexus_gateway import Chunks

NDJSON = "application/x-ndjson"

_encode = msgspec.json.Encoder().encode_lines


def takes(accept: str | None, content_type: str) -> bool:
    """Say whether an Accept header asks for a content type by name.

    >>> takes("text/html, application/x-ndjson;q=0.9", NDJSON), takes("*/*", NDJSON)
    (True, False)
    """
    wanted = (part.partition(";") for part in (accept or "").split(","))
    return any(
        name.strip().lower() == content_type and "q=0" not in parameters.replace(" ", "").split(";")
        for name, _, parameters in wanted
    )


async def lines(parts: AsyncIterator[Iterable[object]]) -> Chunks:
    """Write what comes part by part, each item in a line; the first part is there already.

    What goes wrong with the first part is raised here, where it can still be refused; later the
    connection is cut, so that nobody takes a part for the whole.
    """
    first = await anext(parts, ())
    return _lines(first, parts)


async def _lines(first: Iterable[object], parts: AsyncIterator[Iterable[object]]) -> Chunks:
    yield _encode(first)
    async for part in parts:
        yield _encode(part)
