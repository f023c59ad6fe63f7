"""Bodies: decoding JSON, and saying what is wrong with one that does not fit its type.

msgspec stops at the first wrong field. That is the fast path; once it has failed, `explain` decodes
the body to plain values and walks the type to find every field, so that all are mended at once.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from itertools import islice
from typing import Annotated, Literal, NewType, TypeGuard, Union, get_args, get_origin

import msgspec

from nexus_gateway.describe.reject import Detail, Reject
from nexus_gateway.values.field_error import FieldError, within_sentence
from nexus_gateway.values.strict_json import check

MOST_DETAILS = 100
_INT64 = 1 << 63
# What reading JSON raises when it is not JSON: `{`, a byte that is not UTF-8, 10,000 times `[`.
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decoder(kinds: Sequence[object]) -> Callable[[bytes], object]:
    """Make a function that decodes JSON as the first of the types that it fits.

    What it returns raises `Reject`: `malformed_body`, or `validation_error` with every wrong field.
    """
    decodes = [msgspec.json.Decoder(kind).decode for kind in kinds]
    first, *rest = decodes

    def decode(raw: bytes) -> object:
        try:
            check(raw)
            return first(raw)
        except msgspec.ValidationError:
            return otherwise(raw)
        except _MALFORMED as error:
            raise _malformed(error) from None

    def otherwise(raw: bytes) -> object:
        for attempt in rest:
            try:
                return attempt(raw)
            except msgspec.ValidationError:
                continue
        whole = _with_whole_numbers(raw)
        for attempt in decodes if whole != raw else ():
            try:
                return attempt(whole)
            except msgspec.ValidationError:
                continue
        raise _wrong(whole, kinds)

    return decode


def explain(value: object, kind: object) -> list[Detail]:
    """List each field of plain JSON values that is not what `kind` asks for, at most 100."""
    return list(islice(_walk(value, kind, ""), MOST_DETAILS))


def _with_whole_numbers(raw: bytes) -> bytes:
    """Write `1.0` as `1`, as JSON Schema has it: an integer is a number without a fraction.

    msgspec takes a float for no integer. Only bodies that did not fit come here.
    """
    try:
        value: object = msgspec.json.decode(raw)
        found = _whole(value)
        return raw if found is value else msgspec.json.encode(found)
    except (*_MALFORMED, msgspec.MsgspecError):
        return raw


def _whole(value: object) -> object:
    """Replace floats that are integers; the same object where there are none."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _INT64 else value
    if _is_object(value):
        fields = {key: _whole(item) for key, item in value.items()}
        return fields if any(fields[key] is not value[key] for key in value) else value
    if _is_array(value):
        items = [_whole(item) for item in value]
        same = all(one is other for one, other in zip(items, value, strict=True))
        return value if same else items
    return value


def _malformed(error: Exception) -> Reject:
    if isinstance(error, RecursionError):
        return Reject("malformed_body", "the body is nested too deeply")
    text = str(error)
    return Reject("malformed_body", f"the body is not JSON: {within_sentence(text)}")


def _wrong(raw: bytes, kinds: Sequence[object]) -> Reject:
    try:
        value: object = msgspec.json.decode(raw)
    except _MALFORMED as error:
        return _malformed(error)
    details = min((explain(value, kind) for kind in kinds), key=len)
    if len(details) == 1:
        field, message = details[0].field, details[0].message
        return Reject("validation_error", f"body {field}: {message}", details=details)
    names = ", ".join(detail.field for detail in details[:8])
    more = ", ..." if len(details) > 8 else ""
    sentence = f"{len(details)} fields of the body are wrong: {names}{more}"
    return Reject("validation_error", sentence, details=details)


# --- the walk ---


def _walk(value: object, kind: object, path: str) -> Iterator[Detail]:
    """Descend where the value does not fit; what fits costs one conversion and no walk."""
    try:
        msgspec.convert(value, kind, str_keys=True)
    except msgspec.ValidationError as error:
        deeper = _children(value, _choose(value, kind), path)
        found = next(deeper, None)
        if found is None:
            yield _refused(error, path, kind)
        else:
            yield found
            yield from deeper


def _children(value: object, kind: object, path: str) -> Iterator[Detail]:
    origin, arguments = get_origin(kind) or kind, get_args(kind)
    if not isinstance(origin, type):
        return
    if _is_object(value) and issubclass(origin, msgspec.Struct):
        yield from _fields(value, kind, path)
    elif _is_object(value) and issubclass(origin, Mapping) and len(arguments) == 2:
        for key, item in value.items():
            yield from _walk(key, arguments[0], _join(path, key))
            yield from _walk(item, arguments[1], _join(path, key))
    elif _is_array(value) and issubclass(origin, Sequence | AbstractSet) and arguments:
        variable = origin is not tuple or arguments[-1] is Ellipsis
        for index, item in enumerate(value):
            if variable or index < len(arguments):
                yield from _walk(item, arguments[0 if variable else index], f"{path}[{index}]")


def _fields(value: Mapping[str, object], kind: object, path: str) -> Iterator[Detail]:
    struct = get_origin(kind) or kind
    if not (isinstance(struct, type) and issubclass(struct, msgspec.Struct)):
        return
    config = struct.__struct_config__
    infos = msgspec.structs.fields(kind)  # type: ignore[arg-type]  # an alias such as `Page[int]` too
    for info in infos:
        name = info.encode_name
        if name in value:
            yield from _walk(value[name], info.type, _join(path, name))
        elif info.required:
            wanted = _spell(info.type)
            message = f"expected `{wanted}`, but it is missing"
            yield Detail("body", _join(path, name), wanted, message)
    if config.forbid_unknown_fields:
        known = {info.encode_name for info in infos} | {config.tag_field}
        for name in value.keys() - known:
            yield Detail("body", _join(path, name), "absent", "there is no such field")


def _choose(value: object, kind: object) -> object:
    """Choose, of a union, the member that the value was most likely meant to be."""
    while get_origin(kind) is Annotated or isinstance(kind, NewType):
        kind = kind.__supertype__ if isinstance(kind, NewType) else get_args(kind)[0]
    if get_origin(kind) not in (Union, types.UnionType):
        return kind
    members = [_choose(value, member) for member in get_args(kind)]
    fitting = [member for member in members if _meant(value, member)]
    return fitting[0] if len(fitting) == 1 else None


def _meant(value: object, kind: object) -> bool:
    origin = get_origin(kind) or kind
    if not isinstance(origin, type):
        return False
    if _is_object(value) and issubclass(origin, msgspec.Struct):
        config = origin.__struct_config__
        return config.tag is None or value.get(config.tag_field or "") == config.tag
    if _is_object(value):
        return issubclass(origin, Mapping)
    if _is_array(value):
        return issubclass(origin, Sequence | AbstractSet) and not issubclass(origin, str | bytes)
    return False


def _is_object(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)


def _is_array(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


# --- wording ---

_EXPECTED = re.compile(r"Expected `(?P<kind>[^`]*)`(?P<limit>.*?)(?:, got .*)?")
_PLACE = re.compile(r" - at `(?:key in )?\$?(?P<path>[^`]*)`$")


def _refused(error: msgspec.ValidationError, path: str, kind: object) -> Detail:
    cause = error.__cause__
    if isinstance(cause, FieldError):
        return Detail("body", _join(path, cause.field), "value", cause.message)
    return _detail(str(error), path, kind)


def _detail(text: str, path: str, kind: object) -> Detail:
    """Read msgspec's sentence: "Expected `int` >= 1 - at `$.size`"."""
    place = _PLACE.search(text)
    if place is not None:
        text = text[: place.start()]
        path = _extend(path, place["path"])
    match = _EXPECTED.fullmatch(text)
    message = within_sentence(text)
    if match is None:
        return Detail("body", path or "$", _spell(kind), message, _words(kind))
    return Detail("body", path or "$", match["kind"], message, match["limit"].strip() or None)


def _words(kind: object) -> str | None:
    words: list[str] = []
    if get_origin(kind) is Literal:
        words = [str(word) for word in get_args(kind)]
    elif isinstance(kind, type) and issubclass(kind, Enum):
        words = [str(member.value) for member in kind]
    return f"one of {', '.join(words)}" if words else None


def _extend(path: str, inner: str) -> str:
    inner = inner.replace("[...]", "")
    return path + inner if path else inner.lstrip(".")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _spell(kind: object) -> str:  # noqa: PLR0911  # one for each form of a type
    if get_origin(kind) is Annotated:
        return _spell(get_args(kind)[0])
    if isinstance(kind, NewType):
        return _spell(kind.__supertype__)
    if get_origin(kind) in (Union, types.UnionType):
        return " | ".join(map(_spell, get_args(kind)))
    origin = get_origin(kind) or kind
    if origin is Literal or (isinstance(origin, type) and issubclass(origin, Enum)):
        return "enum"
    if not isinstance(origin, type):
        return str(kind)
    if issubclass(origin, msgspec.Struct | Mapping):
        return "object"
    if issubclass(origin, Sequence | AbstractSet) and not issubclass(origin, str | bytes):
        return "array"
    return {"NoneType": "null", "UUID": "uuid"}.get(origin.__name__, origin.__name__)
