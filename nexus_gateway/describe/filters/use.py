"""`use` and `state`: objects of the program that handlers need, such as a store or a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from nexus_gateway.describe.filter import Filter
from nexus_gateway.describe.node import Constant, Slot, State

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")


def use(value: T) -> Filter[T]:
    """Extract the same object for every request."""
    return Filter(Constant(value), (Slot(None, object),))


def state(kind: TypeForm[T]) -> Filter[T]:
    """Extract the object that the gateway is given for `kind` at start."""
    return Filter(State(kind), (Slot(None, kind),))
