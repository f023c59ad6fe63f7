"""Reciprocal rank fusion (Cormack, Clarke and Buettcher 2009): one order out of several lists.

Scores of different kinds cannot be added; ranks can. Each list gives its r-th entity 1 / (60 + r),
and the sums decide. What the graph adds counts half: a neighbour of a good match is one less sure.
What is called exactly what was asked for comes before all: the r-th of it gets 1 / r.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.intelligence.search.models import Parts, Ranks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

K = 60
"""The constant of the paper: how little the very first ranks stand out."""
GRAPH = 0.5
"""How much a rank in the graph's list counts beside one in the others."""

EXACT_MAX = 20
"""Entities that come first since they are called exactly what was asked for."""


class Ranked(msgspec.Struct, frozen=True):
    """An entity's number and its rank in each list, 0 where it is not in it."""

    number: int
    text: int = 0
    vector: int = 0
    graph: int = 0
    exact: int = 0

    def parts(self) -> Parts:
        """Tell what each list adds."""
        return Parts(
            exact=round(1 / self.exact, 6) if self.exact else 0.0,
            text=_part(self.text),
            vector=_part(self.vector),
            graph=round(GRAPH * _part(self.graph), 6),
        )

    def ranks(self) -> Ranks:
        """Tell the ranks."""
        return Ranks(self.text or None, self.vector or None, self.graph or None)

    def score(self) -> float:
        """Sum up the parts.

        >>> Ranked(7, text=1, vector=2).score()
        0.032522
        """
        parts = self.parts()
        return round(parts.exact + parts.text + parts.vector + parts.graph, 6)


def fuse(
    text: Iterable[int],
    vector: Iterable[int] = (),
    graph: Iterable[int] = (),
    *,
    exact: Iterable[int] = (),
) -> list[Ranked]:
    """Fuse lists of numbers; of two with the same score the younger comes first.

    >>> [one.number for one in fuse([1, 2], [2, 3])]
    [2, 1, 3]
    """
    lists = [_ranks(numbers) for numbers in (text, vector, graph, exact)]
    together: dict[int, int] = {}
    for ranks in lists:
        together |= ranks
    fused = [Ranked(number, *(ranks.get(number, 0) for ranks in lists)) for number in together]
    # The rank decides between exact ones: the other parts may be worth more than the next 1 / r.
    fused.sort(key=lambda one: (one.exact or EXACT_MAX + 1, -one.score(), -one.number))
    return fused


def around(
    best: Sequence[int], links: Iterable[tuple[int, int]], ties: Mapping[int, float]
) -> list[int]:
    """Rank what lies around the best: by its links to them, each counting by the rank of its end.

    links: pairs of numbers that an edge joins.
    ties: what shares tags with the best, and how much of their weight.
    """
    ranks = _ranks(best)
    sums = {number: weight / K for number, weight in ties.items()}
    for pair in set(links):
        for end, other in (pair, pair[::-1]):
            if end in ranks and other != end:
                sums[other] = sums.get(other, 0.0) + _part(ranks[end])
    return sorted(sums, key=lambda number: (-sums[number], -number))


def _part(rank: int) -> float:
    return round(1 / (K + rank), 6) if rank else 0.0


def _ranks(numbers: Iterable[int]) -> dict[int, int]:
    return {number: rank for rank, number in enumerate(numbers, start=1)}
