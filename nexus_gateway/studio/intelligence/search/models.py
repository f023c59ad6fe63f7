"""What a search asks and answers, and what is recommended."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from nexus_gateway.studio.fields import AskedTag, AskedType, EntityId
from nexus_gateway.studio.intelligence.models import Count, Entity


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What to search for: words, or what an entity is like; a type, and tags that must be there.

    q: by text, all words must occur, the last may be the beginning of one; by vector, the nearer
        the better.
    like: an entity to whose vector others are compared; with `q`, both count.
    mode: `text` finds by words alone, `vector` by likeness alone, `hybrid` by both and by the graph
        around the best.
    """

    q: Annotated[str, Meta(max_length=256)] = ""
    like: EntityId | None = None
    mode: Literal["hybrid", "text", "vector"] = "hybrid"
    type: AskedType | None = None
    tag: list[AskedTag] = []
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    cursor: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None


class Ranks(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which place an entity has in each of the lists that were fused; the first is 1."""

    text: int | None = None
    vector: int | None = None
    graph: int | None = None


class Parts(msgspec.Struct, frozen=True):
    """What each list adds to a score.

    exact: what the id, the name or an alias adds that is just what was asked for.
    """

    exact: float = 0.0
    text: float = 0.0
    vector: float = 0.0
    graph: float = 0.0


class Hit(Entity, frozen=True, kw_only=True):
    """An entity that was found, and why it stands where it does.

    score: the sum of `parts`; null where nothing ranks it: in a list without words, and behind the
        best of very many matches.
    """

    score: float | None
    parts: Parts
    ranks: Ranks


class Facets(msgspec.Struct, frozen=True):
    """How the entities that were found fall into types and tags, the largest first.

    complete: whether all of them were counted.
    """

    type: tuple[Count, ...]
    tag: tuple[Count, ...]
    complete: bool


class Found(msgspec.Struct, frozen=True):
    """The best matches.

    total: how many there are on all pages.
    facets: of all pages; given with the first.
    pending: the tenant's entities whose vectors are not made yet; by words they are found already.
    degraded: what the search had to do without: `vector`, `graph`.
    """

    items: tuple[Hit, ...]
    total: int
    facets: Facets | None
    next_cursor: str | None
    pending: int = 0
    degraded: tuple[str, ...] = ()


class Link(msgspec.Struct, frozen=True):
    """An edge of the knowledge graph between two entities."""

    source: str
    type: str
    target: str


class Wanted(msgspec.Struct, frozen=True):
    """How many recommendations."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 10


class Reason(msgspec.Struct, frozen=True):
    """One path from an entity to another.

    path: the entity, what leads on (`tag:x`, an edge's type, a common neighbour), and the other. An
        edge that points against the path is written `<-type-`.
    weight: how much it counts within its part.
    edges: those of the path, in its order, each from its real source to its real target.
    """

    kind: Literal["shared_tag", "edge", "shared_neighbour", "similar_text"]
    path: tuple[str, ...]
    weight: float
    edges: tuple[Link, ...] = ()


class RecommendedParts(msgspec.Struct, frozen=True):
    """What speaks for an entity, each from 0 to 1 times its share: tags, graph, text."""

    tags: float
    graph: float
    text: float


class Recommendation(msgspec.Struct, frozen=True):
    """An entity that is like another.

    score: 0 to 1, the sum of `parts`.
    because: the ways that lead to it, the weightiest first.
    """

    entity: Entity
    score: float
    parts: RecommendedParts
    because: tuple[Reason, ...]


class Recommendations(msgspec.Struct, frozen=True):
    """What is like an entity, the most alike first.

    degraded: what it had to do without: `vector`, `graph`.
    """

    entity_id: str
    items: tuple[Recommendation, ...]
    degraded: tuple[str, ...] = ()
