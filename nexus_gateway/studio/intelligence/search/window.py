"""Where a search goes on: the order of its best, kept in the cursor itself.

Ranks depend on all that there is: with each entity that comes or goes they shift. So the first page
fixes the order of the best, and its cursor carries it to the others: none is told twice and none is
left out, whatever happens meanwhile, at any replica and after a restart. Matches beyond the best
follow by age, the youngest first, which no change disturbs.

A cursor is no secret and proves nothing: numbers out of it are loaded as the caller's tenant only.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

import msgspec

from nexus_gateway.studio.intelligence.search.fusion import Ranked

_DIGEST = 8
_MOST = 512

_encode = msgspec.json.encode


class Window(msgspec.Struct, frozen=True):
    """A place in the answer to a search.

    best: in their order.
    told: how many of them are told.
    before: the rest goes on with numbers below this one.
    total: how many there are on all pages.
    """

    best: tuple[Ranked, ...]
    told: int
    before: int
    total: int


class BadWindow(ValueError):  # noqa: N818 - what is said, not what failed
    """Say that a cursor was not given out for this search."""


def write(window: Window, asked: object) -> str:
    """Write a cursor: about 8 bytes for each of the best."""
    numbers = [window.told, window.before, window.total]
    for one in window.best:
        numbers += (one.number, one.text, one.vector, one.graph, one.exact)
    packed = b"".join(map(_varint, numbers))
    return base64.urlsafe_b64encode(_digest(packed, asked) + packed).rstrip(b"=").decode()


def read(cursor: str, asked: object) -> Window:
    """Read a cursor.

    Raises:
        BadWindow: it was not given out for this search.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as exc:
        raise BadWindow("the cursor is not one that a search gave out") from exc
    packed = raw[_DIGEST:]
    if raw[:_DIGEST] != _digest(packed, asked):
        raise BadWindow("the cursor was not given out for this search")
    numbers = _numbers(packed)
    if len(numbers) % 5 != 3 or len(numbers) > 5 * _MOST:
        raise BadWindow("the cursor was not given out for this search")
    best = tuple(Ranked(*numbers[at : at + 5]) for at in range(3, len(numbers), 5))
    return Window(best, *numbers[:3])


def _numbers(packed: bytes) -> list[int]:
    numbers: list[int] = []
    value = shift = 0
    for byte in packed:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(min(value, (1 << 63) - 1))
            value = shift = 0
    return numbers


def _varint(number: int) -> bytes:
    """Write a number with seven bits a byte, the least first, as protobuf does."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def _digest(packed: bytes, asked: object) -> bytes:
    key = hashlib.blake2b(_encode(asked), digest_size=32).digest()
    return hashlib.blake2b(packed, digest_size=_DIGEST, key=key).digest()
