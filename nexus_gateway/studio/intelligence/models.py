"""What intelligence keeps and answers, as structs; their limits are what requests are held to."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from typing import Annotated, ClassVar, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nexus_gateway.studio.conditions import version_name
from nexus_gateway.studio.fields import (
    WRITTEN_PLAIN,
    AskedTag,
    AskedType,
    Cursor,
    EntityId,
    EntityType,
    JsonObject,
    Name,
    Tags,
    check_depth,
    check_plain,
    check_text,
)
from nexus_gateway.values.field_error import FieldError
from nexus_gateway.values.schema import at_least

Source: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        description="Where it is known from.",
        extra_json_schema=WRITTEN_PLAIN,
    ),
]
Aliases: TypeAlias = Annotated[
    tuple[EntityId, ...], Meta(max_length=32, description="Further ids that lead to it.")
]
Key: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=512, description="What its source calls it.")
]
RESERVED = frozenset({"search"})
"""Ids that would hide behind paths of our own."""


class Stamp(msgspec.Struct, frozen=True):
    """When a change is made, and by which subject."""

    at: datetime
    by: str = ""


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is known.

    attributes: a JSON object; kept as JSON, since most answers only pass it on.
    revision: 1 when it is made, one more with each change.
    aliases: further ids that lead to it.
    source: where it is known from, as its author says.
    created_by: the subject of the token that made it; `updated_by` of the last change.
    """

    entity_id: str
    entity_type: str
    name: str | None
    tags: tuple[str, ...]
    attributes: JsonObject
    created_at: datetime
    updated_at: datetime
    revision: int
    aliases: tuple[str, ...] = ()
    source: str | None = None
    created_by: str = ""
    updated_by: str = ""


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """All that a client decides of an entity, but for its id."""

    entity_type: EntityType
    name: Name | None = None
    tags: Tags = ()
    attributes: dict[str, object] = {}
    aliases: Aliases = ()
    source: Source | None = None

    def __post_init__(self) -> None:
        """Check what a schema cannot say; the error becomes one of the body."""
        check_plain(self, self.entity_type, *self.tags, *self.aliases, self.source or "")
        if self.name is not None:
            check_text(self, "name")
        check_aliases(self.aliases)
        check_depth(self.attributes)


class Replacement(Content, frozen=True, kw_only=True):
    """An entity as it shall be; its id is the path's, and may be repeated."""

    entity_id: EntityId | None = None


class Draft(Content, frozen=True, kw_only=True):
    """An entity as it is first given: under an id of its own, or a key of its source.

    key: the id is made of it and the source, always the same: a repeated draft is the same entity.
    """

    entity_id: EntityId = ""
    key: Key | None = None

    json_schema_extra: ClassVar[dict[str, object]] = at_least("key", "entity_id")

    def __post_init__(self) -> None:
        """Check what a schema cannot say; the error becomes one of the body."""
        super().__post_init__()
        if not self.entity_id:
            if self.key is None:
                raise FieldError("entity_id", "entity_id or key is needed, both are missing")
            msgspec.structs.force_setattr(self, "entity_id", id_of_key(self.source, self.key))
        check_plain(self, self.entity_id)
        if self.entity_id in RESERVED:
            raise FieldError("entity_id", f"{self.entity_id!r} is reserved")


class Patch(msgspec.Struct, frozen=True, kw_only=True):
    """A merge patch (RFC 7396): what is not named stays, `null` removes."""

    entity_type: EntityType | UnsetType = UNSET
    name: Name | UnsetType | None = UNSET
    tags: Tags | UnsetType | None = UNSET
    attributes: dict[str, object] | UnsetType | None = UNSET
    aliases: Aliases | UnsetType | None = UNSET
    source: Source | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        """Check what a schema cannot say; the error becomes one of the body."""
        check_plain(self, *(self.tags or ()), *(self.aliases or ()), self.source or "")
        check_text(self, "name")
        check_aliases(self.aliases or ())
        if self.entity_type is not UNSET:
            check_plain(self, self.entity_type)
        check_depth(self.attributes)


class Batch(msgspec.Struct, frozen=True):
    """Entities to create or replace, all or none."""

    items: Annotated[tuple[Draft, ...], Meta(min_length=1, max_length=1000)]


class Outcome(msgspec.Struct, frozen=True):
    """What became of one entity of a batch."""

    entity_id: str
    result: Literal["created", "updated", "unchanged"]
    revision: int


class Imported(msgspec.Struct, frozen=True):
    """What became of a batch, in its order."""

    created: int
    updated: int
    unchanged: int
    items: tuple[Outcome, ...]


class Revision(msgspec.Struct, frozen=True):
    """What an entity was from one change to the next.

    version: the state's name, which its `ETag` is.
    changed: what differs from the revision before; empty for the first.
    entity: the state; of a deletion, the last one.
    """

    revision: int
    version: str
    change: Literal["created", "updated", "deleted", "restored"]
    at: datetime
    by: str
    changed: tuple[str, ...]
    entity: Entity


class History(msgspec.Struct, frozen=True):
    """An entity's revisions, the newest first."""

    items: tuple[Revision, ...]
    next_cursor: str | None


class Past(msgspec.Struct, frozen=True):
    """Which revisions to list; `revision` names one alone."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    revision: Annotated[int, Meta(ge=1)] | None = None
    cursor: Cursor | None = None


class Removal(msgspec.Struct, frozen=True):
    """How to delete: `purge` takes the history too, and needs the scope `intelligence:admin`."""

    purge: bool = False


class Selection(msgspec.Struct, frozen=True):
    """Which entities to list, in the order in which they were made."""

    type: AskedType | None = None
    tag: AskedTag | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50
    cursor: Cursor | None = None


class Page(msgspec.Struct, frozen=True):
    """A part of a list, and where it goes on."""

    items: tuple[Entity, ...]
    next_cursor: str | None


class Count(msgspec.Struct, frozen=True):
    """How many entities share a value."""

    value: str
    count: int


class Growth(msgspec.Struct, frozen=True):
    """How many entities were made in a stretch of time, and how many there were at its end."""

    start: datetime
    created: int
    total: int


class Window(msgspec.Struct, frozen=True):
    """What the report looks at: the last 30 days or 48 hours, and how long its lists are."""

    bucket: Literal["day", "hour"] = "day"
    top: Annotated[int, Meta(ge=1, le=100)] = 20


class Totals(msgspec.Struct, frozen=True):
    """How many of each there are."""

    entities: int
    types: int
    tags: int


class Part(msgspec.Struct, frozen=True):
    """How the making of a section went; `late` is not done at the deadline."""

    name: str
    status: Literal["ok", "failed", "late"]
    milliseconds: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known at a glance.

    A section that could not be made is null, and named in `degraded`.

    graph: what the knowledge graph holds, where there is one.
    parts: how long each section took.
    """

    generated_at: datetime
    totals: Totals | None = None
    by_type: tuple[Count, ...] | None = None
    by_tag: tuple[Count, ...] | None = None
    growth: tuple[Growth, ...] | None = None
    newest: tuple[Entity, ...] | None = None
    graph: JsonObject | None = None
    degraded: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()


def id_of_key(source: str | None, key: str) -> str:
    """Make an entity's id of what its source calls it.

    >>> id_of_key("crm", "4711")
    'key:bq6dsulspkwybsmlyiqvo2zg'
    """
    text = f"{source or ''}\0{key}".encode()
    digest = hashlib.blake2b(text, digest_size=15).digest()
    return f"key:{base64.b32encode(digest).decode().lower()}"


def check_aliases(aliases: tuple[str, ...]) -> None:
    """Refuse aliases that could not be reached.

    Raises:
        FieldError: one is reserved.
    """
    for place, alias in enumerate(aliases):
        if alias in RESERVED:
            raise FieldError(f"aliases[{place}]", f"{alias!r} is reserved")


def version_of(entity: Entity) -> str:
    """Name a state of an entity; an entity made anew under an old id has none of the old names."""
    return version_name(entity.revision, entity.created_at)
