"""Schemas as checks: a fast one that says whether attributes fit, and a slow one that says why not.

The fast one is code that fastjsonschema writes of the schema. That library reads older drafts, and
must not be given what strangers wrote: so only schemas of keywords that mean the same in 2020-12,
and of plain names, become code. All others, and all explanations, are jsonschema's.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from fractions import Fraction
from importlib import import_module
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import msgspec

from nexus_gateway import _core
from nexus_gateway.studio.intelligence.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jsonschema.protocols import Validator

MOST = 100
"""Problems that are told of one entity."""
KEPT = 256
"""Compiled schemas that are kept."""
SHOWN = 200
"""Characters of a message."""

_PLAIN = re.compile(r"[A-Za-z0-9_ .:@-]{0,128}")
_NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
_SIZES = frozenset(
    f"{bound}{counted}" for bound in ("min", "max") for counted in ("Length", "Items", "Properties")
)
_NOTES = frozenset(
    {
        "$schema",
        "title",
        "description",
        "examples",
        "default",
        "$comment",
        "readOnly",
        "writeOnly",
        "deprecated",
    }
)


class Schemas:
    """The schemas that were compiled of late, by the digests of their texts."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Compiled] = OrderedDict()

    def known(self, digest: str) -> Compiled | None:
        """Give what is compiled of a schema already."""
        return self._kept.get(digest)

    def compiled(self, digest: str, text: Callable[[], str]) -> Compiled:
        """Give what is compiled of a schema; `text` is asked for where it has not been yet."""
        found = self.known(digest)
        if found is None:
            found = Compiled(msgspec.json.decode(text(), type=dict[str, object]))
            self._kept[digest] = found
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return found


class Compiled:
    """A schema, ready to be used; it has passed `lint`."""

    def __init__(self, schema: dict[str, object]) -> None:
        self._schema = schema
        self._fits: Callable[[object], bool] | None = _fast(schema) if _common(schema) else None
        self._validator: Validator | None = None

    @property
    def fast(self) -> bool:
        """Whether it became code."""
        return self._fits is not None

    def problems(self, attributes: object) -> list[Problem]:
        """List what is wrong with attributes, at most 100."""
        if self._fits is not None and self._fits(attributes):
            return []
        return list(islice(self._explain(attributes), MOST))

    def _explain(self, attributes: object) -> Iterator[Problem]:
        if self._validator is None:
            self._validator = _validator(self._schema)
        for error in self._validator.iter_errors(cast("Any", attributes)):
            path = "".join(
                f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path
            )
            message = error.message
            if len(message) > SHOWN:
                message = f"{message[:SHOWN]}..."
            yield Problem(f"attributes{path}", str(error.validator), message)


def _fast(schema: dict[str, object]) -> Callable[[object], bool]:
    import fastjsonschema

    # Notes say nothing to the check, and hold any text.
    check = fastjsonschema.compile(_bare(schema), use_default=False, use_formats=False)

    def fits(attributes: object) -> bool:
        try:
            check(attributes)
        except fastjsonschema.JsonSchemaValueException:
            return False
        return True

    return fits


def _bare(schema: object) -> Any:
    if not isinstance(schema, dict):
        return schema
    node = cast("dict[str, object]", schema)
    bare: dict[str, object] = {}
    for name, value in node.items():
        if name in _NOTES:
            continue
        if name == "properties":
            named = cast("dict[str, object]", value)
            bare[name] = {key: _bare(inner) for key, inner in named.items()}
        elif name in ("allOf", "anyOf", "oneOf"):
            bare[name] = [_bare(inner) for inner in cast("list[object]", value)]
        else:
            bare[name] = _bare(value)
    return bare


def _common(schema: object) -> bool:
    """Say whether a schema means the same in all drafts, and holds plain names alone."""
    if isinstance(schema, bool):
        return True
    node = cast("dict[str, object]", schema)
    return all(_common_keyword(name, value) for name, value in node.items() if name not in _NOTES)


def _common_keyword(name: str, value: object) -> bool:
    match name:
        case "properties":
            named = cast("dict[str, object]", value)
            return all(_PLAIN.fullmatch(key) and _common(inner) for key, inner in named.items())
        case "additionalProperties" | "items" | "not":
            return _common(value)
        case "allOf" | "anyOf" | "oneOf":
            return all(_common(inner) for inner in cast("list[object]", value))
        case "required" | "enum" | "const":
            words = [value] if name == "const" else cast("list[object]", value)
            return all(map(_is_plain, words))
        case _:
            return name == "type" or (name in _NUMBERS | _SIZES and type(value) is int)


def _is_plain(value: object) -> bool:
    return isinstance(value, str) and _PLAIN.fullmatch(value) is not None


# --- jsonschema, with patterns of linear time ---


def _validator(schema: dict[str, object]) -> Validator:
    from jsonschema import Draft202012Validator

    # Untyped: a function of the library that makes a class.
    validators: Any = import_module("jsonschema.validators")
    keywords: dict[str, Any] = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "multipleOf": _multiple_of,
    }
    return cast("Validator", validators.extend(Draft202012Validator, keywords)(schema))


def _pattern(_: Validator, pattern: str, instance: object, __: object) -> Iterator[Any]:
    from jsonschema import ValidationError

    if isinstance(instance, str) and not _core.Pattern(pattern).occurs(instance):
        yield ValidationError(f"{instance[:64]!r} does not match {pattern!r}")


def _multiple_of(_: Validator, step: float, instance: object, __: object) -> Iterator[Any]:
    """Compare as decimals: 19.99 is a multiple of 0.01, which no binary fraction shows."""
    from jsonschema import ValidationError

    if isinstance(instance, bool) or not isinstance(instance, int | float):
        return
    if (_decimal(instance) / _decimal(step)).denominator != 1:
        yield ValidationError(f"{instance!r} is not a multiple of {step!r}")


def _decimal(number: float) -> Fraction:
    """Read a number as it is written: the shortest decimal that stands for its bits."""
    return Fraction(number) if isinstance(number, int) else Fraction(repr(number))


def _pattern_properties(
    validator: Validator, patterns: dict[str, object], instance: object, _: object
) -> Iterator[Any]:
    if not isinstance(instance, dict):
        return
    named = cast("dict[str, object]", instance)
    for pattern, inner in patterns.items():
        compiled = _core.Pattern(pattern)
        for key, value in named.items():
            if compiled.occurs(key):
                yield from validator.descend(value, inner, path=key, schema_path=pattern)  # type: ignore[attr-defined]  # of every validator, but not of the protocol


def _additional_properties(
    validator: Validator, rest: object, instance: object, schema: dict[str, Any]
) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not isinstance(instance, dict):
        return
    patterns = [_core.Pattern(pattern) for pattern in schema.get("patternProperties", ())]
    known = schema.get("properties", {})
    for key, value in cast("dict[str, object]", instance).items():
        if key in known or any(pattern.occurs(key) for pattern in patterns):
            continue
        if rest is False:
            yield ValidationError("there is no such attribute", path=[key])
        else:
            yield from validator.descend(value, rest, path=key)  # type: ignore[attr-defined]  # as above
