"""`path`: literal segments, typed segments and the rest of the path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_gateway.describe.filter import Param, Path, literal
from nexus_gateway.describe.scalar import parameter

if TYPE_CHECKING:
    from typing import TypeVar

    from typing_extensions import TypeForm

    T = TypeVar("T")


def path(text: str) -> Path[()]:
    """Match literal segments, `path("api") / "entities"` or `path("api/entities")`.

    `path("")` is the root.

    Raises:
        ValueError: the text is not part of a path.
    """
    return Path(literal(text))


def param(name: str, kind: TypeForm[T]) -> Param[T]:
    """Name one segment of the path and say what it must be: `path("entities") / ID`.

    A segment that is not a `kind` is refused with 400 by the core, naming the parameter.

    Raises:
        TypeError: the core cannot check `kind`.
        ValueError: `name` is not an identifier.
    """
    _check_name(name)
    return Param(name, kind, parameter("path", name, kind))


def tail(name: str) -> Param[str]:
    """Name the rest of the path, slashes and all; it comes last and is not empty.

    Raises:
        ValueError: `name` is not an identifier.
    """
    _check_name(name)
    return Param(name, str, parameter("path", name, str), rest=True)


def _check_name(name: str) -> None:
    if not name.isidentifier():
        raise ValueError(f"a path parameter's name must be an identifier, found {name!r}")
