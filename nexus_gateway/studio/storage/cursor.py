"""Cursors: where a list goes on, as text that only its own query takes back.

A cursor is a position and a digest over it and what was asked for. The digest keeps no secret,
since the position is none; it tells a cursor that was cut, edited or taken to another query from a
good one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TypeVar

import msgspec

T = TypeVar("T")

_DIGEST = 8
_numbers = msgspec.json.Decoder(tuple[float | int, ...])
_text = msgspec.json.Decoder(str)


class BadCursor(ValueError):  # noqa: N818 - what is said, not what failed
    """Say that a cursor was not given out for this query."""


def write(position: tuple[float | int, ...], query: object) -> str:
    """Write a cursor for a position in the answer to `query`, which is any plain data.

    >>> read(write((20,), ["list", "acme"]), ["list", "acme"])
    (20,)
    """
    return _write(msgspec.json.encode(position), query)


def write_text(position: str, query: object) -> str:
    """Write a cursor for a list in the order of texts.

    >>> read_text(write_text("b", "names"), "names")
    'b'
    """
    return _write(msgspec.json.encode(position), query)


def read(cursor: str, query: object) -> tuple[float | int, ...]:
    """Read the position out of a cursor.

    Raises:
        BadCursor: it was not given out for this query.
    """
    return _decoded(cursor, query, _numbers)


def read_text(cursor: str, query: object) -> str:
    """Read the position out of a cursor of a list in the order of texts.

    Raises:
        BadCursor: it was not given out for this query.
    """
    return _decoded(cursor, query, _text)


def _write(packed: bytes, query: object) -> str:
    return base64.urlsafe_b64encode(_digest(packed, query) + packed).rstrip(b"=").decode()


def _decoded(cursor: str, query: object, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as exc:
        raise BadCursor("the cursor is not one that a list gave out") from exc
    packed = raw[_DIGEST:]
    if raw[:_DIGEST] != _digest(packed, query):
        raise BadCursor("the cursor was not given out for this query")
    try:
        return decoder.decode(packed)
    except msgspec.DecodeError as exc:
        raise BadCursor("the cursor was not given out for this query") from exc


def _digest(packed: bytes, query: object) -> bytes:
    key = hashlib.blake2b(msgspec.json.encode(query), digest_size=32).digest()
    return hashlib.blake2b(packed, digest_size=_DIGEST, key=key).digest()
