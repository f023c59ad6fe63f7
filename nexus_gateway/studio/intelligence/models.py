"""What intelligence keeps and answers, as structs; their limits are what requests are held to."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nexus_gateway.studio.conditions import version_name
from nexus_gateway.studio.fields import (
    Cursor,
    EntityId,
    EntityType,
    JsonObject,
    Name,
    Tag,
    Tags,
    check_depth,
    check_plain,
)

RESERVED = frozenset({"search"})
"""Ids that would hide behind paths of our own."""


class Entity(msgspec.Struct, frozen=True):
    """One thing that is known.

    attributes: a JSON object; kept as JSON, since most answers only pass it on.
    revision: 1 when it is made, one more with each change.
    """

    entity_id: str
    entity_type: str
    name: str | None
    tags: tuple[str, ...]
    attributes: JsonObject
    created_at: datetime
    updated_at: datetime
    revision: int


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """All that a client decides of an entity, but for its id."""

    entity_type: EntityType
    name: Name | None = None
    tags: Tags = ()
    attributes: dict[str, object] = {}

    def __post_init__(self) -> None:
        """Check what a schema cannot say; the error becomes one of the body."""
        check_plain(self.entity_type, *self.tags)
        check_depth(self.attributes)


class Replacement(Content, frozen=True, kw_only=True):
    """An entity as it shall be; its id is the path's, and may be repeated."""

    entity_id: EntityId | None = None


class Draft(Content, frozen=True, kw_only=True):
    """An entity as it is first given."""

    entity_id: EntityId

    def __post_init__(self) -> None:
        """Check what a schema cannot say; the error becomes one of the body."""
        super().__post_init__()
        check_plain(self.entity_id)
        if self.entity_id in RESERVED:
            raise ValueError(f"entity_id {self.entity_id!r} is reserved")


class Patch(msgspec.Struct, frozen=True, kw_only=True):
    """A merge patch (RFC 7396): what is not named stays, `null` removes."""

    entity_type: EntityType | UnsetType = UNSET
    name: Name | UnsetType | None = UNSET
    tags: Tags | UnsetType | None = UNSET
    attributes: dict[str, object] | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        """Check what a schema cannot say; the error becomes one of the body."""
        check_plain(*(self.tags or ()))
        if self.entity_type is not UNSET:
            check_plain(self.entity_type)
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


class Selection(msgspec.Struct, frozen=True):
    """Which entities to list, in the order in which they were made."""

    type: EntityType | None = None
    tag: Tag | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 50
    cursor: Cursor | None = None


class Page(msgspec.Struct, frozen=True):
    """A part of a list, and where it goes on."""

    items: tuple[Entity, ...]
    next_cursor: str | None


class Search(msgspec.Struct, frozen=True):
    """What to search for: words, a type, and tags that must all be there.

    q: all words must occur; the last may be the beginning of one.
    """

    q: Annotated[str, Meta(max_length=256)] = ""
    type: EntityType | None = None
    tag: list[Tag] = []
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    cursor: Cursor | None = None


class Count(msgspec.Struct, frozen=True):
    """How many entities share a value."""

    value: str
    count: int


class Facets(msgspec.Struct, frozen=True):
    """How the entities that were found fall into types and tags, the largest first.

    complete: whether tags were counted in all of them; in a very long list only a part is.
    """

    type: tuple[Count, ...]
    tag: tuple[Count, ...]
    complete: bool


class Found(msgspec.Struct, frozen=True):
    """The best matches.

    total: how many there are on all pages.
    facets: of all pages; given with the first.
    """

    items: tuple[Entity, ...]
    total: int
    facets: Facets | None
    next_cursor: str | None


class Wanted(msgspec.Struct, frozen=True):
    """How many recommendations."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 10


class Recommendation(msgspec.Struct, frozen=True):
    """An entity that is like another.

    score: 0 to 1, the sum of `parts`.
    parts: what each shared tag adds; a rare tag adds more.
    because: the shared tags, the rarest first.
    """

    entity: Entity
    score: float
    parts: dict[str, float]
    because: tuple[str, ...]


class Recommendations(msgspec.Struct, frozen=True):
    """What is like an entity, the most alike first."""

    entity_id: str
    items: tuple[Recommendation, ...]


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


class Report(msgspec.Struct, frozen=True):
    """All that is known at a glance.

    A section that could not be made is null, and named in `degraded`.
    """

    generated_at: datetime
    totals: Totals | None
    by_type: tuple[Count, ...] | None
    by_tag: tuple[Count, ...] | None
    growth: tuple[Growth, ...] | None
    newest: tuple[Entity, ...] | None
    degraded: tuple[str, ...]


def version_of(entity: Entity) -> str:
    """Name a state of an entity; an entity made anew under an old id has none of the old names."""
    return version_name(entity.revision, entity.created_at)
