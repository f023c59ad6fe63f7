"""Reciprocal rank fusion (Cormack, Clarke and Buettcher 2009): one order out of several lists.

Scores of different kinds cannot be added; ranks can. Each list gives its r-th entity 1 / (60 + r),
and the sums decide. What the graph adds counts half: a neighbour of a good match is one less sure.
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


class Ranked(msgspec.Struct, frozen=True):
    """An entity's number and its rank in each list, 0 where it is not in it."""

    number: int
    text: int = 0
    vector: int = 0
    graph: int = 0

    def parts(self) -> Parts:
        """Tell what each list adds."""
        return Parts(_part(self.text), _part(self.vector), round(GRAPH * _part(self.graph), 6))

    def ranks(self) -> Ranks:
        """Tell the ranks."""
        return Ranks(self.text or None, self.vector or None, self.graph or None)

    def score(self) -> float:
        """Sum up the parts.

        >>> Ranked(7, text=1, vector=2).score()
        0.032522
        """
        parts = self.parts()
        return round(parts.text + parts.vector + parts.graph, 6)


def fuse(
    text: Iterable[int], vector: Iterable[int] = (), graph: Iterable[int] = ()
) -> list[Ranked]:
    """Fuse lists of numbers; of two with the same score the younger comes first.

    >>> [one.number for one in fuse([1, 2], [2, 3])]
    [2, 1, 3]
    """
    by_text, by_vector, by_graph = _ranks(text), _ranks(vector), _ranks(graph)
    fused = [
        Ranked(number, by_text.get(number, 0), by_vector.get(number, 0), by_graph.get(number, 0))
        for number in by_text | by_vector | by_graph
    ]
    fused.sort(key=lambda one: (-one.score(), -one.number))
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
