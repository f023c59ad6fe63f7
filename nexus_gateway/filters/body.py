"""`body`: the request's body.

The core reads it whole, within its limit and after every other filter has passed; JSON is decoded
and checked by msgspec, before the handler is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from nexus_gateway import plan
from nexus_gateway.filter import Filter
from nexus_gateway.node import Json, Native, Slot, Text

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")


def body(kind: TypeForm[T], *, max_bytes: int | None = None) -> Filter[T]:
    """Extract a JSON body as `kind`: a Struct, a list of them, a dict, whatever msgspec decodes.

    What is not JSON is refused with 400, what does not fit `kind` with 422 listing each wrong
    field, more than `max_bytes` with 413, another content type with 415. `body(A) | body(B)` is the
    first of the two that fits.
    """
    return Filter(_step("json", max_bytes, kind, Json((kind,))), (Slot(None, kind),))


def body_bytes(*, max_bytes: int | None = None) -> Filter[bytes]:
    """Extract a body of any content type as it is."""
    return Filter(_step("bytes", max_bytes, bytes, None), (Slot(None, bytes),))


def body_text(*, max_bytes: int | None = None) -> Filter[str]:
    """Extract a `text/*` body; it must be UTF-8."""
    return Filter(_step("text", max_bytes, str, Text()), (Slot(None, str),))


def _step(
    content: plan.Content, max_bytes: int | None, kind: object, conversion: Json | Text | None
) -> Native:
    if max_bytes is not None and max_bytes < 0:
        raise ValueError(f"max_bytes must not be negative, found {max_bytes}")
    return Native(plan.Body(content=content, max_bytes=max_bytes), kind, conversion)
