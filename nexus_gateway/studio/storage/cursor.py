"""Cursors: where a list goes on, as text that only its own query takes back.

A cursor is a position and a digest over it and what was asked for. The digest keeps no secret,
since the position is none; it tells a cursor that was cut, edited or taken to another query from a
good one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

import msgspec

_DIGEST = 8


class BadCursor(ValueError):  # noqa: N818 - what is said, not what failed
    """Say that a cursor was not given out for this query."""


def write(position: tuple[float | int, ...], query: object) -> str:
    """Write a cursor for a position in the answer to `query`, which is any plain data.

    >>> read(write((20,), ["list", "acme"]), ["list", "acme"])
    (20,)
    """
    packed = msgspec.json.encode(position)
    return base64.urlsafe_b64encode(_digest(packed, query) + packed).rstrip(b"=").decode()


def read(cursor: str, query: object) -> tuple[float | int, ...]:
    """Read the position out of a cursor.

    Raises:
        BadCursor: it was not given out for this query.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as exc:
        raise BadCursor("the cursor is not one that a list gave out") from exc
    packed = raw[_DIGEST:]
    if raw[:_DIGEST] != _digest(packed, query):
        raise BadCursor("the cursor was not given out for this query")
    return msgspec.json.decode(packed, type=tuple[float | int, ...])


def _digest(packed: bytes, query: object) -> bytes:
    key = hashlib.blake2b(msgspec.json.encode(query), digest_size=32).digest()
    return hashlib.blake2b(packed, digest_size=_DIGEST, key=key).digest()
