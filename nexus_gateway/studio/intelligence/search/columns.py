"""Columns of the catalogue: names as codes, and lists of tags one after another in one array."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from nexus_gateway.studio.intelligence.models import Count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_Kind = TypeVar("_Kind", bound=np.generic)

_CODES = 4096
UNKNOWN = -1
"""The code of a name that no entity has."""


def grown(column: NDArray[_Kind], rows: int) -> NDArray[_Kind]:
    """Copy a column into a longer one."""
    longer = np.zeros((rows, *column.shape[1:]), column.dtype)
    longer[: len(column)] = column
    return longer


class Names:
    """Names and their codes, which are never given up."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        self._names: list[str] = []

    def code(self, name: str) -> int:
        """Give a name's code, a new one for a new name."""
        code = self._codes.setdefault(name, len(self._names))
        if code == len(self._names):
            self._names.append(name)
        return code

    def known(self, name: str) -> int:
        """Give a name's code, or `UNKNOWN`."""
        return self._codes.get(name, UNKNOWN)

    def name(self, code: int) -> str:
        """Give the name of a code."""
        return self._names[code]

    def counted(self, totals: NDArray[np.int64], limit: int) -> tuple[Count, ...]:
        """Tell counts by code as counts by name, the largest first."""
        found = np.flatnonzero(totals)
        if len(found) > limit:
            least = np.partition(totals[found], -limit)[-limit]
            found = found[totals[found] >= least]
        counts = [Count(self._names[code], int(totals[code])) for code in found.tolist()]
        counts.sort(key=lambda one: (-one.count, one.value))
        return tuple(counts[:limit])


class TagLists:
    """The tags of entities by place: all codes in one array, and beside each whose it is.

    A list that changes is written anew at the end, and its old codes become `UNKNOWN`; when the
    array is full, they are left out.
    """

    def __init__(self) -> None:
        self._names = Names()
        self._starts = np.zeros(0, np.int64)
        self._lengths = np.zeros(0, np.int16)
        self._codes = np.zeros(_CODES, np.int32)
        self._owners = np.zeros(_CODES, np.int32)
        self._used = 0
        self._totals: Counter[str] = Counter()

    @property
    def size(self) -> int:
        """Bytes that they take, but for the names."""
        return 2 * self._codes.nbytes + self._starts.nbytes + self._lengths.nbytes

    def extend(self, count: int) -> None:
        """Have places up to a count."""
        if count > len(self._starts):
            rows = max(count, 2 * len(self._starts))
            self._starts, self._lengths = grown(self._starts, rows), grown(self._lengths, rows)

    def reorder(self, order: NDArray[np.int64]) -> None:
        """Move places: where `order[i]` was, `i` is."""
        self._starts[: len(order)] = self._starts[: len(order)][order]
        self._lengths[: len(order)] = self._lengths[: len(order)][order]
        moved = np.empty(len(order), np.int32)
        moved[order] = np.arange(len(order), dtype=np.int32)
        self._owners[: self._used] = moved[self._owners[: self._used]]

    def set(self, place: int, tags: Sequence[str]) -> None:
        """Replace the tags of a place."""
        length = int(self._lengths[place])
        if length:
            start = int(self._starts[place])
            for code in self._codes[start : start + length].tolist():
                self._totals[self._names.name(code)] -= 1
            self._codes[start : start + length] = UNKNOWN
            self._lengths[place] = 0
        if self._used + len(tags) > len(self._codes):
            self._pack(len(tags))
        end = self._used + len(tags)
        self._codes[self._used : end] = [self._names.code(tag) for tag in tags]
        self._owners[self._used : end] = place
        self._starts[place] = self._used
        self._lengths[place] = len(tags)
        self._used = end
        self._totals.update(tags)

    def having(self, places: NDArray[np.int64], tag: str) -> NDArray[np.bool_]:
        """Tell which of the places have a tag."""
        code = self._names.known(tag)
        if code == UNKNOWN:
            return np.zeros(len(places), np.bool_)
        have = np.zeros(len(self._starts), np.bool_)
        have[self._owners[: self._used][self._codes[: self._used] == code]] = True
        return have[places]

    def counted(self, places: NDArray[np.int64], limit: int) -> tuple[Count, ...]:
        """Count places by tag, the largest first."""
        return self._names.counted(np.bincount(self._gathered(places)), limit)

    def totals(self, place: int) -> dict[str, int]:
        """Tell how many places have each tag of one."""
        own = self._gathered(np.array([place])).tolist()
        return {name: self._totals[name] for name in map(self._names.name, own)}

    def weighed(self, weights: dict[str, float]) -> NDArray[np.float64]:
        """Sum up, for each place, the weights of the tags that it has."""
        sums = np.zeros(len(self._starts))
        codes, owners = self._codes[: self._used], self._owners[: self._used]
        for tag, weight in weights.items():
            code = self._names.known(tag)
            if code != UNKNOWN:
                sums[owners[codes == code]] += weight
        return sums

    def _gathered(self, places: NDArray[np.int64]) -> NDArray[np.int32]:
        """Give the codes of all tags of places."""
        lengths = self._lengths[places].astype(np.int64)
        first = np.cumsum(lengths) - lengths
        starts = np.repeat(self._starts[places] - first, lengths)
        return self._codes[starts + np.arange(len(starts))]

    def _pack(self, more: int) -> None:
        """Leave out what changed lists left behind, and make room for more codes."""
        kept = np.flatnonzero(self._codes[: self._used] != UNKNOWN)
        codes, owners = self._codes[kept], self._owners[kept]
        rows = len(self._codes)
        while len(kept) + more > rows // 2:
            rows *= 2
        self._codes, self._owners = grown(codes, rows), grown(owners, rows)
        self._used = len(kept)
        # A list stays together, so it begins where its owner is met first.
        first = np.flatnonzero(np.diff(owners, prepend=-1))
        self._starts[owners[first]] = first
