"""What fields of the rooms' bodies have in common: ids, names, tags, free attributes, patches.

An entity of intelligence and a node of the graph may be the same thing, so an id that one takes the
other takes too.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, TypeAlias, cast

import msgspec
from msgspec import Meta

from nexus_gateway.values.field_error import FieldError

if TYPE_CHECKING:
    from collections.abc import Iterable

EntityId: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:@+~=,-]*$",
        description="Unique within the tenant; safe in a URL.",
        examples=["debian:python3"],
    ),
]
PLAIN = r"^[^\x00-\x1f\x7f]*$"
"""The pattern of texts without control characters."""
# For documents only: bodies are checked by `check_plain`, all their texts at once.
WRITTEN_PLAIN: dict[str, object] = {"pattern": PLAIN}
EntityType: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="What kind of thing it is.",
        extra_json_schema=WRITTEN_PLAIN,
    ),
]
AskedType: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=64, pattern=PLAIN, description="What kind of thing it is.")
]
"""The same in a path or a query, where the core checks it."""
Name: TypeAlias = Annotated[str, Meta(max_length=256, description="For people.")]
Tag: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64, extra_json_schema=WRITTEN_PLAIN)]
AskedTag: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64, pattern=PLAIN)]
"""The same in a query."""
Tags: TypeAlias = Annotated[tuple[Tag, ...], Meta(max_length=64)]
Cursor: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
JsonObject: TypeAlias = Annotated[
    msgspec.Raw, Meta(extra_json_schema={"type": "object", "additionalProperties": True})
]

BOM = b"\xef\xbb\xbf"
"""Editors write it before a text, where it is no part of the first line."""
ATTRIBUTES_BYTES_MAX = 1 << 20
"""Bytes of one record's attributes as JSON."""
LINE_BYTES_MAX = 2 << 20
"""Bytes of a line of an import or ingest: the largest record that is exported is shorter."""
DEPTH = 32
"""Levels that attributes may be nested; what walks them may then call itself."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_plain(record: msgspec.Struct, *texts: str) -> None:
    """Refuse control characters, which a pattern for each field would make slow to check.

    Args:
        record: the struct that has the texts, by which the refusal names the field.
        texts: values of its fields, or of its lists.

    Raises:
        FieldError: there is one.
    """
    # Searched as one: a batch has thousands of tags. What is printable has no control character.
    together = "".join(texts)
    if together.isprintable():
        return
    found = _CONTROL.search(together)
    if found is not None:
        message = f"expected no control character, found {found[0]!r}"
        raise FieldError(_field_of(record, texts), message)


def check_text(record: msgspec.Struct, *names: str) -> None:
    """Refuse U+0000, which not every database stores in a text, in fields that take other controls.

    Raises:
        FieldError: a field has one.
    """
    for name in names:
        value: object = getattr(record, name)
        if isinstance(value, str) and "\0" in value:
            raise FieldError(name, "expected no character U+0000")


def check_moments(record: msgspec.Struct, *names: str) -> None:
    """Refuse times whose UTC form is outside the years 1 to 9999: none could be read back.

    Raises:
        FieldError: a field has one.
    """
    for name in names:
        moment: object = getattr(record, name)
        if isinstance(moment, datetime):
            try:
                moment.astimezone(UTC)
            except OverflowError:
                message = "expected a time in the years 1 to 9999 of UTC"
                raise FieldError(name, message) from None


def _field_of(record: msgspec.Struct, texts: Iterable[str]) -> str:
    """Find the field whose text has a control character."""
    wrong = {text for text in texts if _CONTROL.search(text)}
    for name in record.__struct_fields__:
        value: object = getattr(record, name)
        if isinstance(value, str) and value in wrong:
            return name
        if isinstance(value, tuple):
            items = cast("tuple[object, ...]", value)
            places = (place for place, item in enumerate(items) if item in wrong)
            if (place := next(places, None)) is not None:
                return f"{name}[{place}]"
    return "$"


def check_depth(value: object, field: str = "attributes") -> None:
    """Refuse attributes that are nested too deeply.

    Raises:
        FieldError: they are.
    """
    if _is_deeper(value, DEPTH):
        raise FieldError(field, f"expected at most {DEPTH} levels")


def _is_deeper(value: object, levels: int) -> bool:
    if isinstance(value, dict):
        inner: Iterable[object] = cast("dict[str, object]", value).values()
    elif isinstance(value, list):
        inner = cast("list[object]", value)
    else:
        return False
    for item in inner:
        if isinstance(item, dict | list) and (
            levels == 1 or _is_deeper(cast("object", item), levels - 1)
        ):
            return True
    return False


def encoded(attributes: object) -> msgspec.Raw:
    """Write attributes as they are stored; what is exported of them fits a line of an import.

    Raises:
        FieldError: they are larger than `ATTRIBUTES_BYTES_MAX`.
    """
    text = msgspec.json.encode(attributes)
    if len(text) > ATTRIBUTES_BYTES_MAX:
        message = f"expected at most {ATTRIBUTES_BYTES_MAX} bytes of JSON, found {len(text)}"
        raise FieldError("attributes", message)
    return msgspec.Raw(text)


def merge_patch(target: object, patch: object) -> object:
    """Merge as RFC 7396, section 2 has it.

    >>> merge_patch({"a": 1, "b": {"c": 2}}, {"a": None, "b": {"d": 3}})
    {'b': {'c': 2, 'd': 3}}
    """
    if not isinstance(patch, dict):
        return patch
    result = dict(cast("dict[str, object]", target)) if isinstance(target, dict) else {}
    for key, value in cast("dict[str, object]", patch).items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result
