"""Python types as scalars of the plan: what the core checks text for, and what Python makes of it.

A type that the core cannot check whole is refused while it is described, so that no request finds
out: `int` with `multiple_of`, a naive `datetime`, a pattern with look-around.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import msgspec
from msgspec import inspect

from nexus_gateway import plan
from nexus_gateway.describe.node import Conversion, Each, Member, Parse

Location: TypeAlias = Literal["path", "query", "header"]

# The core's regular expressions run in linear time, so they have neither.
_UNREADABLE = re.compile(r"\(\?<?[=!]|\\[1-9]|\(\?P[=>]|\(\?[(>]")


class Parameter(msgspec.Struct, frozen=True):
    """A named value of a path, query or header: its plan, and what Python makes of it."""

    kind: plan.Scalar
    conversion: Conversion | None
    many: bool = False
    nullable: bool = False


def parameter(location: Location, name: str, kind: object, *, many: bool = False) -> Parameter:
    """Read `kind`, a scalar or, where `many` allows it, a list of them.

    Raises:
        TypeError: the core cannot check `kind`; the message names the parameter.
    """
    where = f"{location} parameter {name!r}"
    info, nullable = _without_none(_inspect(kind, where))
    if many and isinstance(info, inspect.ListType | inspect.VarTupleType):
        return _list(location, name, kind, info)
    conversion = _conversion(info, location, name)
    return Parameter(_scalar(info, kind, where), conversion, nullable=nullable)


def _list(
    location: Location, name: str, kind: object, info: inspect.ListType | inspect.VarTupleType
) -> Parameter:
    where = f"{location} parameter {name!r}"
    if info.min_length is not None or info.max_length is not None:
        raise TypeError(f"{where}: the core cannot check the length of {_name(kind)}")
    if not isinstance(info, inspect.ListType):
        raise TypeError(f"{where}: repeated values are a list, not {_name(kind)}")
    item = _conversion(info.item_type, location, name)
    scalar = _scalar(info.item_type, kind, where)
    return Parameter(scalar, Each(item) if item is not None else None, many=True)


def _inspect(kind: object, where: str) -> inspect.Type:
    try:
        return inspect.type_info(kind)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{where}: {error}") from error


def _without_none(info: inspect.Type) -> tuple[inspect.Type, bool]:
    if isinstance(info, inspect.Metadata):
        return _without_none(info.type)
    if isinstance(info, inspect.UnionType) and info.includes_none:
        rest = [member for member in info.types if not isinstance(member, inspect.NoneType)]
        return (rest[0] if len(rest) == 1 else info), True
    return info, False


def _scalar(info: inspect.Type, kind: object, where: str) -> plan.Scalar:  # noqa: PLR0911  # one for each type
    match info:
        case inspect.Metadata():
            return _scalar(info.type, kind, where)
        case inspect.IntType():
            return _int(info, where)
        case inspect.FloatType():
            return _float(info, where)
        case inspect.StrType():
            return _str(info, where)
        case inspect.BoolType():
            return plan.Bool()
        case inspect.LiteralType() | inspect.EnumType():
            return plan.Choice(values=tuple(word for word, _ in _words(info)))
        case inspect.UUIDType():
            return plan.Uuid()
        case inspect.DateTimeType(tz=None) | inspect.DateTimeType(tz=True):
            return plan.Datetime()
        case inspect.DateType():
            return plan.Date()
        case _:
            raise TypeError(
                f"{where}: the core cannot check {_name(kind)}; take int, float, bool, str,"
                " Literal, an Enum, UUID, datetime or date, and .map() it to what you need"
            )


def _int(info: inspect.IntType, where: str) -> plan.Int:
    _refuse_multiple(info.multiple_of, where)
    ge = info.ge if info.gt is None else info.gt + 1
    le = info.le if info.lt is None else info.lt - 1
    return plan.Int(ge=ge, le=le)


def _float(info: inspect.FloatType, where: str) -> plan.Float:
    _refuse_multiple(info.multiple_of, where)
    ge, le, gt, lt = (
        None if bound is None else float(bound) for bound in (info.ge, info.le, info.gt, info.lt)
    )
    return plan.Float(ge=ge, le=le, gt=gt, lt=lt)


def _refuse_multiple(multiple_of: float | None, where: str) -> None:
    if multiple_of is not None:
        raise TypeError(f"{where}: the core cannot check multiple_of")


def _str(info: inspect.StrType, where: str) -> plan.Str:
    if info.pattern is not None and _UNREADABLE.search(info.pattern):
        raise TypeError(
            f"{where}: the pattern {info.pattern!r} has look-around or a back-reference,"
            " which the core's regular expressions do not have"
        )
    return plan.Str(min_length=info.min_length, max_length=info.max_length, pattern=info.pattern)


def _words(info: inspect.LiteralType | inspect.EnumType) -> tuple[tuple[str, object], ...]:
    if isinstance(info, inspect.LiteralType):
        return tuple((str(value), value) for value in info.values)
    return tuple((str(member.value), member) for member in info.cls)


def _conversion(info: inspect.Type, location: Location, name: str) -> Conversion | None:
    match info:
        case inspect.Metadata():
            return _conversion(info.type, location, name)
        case inspect.LiteralType() | inspect.EnumType():
            words = _words(info)
            plain = all(type(value) is str for _, value in words)
            return None if plain else Member(words)
        case inspect.UUIDType() | inspect.DateTimeType() | inspect.DateType():
            return Parse(_python_type(info), location, name)
        case _:
            return None


def _python_type(info: inspect.Type) -> type:
    # Imported here: whoever asks for such a type has imported these already.
    import datetime as dt
    import uuid

    if isinstance(info, inspect.UUIDType):
        return uuid.UUID
    return dt.datetime if isinstance(info, inspect.DateTimeType) else dt.date


def _name(kind: object) -> str:
    return getattr(kind, "__name__", None) or str(kind)
