"""Declared types as they are given, kept and shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from nexus_gateway.studio.fields import AskedType, JsonObject, check_text

TYPES = 1000
"""Types that one tenant may declare."""


class Declaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What entities of a type must be.

    attributes: a JSON Schema (2020-12) of the object `attributes`.
    """

    attributes: Annotated[
        dict[str, object],
        Meta(
            description="A JSON Schema (2020-12) of the object `attributes`.",
            examples=[{"type": "object", "properties": {"size": {"type": "integer"}}}],
        ),
    ]
    description: Annotated[str, Meta(max_length=1024)] | None = None

    def __post_init__(self) -> None:
        """Check what a schema cannot say; the error becomes one of the body."""
        check_text(self, "description")


class DeclaredType(msgspec.Struct, frozen=True):
    """A type of entities.

    revision: 1 when it is declared, one more with each change.
    """

    name: str
    description: str | None
    attributes: JsonObject
    revision: int
    created_at: datetime
    updated_at: datetime
    updated_by: str


class TypeSelection(msgspec.Struct, frozen=True):
    """Which types to list, by name."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 50
    cursor: AskedType | None = None


class DeclaredTypes(msgspec.Struct, frozen=True):
    """A part of the list, and where it goes on."""

    items: tuple[DeclaredType, ...]
    next_cursor: str | None
