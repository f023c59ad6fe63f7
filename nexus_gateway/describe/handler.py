"""Handlers as the check at start sees them: their name, their place, and what they take.

`check` compares a handler with what its filters extract. It errs on the side of silence: only what
is surely wrong is an error; an annotation that cannot be evaluated is left to the type checkers.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Sequence
from typing import (
    Annotated,
    Any,
    Literal,
    TypeAlias,
    Union,
    cast,
    get_args,
    get_origin,
    is_typeddict,
)

if typing.TYPE_CHECKING:
    from nexus_gateway.describe.node import Slot

Handler: TypeAlias = Callable[..., object]
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def name_of(handler: Handler) -> str:
    """Name a handler for people: `Service.show`, without the function that it was written in."""
    function = _unwrap(handler)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return str(name).rpartition("<locals>.")[2]


def place_of(handler: Handler) -> str:
    """Say where a handler is written: `file:line`, or its module where there is no source."""
    function = _function(handler)
    if function is None:
        return str(getattr(handler, "__module__", "unknown"))
    return f"{function.__code__.co_filename}:{function.__code__.co_firstlineno}"


def origin_of(handler: Handler) -> str:
    """Say which handler, for the log: `module.name() (file:line)`."""
    module = getattr(_function(handler) or handler, "__module__", None) or "unknown"
    return f"{module}.{name_of(handler)}() ({place_of(handler)})"


def summary_of(handler: Handler) -> tuple[str, str]:
    """Read a handler's docstring: its first line, and the rest."""
    lines = (inspect.getdoc(_unwrap(handler)) or "").split("\n", 1)
    return lines[0].strip().rstrip("."), lines[1].strip() if len(lines) > 1 else ""


def returns_of(handler: Handler) -> object:
    """Evaluate what a handler returns; `inspect.Signature.empty` where it cannot be known."""
    return _evaluate(inspect.signature(handler).return_annotation, _function(handler))


def annotated_return(function: object) -> object:
    """Evaluate the return annotation of the outermost function; `empty` where it is not known."""
    while isinstance(function, functools.partial):
        function = cast("object", function.func)
    if isinstance(function, types.MethodType):
        function = function.__func__
    if not isinstance(function, types.FunctionType):
        function = getattr(type(function), "__call__", None)  # noqa: B004  # not whether, but which
    if not isinstance(function, types.FunctionType):
        return inspect.Parameter.empty
    annotation: object = function.__annotations__.get("return", inspect.Parameter.empty)
    return _evaluate(annotation, function)


def check(handler: Handler, slots: Sequence[Slot], *, by_name: bool = True) -> None:
    """Compare a handler with what its filters extract.

    Args:
        handler: called with a value for each slot.
        slots: what the filters extract.
        by_name: whether its parameters must be named like the slots.

    Raises:
        TypeError: the count, a name or an annotation differs; the message names both sides.
    """
    where = f"{place_of(handler)}: {name_of(handler)}()"
    try:
        parameters = list(inspect.signature(handler).parameters.values())
    except ValueError:
        # Written in C, without a signature.
        return
    _check_count(where, parameters, slots)
    taken = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
    names = {parameter.name for parameter in taken}
    for slot, parameter in zip(slots, taken, strict=False):
        if by_name:
            _check_name(where, slot, parameter, names)
        wanted = _evaluate(parameter.annotation, _function(handler))
        if not fits(slot.type, wanted):
            raise TypeError(
                f"{where}: {parameter.name!r} is {_spell(wanted)}, "
                f"its filter extracts {_spell(slot.type)}"
            )


def _check_count(
    where: str, parameters: Sequence[inspect.Parameter], slots: Sequence[Slot]
) -> None:
    needed = [p for p in parameters if p.kind in _POSITIONAL and p.default is p.empty]
    most = sum(p.kind in _POSITIONAL for p in parameters)
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        most = max(most, len(slots))
    for p in parameters:
        if p.kind is p.KEYWORD_ONLY and p.default is p.empty:
            raise TypeError(f"{where} takes {p.name!r} by keyword, filters give values by position")
    if not len(needed) <= len(slots) <= most:
        names = ", ".join(slot.label or _spell(slot.type) for slot in slots) or "none"
        raise TypeError(
            f"{where} takes {len(needed)} values, its filters extract {len(slots)}: {names}"
        )


def _check_name(where: str, slot: Slot, parameter: inspect.Parameter, names: set[str]) -> None:
    if slot.label is None or slot.label == parameter.name:
        return
    if slot.exact or slot.label in names:
        raise TypeError(
            f"{where}: the filters extract {slot.label!r} "
            f"where the handler takes {parameter.name!r}"
        )


def fits(given: object, wanted: object) -> bool:  # noqa: PLR0911  # one line for each form of a type
    """Say whether a value of type `given` may be passed for `wanted`; True where nobody can say."""
    if wanted is inspect.Parameter.empty or given == wanted:
        return True
    if any(kind is object or kind is Any for kind in (given, wanted)):
        return True
    if get_origin(given) is Annotated or get_origin(wanted) is Annotated:
        return fits(_bare(given), _bare(wanted))
    if _is_union(given):
        return all(fits(member, wanted) for member in get_args(given))
    if _is_union(wanted):
        return any(fits(given, member) for member in get_args(wanted))
    if isinstance(wanted, typing.NewType):
        return isinstance(given, typing.NewType) and fits(given.__supertype__, wanted)
    if isinstance(given, typing.NewType):
        return fits(given.__supertype__, wanted)
    if get_origin(given) is Literal and get_origin(wanted) is not Literal:
        values: tuple[object, ...] = get_args(given)
        return all(fits(type(value), wanted) for value in values)
    return _class_fits(given, wanted)


def _class_fits(given: object, wanted: object) -> bool:
    left, right = get_origin(given) or given, get_origin(wanted) or wanted
    if left is None or right is None:
        return left in (None, types.NoneType) and right in (None, types.NoneType)
    if not isinstance(left, type) or not isinstance(right, type) or _is_protocol(right):
        return True
    if is_typeddict(right):
        return _mapping_fits(left, right)
    if left is not right:
        return _is_subclass(left, right) or (left, right) in _PROMOTED
    pairs = zip(get_args(given), get_args(wanted), strict=False)
    return all(fits(one, other) for one, other in pairs)


_PROMOTED = ((int, float), (int, complex), (float, complex))


def _is_subclass(kind: type, base: type) -> bool:
    try:
        return issubclass(kind, base)
    except TypeError:  # a class that cannot be asked
        return True


def _mapping_fits(given: type, wanted: type) -> bool:
    """Compare with a TypedDict by its keys; it is a plain dict when the program runs."""
    if not is_typeddict(given):
        return issubclass(given, dict)
    nothing: frozenset[str] = frozenset()
    required: frozenset[str] = getattr(wanted, "__required_keys__", nothing)
    known: frozenset[str] = getattr(given, "__required_keys__", nothing)
    if not required <= known:
        return False
    try:
        ours, theirs = typing.get_type_hints(given), typing.get_type_hints(wanted)
    except Exception:  # noqa: BLE001  # a name that is not known here
        return True
    return all(fits(ours[key], theirs[key]) for key in ours.keys() & theirs.keys())


def _is_union(kind: object) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _is_protocol(kind: type) -> bool:
    return bool(getattr(kind, "_is_protocol", False))


def _bare(kind: object) -> object:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _spell(kind: object) -> str:
    return kind.__qualname__ if isinstance(kind, type) and not get_args(kind) else str(kind)


def _evaluate(annotation: object, function: types.FunctionType | None) -> object:
    """Evaluate a postponed annotation where its function was written; `empty` where unknown."""
    if not isinstance(annotation, str) or function is None:
        return annotation if not isinstance(annotation, str) else inspect.Parameter.empty
    try:
        names = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
        return eval(annotation, names)  # noqa: S307  # the program's own annotation, as `inspect` does
    except Exception:  # noqa: BLE001  # under TYPE_CHECKING, or local to a function: not known here
        return inspect.Parameter.empty


def _unwrap(handler: Handler) -> object:
    """Take off `blocking` and `functools.partial`."""
    inner: object = inspect.unwrap(handler)
    while isinstance(inner, functools.partial):
        inner = inspect.unwrap(inner.func)
    return inner


def _function(handler: Handler) -> types.FunctionType | None:
    inner = _unwrap(handler)
    if isinstance(inner, types.MethodType):
        inner = inner.__func__
    if not isinstance(inner, types.FunctionType):
        inner = getattr(type(inner), "__call__", None)  # noqa: B004  # not whether, but which
    return inner if isinstance(inner, types.FunctionType) else None
