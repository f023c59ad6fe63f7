"""Types as JSON schemas (2020-12): collected first and written once, so that each is named once.

Objects and enums become components under short names: `Entity`, `Page_Entity` for `Page[Entity]`.
Types of one name from several modules are told apart by the parts of their modules that differ:
`KnowledgeGraphCount` and `IntelligenceCount`. No name depends on the order of the routes.
"""

from __future__ import annotations

import inspect as python
import re
import types
from collections import defaultdict
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeAlias, Union, cast, get_args, get_origin

import msgspec
from msgspec import inspect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

Schema: TypeAlias = dict[str, object]
_REFERENCE = "#/components/schemas/{name}"
_Object: TypeAlias = (
    inspect.StructType | inspect.TypedDictType | inspect.DataclassType | inspect.NamedTupleType
)
_Named: TypeAlias = _Object | inspect.EnumType
_GENERIC = frozenset({"models", "routes", "service", "schema", "schemas", "types"})


class WithExtra(Protocol):
    """A struct whose fields depend on each other, which their types cannot say.

    `json_schema_extra` is merged into the schema of the struct.
    """

    json_schema_extra: ClassVar[dict[str, object]]


class Schemas:
    """The schemas of all the types that a document names, and the components they refer to."""

    def __init__(self, kinds: Sequence[object], *, taken: Iterable[str] = ()) -> None:
        """Write the schema of each type; one that JSON schema cannot say becomes `{}`, anything.

        Args:
            kinds: the types.
            taken: names of components that the document uses for something else.
        """
        read = [(kind, info) for kind in _distinct(kinds) if (info := _info(kind)) is not None]
        found: dict[object, _Named] = {}
        for _, info in read:
            _collect(info, found)
        self._writer = _Writer(_names(found, frozenset(taken)))
        self._written = [(kind, self._writer.write(info)) for kind, info in read]
        components = {
            self._writer.names[kind]: self._writer.component(info) for kind, info in found.items()
        }
        self.components: Schema = {name: components[name] for name in sorted(components)}

    def of(self, kind: object) -> Schema:
        """Give the schema of a type."""
        for known, schema in self._written:
            if known == kind:
                return dict(schema)
        return {}


def without_none(kind: object) -> tuple[object, bool]:
    """Strip `None` from a union; whether it was there."""
    if get_origin(kind) not in (Union, types.UnionType):
        return kind, False
    members = [member for member in get_args(kind) if member is not types.NoneType]
    if len(members) == len(get_args(kind)):
        return kind, False
    rest: object = members[0]
    for member in members[1:]:
        rest = Union[rest, member]  # noqa: UP007  # of values, not of types that are written here
    return rest, True


def either(first: str, second: str) -> Schema:
    """Write for `json_schema_extra` that one of two fields is given, and not both.

    >>> sorted(either("subject", "connection"))
    ['else', 'if', 'then']
    """

    def given(name: str) -> Schema:
        return {"required": [name], "properties": {name: {"not": {"type": "null"}}}}

    # Not `oneOf` at the top, which generators of clients take for a union of types.
    return {
        "if": given(first),
        "then": {"properties": {second: {"type": "null"}}},
        "else": given(second),
    }


def not_both(first: str, second: str) -> Schema:
    """Write for `json_schema_extra` that only one of two fields may be given."""
    given: Schema = {"required": [first], "properties": {first: {"not": {"type": "null"}}}}
    return {"if": given, "then": {"properties": {second: {"type": "null"}}}}


def one_reach(one: str, everything: str) -> Schema:
    """Write for `json_schema_extra` that a name excludes the flag that means all of them."""
    both = {one: {"type": "string"}, everything: {"const": True}}
    return {"not": {"required": [one, everything], "properties": both}}


def at_least(first: str, second: str) -> Schema:
    """Write for `json_schema_extra` that one of two fields, or both, are given."""
    given: Schema = {"required": [first], "properties": {first: {"not": {"type": "null"}}}}
    return {"if": given, "else": {"required": [second]}}


def not_empty(first: str, second: str) -> Schema:
    """Write for `json_schema_extra` that one of two lists, or both, have an item."""

    def with_item(name: str) -> Schema:
        return {"required": [name], "properties": {name: {"type": "array", "minItems": 1}}}

    return {"if": with_item(first), "else": with_item(second)}


def _distinct(kinds: Sequence[object]) -> list[object]:
    # By equality, not by hash: `Annotated` with unhashable metadata is a type too.
    found: list[object] = []
    for kind in kinds:
        if kind not in found:
            found.append(kind)
    return found


def _info(kind: object) -> inspect.Type | None:
    try:
        return inspect.type_info(kind)
    except (TypeError, NameError, ValueError):
        # Structs without tags are no union that could be decoded, but one that can be answered.
        if get_origin(kind) in (Union, types.UnionType):
            members = [_info(member) for member in get_args(kind)]
            return inspect.UnionType(tuple(one for one in members if one is not None))
        return None


# --- names ---


def _collect(info: inspect.Type, found: dict[object, _Named]) -> None:
    """Find the types that become components."""
    match info:
        case inspect.EnumType():
            found.setdefault(info.cls, info)
        case (
            inspect.StructType()
            | inspect.TypedDictType()
            | inspect.DataclassType()
            | inspect.NamedTupleType()
        ):
            if info.cls not in found:
                found[info.cls] = info
                for field in info.fields:
                    _collect(field.type, found)
        case _:
            for inner in _inner(info):
                _collect(inner, found)


def _inner(info: inspect.Type) -> Sequence[inspect.Type]:
    match info:
        case inspect.Metadata():
            return (info.type,)
        case inspect.CollectionType():
            return (info.item_type,)
        case inspect.TupleType():
            return info.item_types
        case inspect.DictType() | inspect.FrozenDictType():
            return (info.key_type, info.value_type)
        case inspect.UnionType():
            return info.types
        case _:
            return ()


def _names(found: Iterable[object], taken: frozenset[str]) -> dict[object, str]:
    """Name each type; those of one short name by what their modules do not have in common."""
    groups: defaultdict[str, list[object]] = defaultdict(list)
    for kind in found:
        groups[_short(kind)].append(kind)
    names: dict[object, str] = {}
    used = set(taken) | {short for short, kinds in groups.items() if len(kinds) == 1}
    for short in sorted(groups):
        kinds = groups[short]
        if len(kinds) == 1 and short not in taken:
            names[kinds[0]] = short
            continue
        # Sorted by where they come from, so that the order of the routes makes no difference.
        for kind, wanted in sorted(_apart(short, kinds), key=lambda pair: (pair[1], _key(pair[0]))):
            name, number = wanted, 2
            while name in used:
                name, number = f"{wanted}{number}", number + 1
            used.add(name)
            names[kind] = name
    return names


def _short(kind: object) -> str:
    """Spell a type's name as a key of components: letters, digits and `_`."""
    arguments = get_args(kind)
    name = getattr(get_origin(kind) or kind, "__name__", None) or str(kind)
    spelt = "_".join([name, *(_short(argument) for argument in arguments)])
    return re.sub(r"[^A-Za-z0-9]+", "_", spelt).strip("_") or "Type"


def _key(kind: object) -> str:
    """Tell a type from all others of its name."""
    origin = get_origin(kind) or kind
    where = (getattr(origin, part, "") for part in ("__module__", "__qualname__"))
    return ".".join((*where, *map(_key, get_args(kind))))


def _apart(short: str, kinds: Sequence[object]) -> Iterator[tuple[object, str]]:
    """Put before the name what is needed of the modules: `studio.graph.models` gives `Graph`."""
    modules = [re.split(r"\W+", _key(kind))[:-1] for kind in kinds]
    common = set(modules[0]).intersection(*modules[1:])
    own = [[part for part in parts if part not in common] for parts in modules]
    # Names of files that every package has say nothing, where there is anything else.
    own = [[part for part in parts if part not in _GENERIC] or parts for parts in own]
    for kind, parts in zip(kinds, own, strict=True):
        length = 1
        while length < len(parts) and sum(one[-length:] == parts[-length:] for one in own) > 1:
            length += 1
        prefix = "".join(
            word[:1].upper() + word[1:]
            for part in parts[-length:]
            for word in part.split("_")
            if word not in ("locals", "")
        )
        yield kind, f"{prefix}{short}"


# --- schemas ---


class _Writer:
    def __init__(self, names: Mapping[object, str]) -> None:
        self.names = names

    def write(self, info: inspect.Type) -> Schema:
        """Write a type, as a reference where it is a component."""
        if isinstance(info, inspect.Metadata):
            extra = cast("Schema", info.extra_json_schema or {})  # pyright: ignore[reportUnknownMemberType]
            return self.write(info.type) | extra
        if isinstance(info, _NAMED):
            return {"$ref": _REFERENCE.format(name=self.names[info.cls])}
        return self.inline(info)

    def inline(self, info: inspect.Type) -> Schema:  # noqa: PLR0911  # one for each kind
        match info:
            case inspect.NoneType():
                return {"type": "null"}
            case inspect.BoolType():
                return {"type": "boolean"}
            case inspect.IntType() | inspect.FloatType():
                return _number(info)
            case inspect.StrType():
                return {"type": "string", **_bounds(info, "Length"), **_pattern(info.pattern)}
            case inspect.LiteralType(values=values):
                return _enum(values)
            case inspect.CollectionType():
                return self.collection(info)
            case inspect.TupleType(item_types=items):
                size = len(items)
                written: Schema = {"type": "array", "minItems": size, "maxItems": size}
                rest: Schema = {"prefixItems": [self.write(one) for one in items], "items": False}
                return written | rest if items else written
            case inspect.DictType() | inspect.FrozenDictType():
                return self.mapping(info)
            case inspect.UnionType():
                return self.union(info)
            case _:
                return _text(info)

    def collection(self, info: inspect.CollectionType) -> Schema:
        unique = isinstance(info, inspect.SetType | inspect.FrozenSetType)
        return {
            "type": "array",
            "items": self.write(info.item_type),
            **_bounds(info, "Items"),
            **({"uniqueItems": True} if unique else {}),
        }

    def mapping(self, info: inspect.DictType | inspect.FrozenDictType) -> Schema:
        names = self.write(info.key_type)
        if names.get("type") in ("integer", "number"):
            # Keys are text: `{1: "a"}` is written `{"1": "a"}`.
            whole = names["type"] == "integer"
            names = {"pattern": "^-?[0-9]+$" if whole else "^-?[0-9.eE+-]+$"}
        elif names.get("type") == "string":
            names = {key: value for key, value in names.items() if key != "type"}
        return {
            "type": "object",
            **({"propertyNames": names} if names else {}),
            "additionalProperties": self.write(info.value_type),
            **_bounds(info, "Properties"),
        }

    def union(self, info: inspect.UnionType) -> Schema:
        """Write structs that a tag tells apart with their discriminator, `null` last."""
        plain = [_bare(one) for one in info.types]
        structs = [one for one in plain if isinstance(one, inspect.StructType)]
        tagged = [one for one in structs if one.tag_field is not None and not one.array_like]
        chosen: list[Schema] = []
        if len(tagged) > 1:
            references = [self.write(one) for one in tagged]
            mapping = {
                str(one.tag): reference["$ref"]
                for one, reference in zip(tagged, references, strict=True)
            }
            name = tagged[0].tag_field
            discriminator: Schema = {"propertyName": name, "mapping": mapping}
            chosen.append({"oneOf": references, "discriminator": discriminator})
        others = [
            self.write(one)
            for one, bare in zip(info.types, plain, strict=True)
            if not isinstance(bare, inspect.NoneType)
            and not (len(tagged) > 1 and any(bare is each for each in tagged))
        ]
        nothing: list[Schema] = [{"type": "null"}] if info.includes_none else []
        members = [*others, *chosen, *nothing]
        return members[0] if len(members) == 1 else {"anyOf": members}

    def component(self, info: _Named) -> Schema:
        """Write what stands under a type's name."""
        described: Schema = {"title": self.names[info.cls]}
        if text := _doc(info):
            described["description"] = text
        if isinstance(info, inspect.EnumType):
            return described | _enum([member.value for member in info.cls])
        properties = self.properties(info)
        required = [field.encode_name for field in info.fields if field.required]
        if isinstance(info, inspect.NamedTupleType) or (
            isinstance(info, inspect.StructType) and info.array_like
        ):
            return described | _row(info, list(properties.values()), len(required))
        if isinstance(info, inspect.StructType) and info.tag_field is not None:
            required.insert(0, info.tag_field)
        written: Schema = {"type": "object", "properties": properties}
        if required:
            written["required"] = required
        if isinstance(info, inspect.StructType) and info.forbid_unknown_fields:
            written["additionalProperties"] = False
        return described | written | _extra(info.cls)

    def properties(self, info: _Object) -> dict[str, Schema]:
        properties: dict[str, Schema] = {}
        if isinstance(info, inspect.StructType) and info.tag_field is not None:
            properties[info.tag_field] = _enum((info.tag,))
        for field in info.fields:
            properties[field.encode_name] = self.write(field.type) | _default(field)
        return properties


_NAMED = (
    inspect.StructType,
    inspect.TypedDictType,
    inspect.DataclassType,
    inspect.NamedTupleType,
    inspect.EnumType,
)


def _bare(info: inspect.Type) -> inspect.Type:
    while isinstance(info, inspect.Metadata):
        info = info.type
    return info


def _text(info: inspect.Type) -> Schema:  # noqa: PLR0911  # one for each kind
    """Write what JSON has as text, such as times and identifiers; `{}` for what it has not."""
    match info:
        case inspect.BytesType() | inspect.ByteArrayType() | inspect.MemoryViewType():
            sizes = (("minLength", info.min_length), ("maxLength", info.max_length))
            bounds = {key: 4 * ((size + 2) // 3) for key, size in sizes if size is not None}
            return {"type": "string", "contentEncoding": "base64", **bounds}
        case inspect.DateTimeType(tz=zone):
            return {"type": "string", "format": "date-time-local" if zone is False else "date-time"}
        case inspect.TimeType(tz=zone):
            return {"type": "string", "format": "time" if zone else "time-local"}
        case inspect.DateType():
            return {"type": "string", "format": "date"}
        case inspect.TimeDeltaType():
            return {"type": "string", "format": "duration"}
        case inspect.UUIDType():
            return {"type": "string", "format": "uuid"}
        case inspect.DecimalType():
            return {"type": "string", "format": "decimal"}
        case _:
            return {}


def _number(info: inspect.IntType | inspect.FloatType) -> Schema:
    whole = isinstance(info, inspect.IntType)
    written: Schema = {"type": "integer" if whole else "number"}
    bounds = (
        ("minimum", info.ge),
        ("exclusiveMinimum", info.gt),
        ("maximum", info.le),
        ("exclusiveMaximum", info.lt),
        ("multipleOf", info.multiple_of),
    )
    written |= {key: bound for key, bound in bounds if bound is not None}
    low, high = (
        info.ge is not None or info.gt is not None,
        info.le is not None or info.lt is not None,
    )
    if whole and not (low and high):
        written["format"] = "int64"
    return written


def _bounds(
    info: inspect.StrType | inspect.CollectionType | inspect.DictType | inspect.FrozenDictType,
    what: str,
) -> Schema:
    found = ((f"min{what}", info.min_length), (f"max{what}", info.max_length))
    return {key: bound for key, bound in found if bound is not None}


def _pattern(pattern: str | None) -> Schema:
    return {} if pattern is None else {"pattern": pattern}


_TYPES: Mapping[type[object], str] = {
    str: "string",
    int: "integer",
    bool: "boolean",
    float: "number",
    types.NoneType: "null",
}


def _enum(values: Iterable[object]) -> Schema:
    # By type too: to Python, `1` and `True` are equal.
    listed = list({(type(value), value): value for value in values}.values())
    listed.sort(key=lambda value: (type(value).__name__, _rank(value)))
    found = sorted({name for value in listed if (name := _TYPES.get(type(value)))})
    kinds: Schema = {"type": found[0] if len(found) == 1 else found} if found else {}
    return kinds | {"enum": listed}


def _rank(value: object) -> tuple[float, str]:
    return (float(value) if isinstance(value, int) else 0.0, str(value))


def _row(info: _Object, fields: Sequence[Schema], required: int) -> Schema:
    written: Schema = {"type": "array", "prefixItems": list(fields), "minItems": required}
    if isinstance(info, inspect.StructType):
        tag = 1 if info.tag_field is not None else 0
        trailing = 0
        for field in reversed(info.fields):
            if field.required:
                break
            trailing += 1
        written["minItems"] = len(info.fields) - trailing + tag
        if not info.forbid_unknown_fields:
            return written
    return written | {"maxItems": len(fields)}


def _default(field: inspect.Field) -> Schema:
    default: object = field.default
    if default is msgspec.NODEFAULT and field.default_factory in (list, dict, set, bytearray):
        default = cast("Callable[[], object]", field.default_factory)()
    return default_of(default) if _fits(_bare(field.type), default) else {}


def _fits(info: inspect.Type, default: object) -> bool:
    """Say whether a default could be sent; some mean that it is missing."""
    if isinstance(info, inspect.StrType) and isinstance(default, str):
        return len(default) >= (info.min_length or 0)
    if isinstance(info, inspect.IntType | inspect.FloatType) and isinstance(default, int | float):
        low = info.ge is None or default >= info.ge
        return low and (info.gt is None or default > info.gt)
    return True


def default_of(default: object) -> Schema:
    """Write a default; empty where there is none, or none that JSON has."""
    if default is msgspec.NODEFAULT or default is msgspec.UNSET:
        return {}
    try:
        return {"default": msgspec.json.decode(msgspec.json.encode(default))}
    except (TypeError, NotImplementedError):
        return {}


def _doc(info: _Named) -> str:
    kind = get_origin(info.cls) or info.cls
    # Not `inspect.getdoc`, which gives the text of a base class.
    text = python.cleandoc(getattr(kind, "__doc__", None) or "")
    made = text.startswith(f"{getattr(kind, '__name__', '')}(") and text.endswith(")")
    return "" if made or text == "An enumeration." else text


def _extra(kind: object) -> Schema:
    # Of the class itself: what holds of a base need not hold of what is made of it.
    origin = get_origin(kind) or kind
    extra: Mapping[str, object] = vars(origin).get("json_schema_extra", {})
    return dict(extra)
