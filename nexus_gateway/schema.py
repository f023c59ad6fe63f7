"""Types as JSON schemas, collected first and written once, so that each struct is named once."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, TypeAlias, Union, get_args, get_origin

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

Schema: TypeAlias = dict[str, object]
_REFERENCE = "#/components/schemas/{name}"


class Schemas:
    """The schemas of all the types that a document names, and the components they refer to."""

    def __init__(self, kinds: Sequence[object]) -> None:
        """Write the schema of each type; one that JSON schema cannot say becomes `{}`, anything."""
        known = [kind for kind in _distinct(kinds) if _writable(kind)]
        written, components = msgspec.json.schema_components(
            known, schema_hook=_anything, ref_template=_REFERENCE
        )
        self._written = list(zip(known, written, strict=True))
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


def _distinct(kinds: Sequence[object]) -> list[object]:
    # By equality, not by hash: `Annotated` with unhashable metadata is a type too.
    found: list[object] = []
    for kind in kinds:
        if kind not in found:
            found.append(kind)
    return found


def _writable(kind: object) -> bool:
    try:
        msgspec.json.schema_components([kind], schema_hook=_anything)
    except (TypeError, NameError):
        return False
    return True


def _anything(kind: type) -> Schema:
    # Not `{}`, which would say the same of an `object`: msgspec takes an empty schema for none.
    return {"description": "anything"} if kind is object else {}
