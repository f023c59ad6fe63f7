"""Recommendations: what is like an entity by its tags, in the graph and by its text; and why.

A tag that few entities have says more than one that most have, so each counts by its inverse
document frequency; the share of an entity's own tag weight that another one has too is its part
`tags`. The part `graph` grows with the edges and the common neighbours that lead to it, the part
`text` is the cosine of the vectors. Each part is weighed by its share in `SHARES`.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from typing import TYPE_CHECKING, Literal

import msgspec

from nexus_gateway.studio.intelligence.embedding.models import EmbeddingUnavailable, text_of
from nexus_gateway.studio.intelligence.search.models import (
    Reason,
    Recommendation,
    Recommendations,
    RecommendedParts,
)
from nexus_gateway.studio.intelligence.search.neighbourhood import ask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nexus_gateway.studio.intelligence.models import Entity
    from nexus_gateway.studio.intelligence.search.catalogue import Catalogue
    from nexus_gateway.studio.intelligence.search.models import Link
    from nexus_gateway.studio.intelligence.search.service import Searches

TAGS, GRAPH, TEXT = SHARES = (0.4, 0.35, 0.25)
"""How much each part counts; together 1."""
DEPTH = 200
"""Entities that each part names."""
NEIGHBOURS = 100
"""Neighbours whose own neighbours are looked at."""
REASONS = 10
"""Reasons that are told of one entity."""
EDGE, COMMON = 0.6, 0.25
"""What an edge, and a common neighbour, leave less to doubt."""


class _Candidate(msgspec.Struct):
    """What speaks for one entity so far."""

    tags: float = 0.0
    text: float = 0.0
    ways: list[Reason] = []


class Recommender:
    """Recommendations of every tenant."""

    def __init__(self, searches: Searches) -> None:
        self._searches = searches

    async def recommend(self, tenant: str, entity: Entity, limit: int) -> Recommendations:
        """Find what is like an entity, the most alike first.

        Raises:
            StorageUnavailable: entities cannot be read.
        """
        degraded: list[str] = []
        catalogue = await self._searches.catalogues.fresh(tenant)
        store = self._searches.store
        own = (await store.numbers_of(tenant, [entity.entity_id])).get(entity.entity_id, 0)
        vector = await self._vector(catalogue, own, entity, degraded)
        weights, shared, near = await asyncio.to_thread(
            _alike, catalogue, own, vector, self._searches.embedder.floor
        )
        links = await self._links(tenant, entity.entity_id, degraded)
        ways = _ways(entity.entity_id, links)
        numbers = await store.numbers_of(tenant, sorted(ways))
        candidates: defaultdict[int, _Candidate] = defaultdict(_Candidate)
        for number, weight in shared:
            candidates[number].tags = weight
        for number, cosine in near:
            if number != own:
                candidates[number].text = cosine
        for entity_id, found in ways.items():
            if entity_id in numbers:
                candidates[numbers[entity_id]].ways = found
        best = sorted(candidates, key=lambda number: (-_score(candidates[number]), -number))
        loaded = await store.numbered(tenant, best[:limit])
        items = (_explained(entity, other, candidates[number], weights) for number, other in loaded)
        return Recommendations(entity.entity_id, tuple(items), tuple(degraded))

    async def _vector(
        self, catalogue: Catalogue, number: int, entity: Entity, degraded: list[str]
    ) -> bytes | None:
        with catalogue.lock:
            vector = catalogue.vector(number)
        if vector is None and catalogue.holds_vectors:
            try:
                vector = (await self._searches.embedder.embed([text_of(entity)]))[0]
            except EmbeddingUnavailable:
                degraded.append("vector")
        elif vector is None:
            degraded.append("vector")
        return vector

    async def _links(self, tenant: str, entity_id: str, degraded: list[str]) -> list[Link]:
        """Tell the edges at an entity, and at its neighbours."""
        around = self._searches.neighbourhood
        first = await ask(around, tenant, [entity_id], degraded)
        ends = {end for link in first for end in (link.source, link.target)} - {entity_id}
        return [*first, *await ask(around, tenant, sorted(ends)[:NEIGHBOURS], degraded)]


def _alike(
    catalogue: Catalogue, number: int, vector: bytes | None, floor: float
) -> tuple[dict[str, float], list[tuple[int, float]], list[tuple[int, float]]]:
    """Weigh an entity's tags; find what shares them, and what has a near vector."""
    with catalogue.lock:
        everything = catalogue.everything()
        weights = weigh(catalogue.tag_totals(number), len(everything))
        shared = catalogue.sharing(weights, number, everything, DEPTH) if weights else []
        near = catalogue.nearest(vector, everything, DEPTH, floor) if vector else []
        return weights, shared, near


def weigh(totals: Mapping[str, int], count: int) -> dict[str, float]:
    """Weigh an entity's tags so that they make 1 together.

    Args:
        totals: how many entities have each tag.
        count: how many entities there are.

    >>> weigh({"rare": 1, "common": 100}, 100)
    {'rare': 0.869421, 'common': 0.130579}
    """
    raw = {tag: math.log1p(count / max(total, 1)) for tag, total in totals.items()}
    whole = sum(raw.values())
    return {tag: round(weight / whole, 6) for tag, weight in raw.items()}


def _ways(entity_id: str, links: Sequence[Link]) -> dict[str, list[Reason]]:
    """Find the paths from an entity along one edge or two, by where they end."""
    ways: defaultdict[str, list[Reason]] = defaultdict(list)
    distinct = sorted(dict.fromkeys(links), key=lambda link: (link.source, link.type, link.target))
    direct: defaultdict[str, list[Link]] = defaultdict(list)
    for link in distinct:
        for end in _other_end(link, entity_id):
            direct[end].append(link)
            ways[end].append(_reason("edge", entity_id, [link], EDGE))
    for link in distinct:
        for middle in (link.source, link.target):
            for end in _other_end(link, middle):
                if middle in direct and end not in (entity_id, middle):
                    edges = [direct[middle][0], link]
                    ways[end].append(_reason("shared_neighbour", entity_id, edges, COMMON))
    return ways


def _reason(
    kind: Literal["edge", "shared_neighbour"], start: str, edges: Sequence[Link], weight: float
) -> Reason:
    """Follow edges from an entity; those that are followed backwards are marked in the path."""
    path = [start]
    for edge in edges:
        forwards = edge.source == path[-1]
        path.append(edge.type if forwards else f"<-{edge.type}-")
        path.append(edge.target if forwards else edge.source)
    return Reason(kind, tuple(path), weight, tuple(edges))


def _other_end(link: Link, end: str) -> Iterable[str]:
    if link.source == end and link.target != end:
        yield link.target
    elif link.target == end and link.source != end:
        yield link.source


def _graph(candidate: _Candidate) -> float:
    """Say how sure the ways make: each leaves less to doubt."""
    return 1 - math.prod(1 - way.weight for way in candidate.ways)


def _parts(candidate: _Candidate) -> RecommendedParts:
    return RecommendedParts(
        round(TAGS * candidate.tags, 6),
        round(GRAPH * _graph(candidate), 6),
        round(TEXT * candidate.text, 6),
    )


def _score(candidate: _Candidate) -> float:
    parts = _parts(candidate)
    return round(parts.tags + parts.graph + parts.text, 6)


def _explained(
    entity: Entity, other: Entity, candidate: _Candidate, weights: Mapping[str, float]
) -> Recommendation:
    """Say why an entity is recommended."""
    start, end = entity.entity_id, other.entity_id
    reasons = [
        Reason("shared_tag", (start, f"tag:{tag}", end), weights[tag])
        for tag in other.tags
        if tag in weights
    ]
    reasons += candidate.ways
    if candidate.text:
        reasons.append(Reason("similar_text", (start, "text", end), candidate.text))
    share = {"shared_tag": TAGS, "similar_text": TEXT}
    reasons.sort(key=lambda one: (-one.weight * share.get(one.kind, GRAPH), one.path))
    return Recommendation(other, _score(candidate), _parts(candidate), tuple(reasons[:REASONS]))
