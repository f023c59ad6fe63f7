"""Recommendations: how much it says that two entities share a tag.

A tag that few entities have says more than one that most have, so each counts by its inverse
document frequency. The score is the share of an entity's own tag weight that the other one has too.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from nexus_gateway.studio.intelligence.models import Recommendation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexus_gateway.studio.intelligence.models import Entity


def weigh(totals: Mapping[str, int], count: int) -> dict[str, float]:
    """Weigh an entity's tags so that they make 1 together.

    Args:
        totals: how many entities have each tag.
        count: how many entities there are.

    >>> weigh({"rare": 1, "common": 100}, 100)
    {'rare': 0.869421, 'common': 0.130579}
    """
    raw = {tag: math.log1p(count / total) for tag, total in totals.items()}
    whole = sum(raw.values())
    return {tag: round(weight / whole, 6) for tag, weight in raw.items()}


def explain(other: Entity, weights: Mapping[str, float]) -> Recommendation:
    """Say why an entity is recommended, by the tags that it shares."""
    shared = [(weights[tag], tag) for tag in other.tags if tag in weights]
    shared.sort(key=lambda pair: (-pair[0], pair[1]))
    return Recommendation(
        entity=other,
        score=round(math.fsum(weight for weight, _ in shared), 6),
        parts={tag: weight for weight, tag in shared},
        because=tuple(tag for _, tag in shared),
    )
