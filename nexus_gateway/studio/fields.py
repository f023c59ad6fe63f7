"""What fields of the rooms' bodies have in common: ids, names, tags, free attributes, patches.

An entity of intelligence and a node of the graph may be the same thing, so an id that one takes the
other takes too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, TypeAlias, cast

import msgspec
from msgspec import Meta

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
EntityType: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=64, description="What kind of thing it is.")
]
Name: TypeAlias = Annotated[str, Meta(max_length=256, description="For people.")]
Tag: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
Tags: TypeAlias = Annotated[tuple[Tag, ...], Meta(max_length=64)]
Cursor: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
JsonObject: TypeAlias = Annotated[
    msgspec.Raw, Meta(extra_json_schema={"type": "object", "additionalProperties": True})
]

DEPTH = 32
"""Levels that attributes may be nested; what walks them may then call itself."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_plain(*texts: str) -> None:
    """Refuse control characters, which a pattern for each field would make slow to check.

    Raises:
        ValueError: there is one.
    """
    # Searched as one: a batch has thousands of tags.
    found = _CONTROL.search("".join(texts))
    if found is not None:
        raise ValueError(f"expected no control character, found {found[0]!r}")


def check_depth(value: object, levels: int = DEPTH) -> None:
    """Refuse attributes that are nested too deeply.

    Raises:
        ValueError: they are.
    """
    inner: Iterable[object] = ()
    if isinstance(value, dict):
        inner = cast("dict[str, object]", value).values()
    elif isinstance(value, list):
        inner = cast("list[object]", value)
    for item in inner:
        if isinstance(item, dict | list):
            if levels == 1:
                raise ValueError(f"attributes are nested deeper than {DEPTH} levels")
            check_depth(cast("object", item), levels - 1)


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
