"""Ways through a graph, one level at a time: how far nodes are, and how one comes to another.

A level is one statement of the store, however many nodes it starts from; what is kept between is
bounded by `VISITS`, and time by the caller's deadline.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import TypeAlias

import msgspec

from nexus_gateway.studio.knowledge_graph.models import Direction

Step: TypeAlias = Callable[[Collection[str], Direction], Awaitable[list[tuple[str, str]]]]
"""Takes one step from each node in a direction: pairs of where from and where to."""

VISITS = 100_000
"""Nodes that one walk may come to."""
TRIES = 500_000
"""Steps that the search for all ways may try."""

_BACK: dict[Direction, Direction] = {"out": "in", "in": "out", "both": "both"}


class Reach(msgspec.Struct, frozen=True):
    """How far each node is from where the walk began, which is left out; the nearest first."""

    distances: dict[str, int]
    truncated: bool


async def reach(start: str, step: Step, direction: Direction, depth: int) -> Reach:
    """Go from a node up to `depth` steps."""
    distances = {start: 0}
    frontier = [start]
    for distance in range(1, depth + 1):
        pairs = await step(frontier, direction)
        frontier = sorted({end for _, end in pairs} - distances.keys())
        space = VISITS - len(distances)
        distances.update((name, distance) for name in frontier[:space])
        if len(frontier) > space:
            return Reach(_without(distances, start), truncated=True)
        if not frontier:
            break
    return Reach(_without(distances, start), truncated=False)


class Found(msgspec.Struct, frozen=True):
    """Ways as the ids along them."""

    ways: list[tuple[str, ...]]
    truncated: bool = False


class Side:
    """One end of a search from both ends: which nodes it came to, and from where."""

    def __init__(self, start: str, direction: Direction) -> None:
        self.direction: Direction = direction
        self.frontier: list[str] = [start]
        self.seen: dict[str, tuple[str, ...]] = {start: ()}
        self.links: set[tuple[str, str]] = set()

    async def grow(self, step: Step) -> None:
        """Go one level further."""
        pairs = await step(self.frontier, self.direction)
        self.links.update(pairs)
        reached: dict[str, list[str]] = {}
        for origin, end in pairs:
            if end not in self.seen:
                reached.setdefault(end, []).append(origin)
        self.frontier = sorted(reached)
        self.seen.update((end, tuple(sorted(origins))) for end, origins in reached.items())


async def shortest(source: str, target: str, step: Step, direction: Direction, depth: int) -> Found:
    """Find one of the shortest ways, the same each time, growing the smaller side."""
    if source == target:
        return Found([(source,)])
    forward, backward = Side(source, direction), Side(target, _BACK[direction])
    for _ in range(depth):
        side = min((forward, backward), key=lambda one: len(one.frontier))
        await side.grow(step)
        met = [name for name in side.frontier if _seen_by_both(name, forward, backward)]
        if met:
            name = met[0]
            there = _trace(name, forward)[::-1] + _trace(name, backward)[1:]
            return Found([tuple(there)])
        if len(forward.seen) + len(backward.seen) > VISITS:
            return Found([], truncated=True)
        if not side.frontier:
            break
    return Found([])


async def simple_ways(
    source: str, target: str, step: Step, direction: Direction, depth: int, limit: int
) -> Found:
    """Find all ways that meet no node twice, the shortest first.

    Each way of at most `depth` steps begins within what the one side sees and ends within what the
    other does, so both together hold all of its links.
    """
    if source == target:
        return Found([(source,)])
    forward, backward = Side(source, direction), Side(target, _BACK[direction])
    for _ in range(depth):
        side = min((forward, backward), key=lambda one: len(one.frontier) or VISITS)
        await side.grow(step)
        if len(forward.seen) + len(backward.seen) > VISITS:
            return Found([], truncated=True)
    links = forward.links | {(end, origin) for origin, end in backward.links}
    search = _Search(links, source, target)
    ways: list[tuple[str, ...]] = []
    for length in range(1, depth + 1):
        for way in search.of_length(length):
            if len(ways) == limit:
                return Found(ways, truncated=True)
            ways.append(way)
    return Found(ways, truncated=search.spent > TRIES)


class _Search:
    """Tries links from the source on, never further than the target can still be reached."""

    def __init__(self, links: set[tuple[str, str]], source: str, target: str) -> None:
        self.spent = 0
        self._source = source
        self._target = target
        self._next: dict[str, list[str]] = {}
        back: dict[str, list[str]] = {}
        for origin, end in sorted(links):
            self._next.setdefault(origin, []).append(end)
            back.setdefault(end, []).append(origin)
        self._left = _distances(back, target)

    def of_length(self, length: int) -> Iterator[tuple[str, ...]]:
        """Yield the ways of exactly so many steps, in the order of their ids."""
        way = [self._source]
        choices = [iter(self._next.get(self._source, ()))]
        while choices:
            end = next(choices[-1], None)
            if end is None:
                choices.pop()
                way.pop()
                continue
            self.spent += 1
            if self.spent > TRIES:
                return
            left = length - len(way)
            if end == self._target:
                if left == 0:
                    yield (*way, end)
            elif end not in way and self._left.get(end, length) <= left:
                way.append(end)
                choices.append(iter(self._next.get(end, ())))


def _distances(back: dict[str, list[str]], target: str) -> dict[str, int]:
    left = {target: 0}
    frontier = [target]
    while frontier:
        found = {name for end in frontier for name in back.get(end, ())} - left.keys()
        left.update((name, left[frontier[0]] + 1) for name in found)
        frontier = list(found)
    return left


def _seen_by_both(name: str, one: Side, other: Side) -> bool:
    return name in one.seen and name in other.seen


def _trace(name: str, side: Side) -> list[str]:
    """Follow a node back to where its side began."""
    way = [name]
    while side.seen[way[-1]]:
        way.append(side.seen[way[-1]][0])
    return way


def _without(distances: dict[str, int], start: str) -> dict[str, int]:
    return {name: distance for name, distance in distances.items() if name != start}
