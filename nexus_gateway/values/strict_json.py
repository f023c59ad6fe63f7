"""The JSON that every entry point accepts: the core's definition, for what is decoded in Python.

msgspec reads more than the core: deeper nesting, integers of any size, and within `msgspec.Raw`
whatever has the form of JSON. What is checked here first can be stored, published and read back by
every decoder. `core/src/json.rs` documents the rules, `tests/json_cases.json` holds the cases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from nexus_gateway import _core
from nexus_gateway.values.finite import check_finite

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def check(text: bytes) -> None:
    """Refuse what is not one value of JSON as every entry point accepts it.

    Raises:
        msgspec.DecodeError: what is wrong, and at which byte.
    """
    fault = _core.json_fault(text)
    if fault is not None:
        raise msgspec.DecodeError(fault)


def decoder(kind: type[T]) -> Callable[[bytes], T]:
    """Make a function that checks JSON and decodes it.

    What it returns raises `msgspec.DecodeError` and, where JSON does not fit the type,
    `msgspec.ValidationError`.
    """
    decode = msgspec.json.Decoder(kind).decode

    def checked(text: bytes) -> T:
        check(text)
        return decode(text)

    return checked


def encode(value: object) -> bytes:
    """Write JSON as msgspec does, and refuse what msgspec writes as `null`: NaN and infinities.

    Raises:
        ValueError: a number that is not finite, or text with half of a surrogate pair.
        TypeError: a type that has no form in JSON.
    """
    written = msgspec.json.encode(value)
    if b"null" in written:
        check_finite(value)
    return written
