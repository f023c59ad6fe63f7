"""What a handler may return: a value, which becomes JSON, text or bytes, or a `Response` around it.

The core writes the answer: `None` is an empty 204, `str` is text, `bytes` is a byte stream, and
anything else is JSON. A `Response` says the status, headers or content type as well; where its
content is an async generator, its chunks are sent as they are made, the head with the first.

How a message is framed is the core's affair: headers such as `content-length`, `connection` and
`date` are not sent, a header that an answer has once replaces the one before, and an answer of
status 204, 205 or 304 has no content. A status below 200 or above 599, or a header that cannot be
sent, is answered with 500, and the log names the handler.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Generic, TypeAlias, TypeVar

import msgspec

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Headers: TypeAlias = tuple[tuple[str, str], ...]


class Response(msgspec.Struct, Generic[T_co], frozen=True):
    """An answer with its status; `content_type` is chosen by the content where it is None."""

    content: T_co
    status: int = 200
    headers: Headers = ()
    content_type: str | None = None


Chunks: TypeAlias = AsyncGenerator[bytes | str, None]
"""What a handler streams as the content of a `Response`, for instance by what a client accepts."""
Reply: TypeAlias = msgspec.Struct | Mapping[str, object] | Sequence[object] | str | bytes | None


def created(value: T, *, location: str | None = None) -> Response[T]:
    """Answer 201 with what was created and where it is."""
    return Response(value, 201, _location(location))


def accepted(value: T, *, location: str | None = None) -> Response[T]:
    """Answer 202: the work goes on, and `location` says where to ask for it."""
    return Response(value, 202, _location(location))


def no_content() -> Response[None]:
    """Answer 204."""
    return Response(None, 204)


def see_other(location: str) -> Response[None]:
    """Answer 303: what is asked for is read at `location`."""
    return Response(None, 303, _location(location))


def html(text: str, *, status: int = 200) -> Response[str]:
    """Answer with a page."""
    return Response(text, status, content_type="text/html; charset=utf-8")


def _location(location: str | None) -> Headers:
    return () if location is None else (("location", location),)
