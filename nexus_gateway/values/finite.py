"""Numbers that JSON has no form for: msgspec writes them as `null`, so they are looked for here."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable


def check_finite(value: object) -> None:
    """Refuse a value with a number in it that is NaN or infinite, wherever it is.

    Raises:
        ValueError: there is one.
    """
    pending: list[object] = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, float) and not math.isfinite(one):
            message = f"JSON has no form for the number {one}"
            raise ValueError(message)
        pending.extend(_parts(one))


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, Mapping):
        members = cast("Mapping[object, object]", value)
        return (*members.keys(), *members.values())
    if isinstance(value, list | tuple | set | frozenset):
        return cast("Iterable[object]", value)
    if isinstance(value, msgspec.Struct):
        return [getattr(value, name) for name in value.__struct_fields__]
    if dataclasses.is_dataclass(value):
        return [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    return ()
