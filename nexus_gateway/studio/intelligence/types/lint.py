"""What a schema may not do: reach out, go on for ever, or take long on purpose.

A tenant writes schemas, and every later write of that tenant pays for them. So references are local
and never lead back to themselves, all that they expand to is bounded, and patterns are those of an
engine that takes linear time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from nexus_gateway import _core
from nexus_gateway.studio.intelligence.errors import BadSchema, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BYTES = 64 << 10
"""Of a schema as JSON."""
EXPANDED = 2000
"""Schemas that one is made of, each counted as often as it is referred to."""
LEVELS = 32
"""Levels of schemas within schemas, references followed."""
PATTERN = 256
"""Characters of a pattern."""
UNIQUE = 1000
"""Items that `uniqueItems` may compare: each with each, where they cannot be sorted."""
DIALECT = "https://json-schema.org/draft/2020-12/schema"

# What would have to be looked up, or decided while checking.
_REFUSED = (
    "$id",
    "$anchor",
    "$dynamicRef",
    "$dynamicAnchor",
    "$recursiveRef",
    "$vocabulary",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_ONE = ("additionalProperties", "items", "contains", "propertyNames", "not", "if", "then", "else")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "dependentSchemas")


def lint(schema: Mapping[str, object]) -> None:
    """Refuse a schema that cannot be used.

    Raises:
        BadSchema: with everything that is wrong.
    """
    if len(msgspec.json.encode(schema)) > BYTES:
        raise BadSchema([Problem("attributes", "size", f"the schema is larger than {BYTES} bytes")])
    problems = list(_shape(schema)) or list(_Walk(schema).problems())
    if problems:
        raise BadSchema(problems[:100])


def _shape(schema: Mapping[str, object]) -> Iterator[Problem]:
    """Compare a schema with the schema of schemas."""
    from jsonschema import Draft202012Validator

    validator: Any = Draft202012Validator(Draft202012Validator.META_SCHEMA)
    dialect = schema.get("$schema", DIALECT)
    if dialect != DIALECT:
        message = f"expected {DIALECT!r} or nothing, found {str(dialect)[:80]!r}"
        yield Problem("attributes.$schema", "$schema", message)
        return
    try:
        for error in validator.iter_errors(schema):
            path = "".join(_step(part) for part in error.absolute_path)
            yield Problem(f"attributes{path}", str(error.validator), error.message[:200])
    except RecursionError:
        yield Problem("attributes", "depth", "the schema is nested too deeply")


def _step(part: str | int) -> str:
    return f"[{part}]" if isinstance(part, int) else f".{part}"


class _Walk:
    """Goes through a schema as a check would, references followed."""

    def __init__(self, root: Mapping[str, object]) -> None:
        self._root = root
        self._count = 0

    def problems(self) -> Iterator[Problem]:
        """List what is wrong; ends where the schema expands too far."""
        yield from self._visit(self._root, "attributes", 0)
        for name, inner in _object(self._root.get("$defs")).items():
            yield from self._visit(inner, f"attributes.$defs.{name}", 1)

    def _visit(self, node: object, path: str, level: int) -> Iterator[Problem]:
        self._count += 1
        if not isinstance(node, dict) or self._count > EXPANDED + 1:
            return
        if self._count == EXPANDED + 1:
            yield Problem(path, "size", f"the schema expands to more than {EXPANDED} schemas")
            return
        if level > LEVELS:
            message = f"schemas are nested deeper than {LEVELS} levels, or refer to themselves"
            yield Problem(path, "depth", message)
            # Each way that leads here is as deep: one is enough.
            self._count = EXPANDED + 1
            return
        schema = cast("dict[str, object]", node)
        yield from self._keywords(schema, path)
        for below, inner in self._inner(schema):
            yield from self._visit(inner, f"{path}.{below}", level + 1)

    def _keywords(self, schema: dict[str, object], path: str) -> Iterator[Problem]:
        for name in _REFUSED:
            if name in schema:
                yield Problem(f"{path}.{name}", name, f"{name} is not taken here")
        if path.count(".") and "$defs" in schema and schema is not self._root:
            yield Problem(f"{path}.$defs", "$defs", "definitions stand at the top of a schema")
        unique = schema.get("uniqueItems") is True
        most = schema.get("maxItems", UNIQUE + 1)
        if unique and not (isinstance(most, int | float) and most <= UNIQUE):
            message = f"uniqueItems needs maxItems of at most {UNIQUE}"
            yield Problem(f"{path}.uniqueItems", "uniqueItems", message)
        reference = schema.get("$ref")
        if isinstance(reference, str) and self._target(reference) is None:
            message = f"expected a definition here, '#/$defs/name', found {reference[:80]!r}"
            yield Problem(f"{path}.$ref", "$ref", message)
        for pattern in (schema.get("pattern"), *_object(schema.get("patternProperties"))):
            problem = _wrong_pattern(pattern)
            if problem is not None:
                yield Problem(f"{path}.pattern", "pattern", problem)

    def _inner(self, schema: dict[str, object]) -> Iterator[tuple[str, object]]:
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield "$ref", self._target(reference)
        for name in _ONE:
            yield name, schema.get(name)
        for name in _LISTS:
            for index, inner in enumerate(cast("list[object]", schema.get(name, []))):
                yield f"{name}[{index}]", inner
        for name in _NAMED:
            for key, inner in _object(schema.get(name)).items():
                yield f"{name}.{key}", inner

    def _target(self, reference: str) -> object:
        name = reference.removeprefix("#/$defs/")
        # A name with a mark of JSON pointers or URIs would have to be decoded.
        if name == reference or set(name) & set("/~%"):
            return None
        return _object(self._root.get("$defs")).get(name)


def _wrong_pattern(pattern: object) -> str | None:
    if not isinstance(pattern, str):
        return None
    if len(pattern) > PATTERN:
        return f"a pattern has at most {PATTERN} characters, this one {len(pattern)}"
    try:
        _core.Pattern(pattern)
    except ValueError as error:
        return f"{pattern!r} is not a pattern that is taken here: {str(error)[:160]}"
    return None


def _object(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}
