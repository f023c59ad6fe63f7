"""`header`: one request header, as text or as a scalar that the core checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

from nexus_gateway import plan
from nexus_gateway.describe.filter import Filter
from nexus_gateway.describe.node import Native, Slot
from nexus_gateway.describe.scalar import parameter

if TYPE_CHECKING:
    from typing import TypeVar

    from typing_extensions import TypeForm

    T = TypeVar("T")

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


@overload
def header(name: str) -> Filter[str]: ...
@overload
def header(name: str, kind: TypeForm[T]) -> Filter[T]: ...
def header(name: str, kind: object = str) -> object:
    """Extract a header; one that is missing or is not a `kind` is refused with 400.

    Raises:
        TypeError: the core cannot check `kind`.
        ValueError: `name` is not a field name.
    """
    lower = name.lower()
    if not lower or not _TOKEN.issuperset(lower):
        raise ValueError(f"{name!r} is not the name of a header")
    found = parameter("header", lower, kind)
    step = plan.Header(name=lower, kind=found.kind)
    label = lower.removeprefix("x-").replace("-", "_")
    return Filter[()](Native(step, kind, found.conversion), (Slot(label, kind),))
