"""Conversions as functions: compiled once at start, called for each value of a request."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

import msgspec

from nexus_gateway.compile.validation import decoder
from nexus_gateway.describe.node import Conversion, Default, Each, Json, Member, Parse, Record, Text
from nexus_gateway.describe.reject import Detail, Reject
from nexus_gateway.values.field_error import FieldError

Convert: TypeAlias = Callable[..., object]


def build(conversion: Conversion | None) -> Convert | None:  # noqa: PLR0911  # one for each kind
    """Make the function of a conversion; None where the core's value is what is wanted."""
    match conversion:
        case None:
            return None
        case Member(words):
            members: dict[str, object] = dict(words)
            return members.__getitem__
        case Parse():
            return uuid.UUID if conversion.kind is uuid.UUID else _parse(conversion)
        case Each(item):
            return _each(build(item))
        case Default(value, otherwise):
            return _default(value, build(otherwise))
        case Json(types):
            return decoder(types)
        case Text():
            return bytes.decode
        case Record():
            return _record(conversion)


def construct(record: Record) -> Callable[..., object]:
    """Make what is called with a record's fields: its type, guarded where that may refuse them."""
    return _guarded(record.kind) if hasattr(record.kind, "__post_init__") else record.kind


def _parse(conversion: Parse) -> Convert:
    kind, location, name = conversion.kind, conversion.location, conversion.name

    def parse(text: str) -> object:
        try:
            found: object = msgspec.convert(text, kind)
            if isinstance(found, datetime):
                found.astimezone(UTC)
        except (msgspec.ValidationError, OverflowError):
            # The core checks the form and the calendar; what it lets pass Python may not hold.
            message = f"expected {kind.__name__}, got {text!r}"
            detail = Detail(location, name, kind.__name__, message)
            sentence = f"{location} {name}: {message}"
            raise Reject("validation_error", sentence, status=400, details=(detail,)) from None
        return found

    return parse


def _each(item: Convert | None) -> Convert | None:
    if item is None:
        return None

    def each(values: Sequence[object]) -> list[object]:
        return [item(value) for value in values]

    return each


def _default(value: object, otherwise: Convert | None) -> Convert:
    def default(given: object) -> object:
        # b"" is the body of a request that has none.
        if given is None or given == b"":
            return value
        return given if otherwise is None else otherwise(given)

    return default


def _guarded(kind: type[msgspec.Struct]) -> Convert:
    def make(**fields: object) -> object:
        try:
            return kind(**fields)
        except FieldError as error:
            detail = Detail("query", error.field, "value", error.message)
            sentence = f"query {error}"
            raise Reject("validation_error", sentence, status=400, details=(detail,)) from error
        except (TypeError, ValueError) as error:
            raise Reject("validation_error", f"query: {error}", status=400) from error

    return make


def _record(record: Record) -> Convert:
    make = construct(record)
    converts = [build(conversion) for conversion in record.conversions]

    def read(places: Sequence[object] | None) -> object:
        fields = zip(record.names, converts, places or (), strict=False)
        given = {
            name: place if convert is None else convert(place)
            for name, convert, place in fields
            if place is not ...
        }
        return make(**given)

    return read
