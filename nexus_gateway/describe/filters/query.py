"""`query`: the query string, as a struct or one value at a time, checked by the core."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, get_origin, overload

import msgspec

from nexus_gateway import plan
from nexus_gateway.describe.filter import Filter
from nexus_gateway.describe.node import Conversion, Default, Native, Record, Slot
from nexus_gateway.describe.scalar import Parameter, parameter

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")


@overload
def query(kind: TypeForm[T], /) -> Filter[T]: ...
@overload
def query(name: str, kind: TypeForm[T], /) -> Filter[T]: ...
@overload
def query(name: str, kind: TypeForm[T], /, *, default: T) -> Filter[T]: ...
def query(*what: object, default: object = msgspec.UNSET) -> object:
    """Extract the query string: `query(Page)`, a struct, or `query("limit", int, default=20)`.

    A struct's fields are scalars, or lists of scalars, which may be given more than once. Fields
    with a default may be absent; parameters that the struct does not name are ignored. One value
    may be a list as well. What is missing or wrong is refused with 400, naming the parameter.

    Raises:
        TypeError: the core cannot check a type; the message names the parameter.
    """
    if len(what) == 1:
        return _record(what[0])
    name, kind = what
    return _value(str(name), kind, default)


def _record(kind: object) -> Filter[object]:
    origin = get_origin(kind) or kind
    if not (isinstance(origin, type) and issubclass(origin, msgspec.Struct)):
        raise TypeError(f"query({kind!r}): take a Struct, or name the value: query('limit', int)")
    fields: list[plan.Field] = []
    conversions: list[Conversion | None] = []
    infos = msgspec.structs.fields(origin)
    for info in infos:
        found = parameter("query", info.encode_name, info.type, many=True)
        conversions.append(found.conversion)
        fields.append(_field(info.encode_name, found, required=info.required))
    record = Record(origin, tuple(info.name for info in infos), tuple(conversions))
    return Filter(Native(plan.Query(fields=tuple(fields)), kind, record), (Slot(None, kind),))


def _value(name: str, kind: object, default: object) -> Filter[object]:
    found = parameter("query", name, kind, many=True)
    given = default is not msgspec.UNSET
    required = not (given or found.nullable)
    step = plan.QueryValue(field=_field(name, found, required=required))
    conversion = (
        found.conversion if required else Default(default if given else None, found.conversion)
    )
    label = name.replace("-", "_")
    return Filter(Native(step, kind, conversion), (Slot(label, kind),))


def _field(name: str, found: Parameter, *, required: bool) -> plan.Field:
    return plan.Field(name=name, kind=found.kind, required=required, many=found.many)
