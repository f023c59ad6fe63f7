"""`body`: the request's body.

The core reads it whole, within its limit and after every other filter has passed; JSON is decoded
and checked by msgspec, before the handler is called.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar, cast

import msgspec
import msgspec.inspect

from nexus_gateway import plan
from nexus_gateway.describe.filter import Filter
from nexus_gateway.describe.node import Json, Media, Native, Slot, Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import TypeForm

T = TypeVar("T")

_CONTENT_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+", re.ASCII)


def body(kind: TypeForm[T], *, max_bytes: int | None = None) -> Filter[T]:
    """Extract a JSON body as `kind`: a Struct, a list of them, a dict, whatever msgspec decodes.

    What is not JSON is refused with 400, what does not fit `kind` with 422 listing each wrong
    field, more than `max_bytes` with 413, another content type with 415. `body(A) | body(B)` is the
    first of the two that fits.

    Raises:
        TypeError: JSON cannot be decoded as `kind`, such as a pydantic model.
    """
    _check_decodable(kind)
    return Filter(_step("json", max_bytes, kind, Json((kind,))), (Slot(None, kind),))


def body_bytes(
    *, max_bytes: int | None = None, content_types: Sequence[str] | Mapping[str, object] = ()
) -> Filter[bytes]:
    """Extract a body as it is, of any content type or of one that is listed; 415 otherwise.

    Args:
        max_bytes: 413 beyond; without it the gateway's.
        content_types: `["image/png"]`, or for the documentation with what they hold:
            `{"application/json": Order}`, `{"application/x-ndjson": Line}` for each line.

    Raises:
        ValueError: an entry is not a content type, or the limit is negative.
    """
    kinds = content_types if isinstance(content_types, Mapping) else dict.fromkeys(content_types)
    for name in kinds:
        if not _CONTENT_TYPE.fullmatch(name):
            message = f"a content type is two names, as in 'image/png'; found {name!r}"
            raise ValueError(f"{message}; parameters are not compared")
    step = _step("bytes", max_bytes, bytes, None)
    wanted = msgspec.structs.replace(step.step, content_types=tuple(map(str.lower, kinds)))
    media = tuple(Media(name.lower(), kind) for name, kind in kinds.items())
    native = msgspec.structs.replace(step, step=wanted, media=media)
    return Filter(native, (Slot(None, bytes),))


def body_text(*, max_bytes: int | None = None) -> Filter[str]:
    """Extract a `text/*` body; it must be UTF-8."""
    return Filter(_step("text", max_bytes, str, Text()), (Slot(None, str),))


def _step(
    content: plan.Content, max_bytes: int | None, kind: object, conversion: Json | Text | None
) -> Native:
    if max_bytes is not None and max_bytes < 0:
        raise ValueError(f"max_bytes must not be negative, found {max_bytes}")
    return Native(plan.Body(content=content, max_bytes=max_bytes), kind, conversion)


def _check_decodable(kind: object) -> None:
    """Refuse a type that no JSON body can ever be decoded as, wherever it is in `kind`."""
    unknown: dict[type, None] = {}
    seen: set[int] = set()
    try:
        pending: list[object] = [msgspec.inspect.type_info(kind)]
    except NameError:
        # A type that is named before it exists; the decoder is built at start.
        return
    except TypeError as error:
        raise TypeError(f"body({_spell(kind)}): {error}") from None
    while pending:
        one = pending.pop()
        if isinstance(one, msgspec.inspect.CustomType):
            if one.cls is not object:  # decoded as any JSON value, like `Any`
                unknown[one.cls] = None
        elif isinstance(one, msgspec.Struct):
            if id(one) not in seen:
                seen.add(id(one))
                pending.extend(getattr(one, name) for name in one.__struct_fields__)
        elif isinstance(one, list | tuple):
            pending.extend(cast("Sequence[object]", one))
    for found in unknown:
        raise TypeError(f"body({_spell(kind)}): {_remedy(found)}")


def _remedy(kind: type) -> str:
    name = kind.__qualname__
    if any(base.__module__.startswith("pydantic.") for base in kind.__mro__):
        return (
            f"{name} is a pydantic model, which is not decoded here; write its fields in a "
            f"`class {name}(msgspec.Struct)`"
        )
    return (
        f"JSON has no form for {name}; write a msgspec.Struct, a dataclass, a TypedDict or a type "
        "of these"
    )


def _spell(kind: object) -> str:
    return kind.__qualname__ if isinstance(kind, type) else str(kind)
