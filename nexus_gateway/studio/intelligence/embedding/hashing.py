"""Vectors without a model: words and their parts, hashed into 256 dimensions.

Each word of a text, and each run of three and of four letters in it, adds to a dimension that its
hash names, up or down as its hash says (feature hashing, Weinberger et al. 2009). Texts that share
words are near each other; so are texts whose words share a stem, or differ by a slip of a finger.
Synonyms are not: that takes a model.

There is no corpus to count in, so a word weighs by what tells its rarity from itself: short words
are common ones (Zipf's law of abbreviation), and a list names those that say nothing. How often a
text has a word makes no difference. The first line, which names the thing, counts three times.

All of a batch is reckoned at once, as arrays over its letters: about 50 us for a text of 300.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from nexus_gateway.studio.intelligence.embedding.local import DIMENSIONS
from nexus_gateway.studio.intelligence.embedding.quantize import signed_bytes
from nexus_gateway.studio.intelligence.search.analyser import fold, without_urls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


TITLE = 3.0
"""How much the first line counts."""
PARTS = 1.2
"""How much all parts of a word count together, beside the word itself."""
EMPTY_WORDS = (
    "a an and are as at be by can do does for from has have how if in into is it its no not of on"
    " one or other our out so some such that the their there these they this to up use used uses"
    " using via was we what when which who will with you your"
)
TURNS = 8
"""Dimensions of a word: two words that share one by chance differ in the others."""
_EMPTY = 0.15
"""How much a word counts that says nothing."""

_PRIME = np.uint64(0x9E3779B97F4A7C15)
_FACTOR = np.uint64(0xBF58476D1CE4E5B9)
_WORD = re.compile(r"[^\W_]+")


def embed(texts: Sequence[str]) -> list[bytes]:
    """Make a vector of each text, a signed byte for each dimension."""
    return signed_bytes(vectors(texts))


def vectors(texts: Sequence[str]) -> NDArray[np.float64]:
    """Make a vector of each text: texts x dimensions."""
    letters, owners, title = _letters(texts)
    starts, ends = _words(letters)
    if not len(starts):
        return np.zeros((len(texts), DIMENSIONS))
    hashes = _hash_words(letters, starts, ends)
    lengths = ends - starts
    weights = _weigh(hashes, lengths) * np.where(title[starts], TITLE, 1.0)
    parts = [
        _cells(_mix(hashes + np.uint64(turn)), owners[starts], weights / np.sqrt(TURNS))
        for turn in range(TURNS)
    ]
    word_of = np.repeat(np.arange(len(starts)), lengths)
    inner = np.flatnonzero(letters != 0)
    for size in (3, 4):
        found, of = _runs(letters, inner, word_of, size)
        share = weights[of] * (PARTS / np.sqrt(2 * lengths[of]))
        parts.append(_cells(found, owners[starts[of]], share))
    summed = np.bincount(
        np.concatenate([cells for cells, _ in parts]),
        weights=np.concatenate([amounts for _, amounts in parts]),
        minlength=len(texts) * DIMENSIONS,
    )
    return summed.astype(np.float64).reshape(len(texts), DIMENSIONS)


def _letters(
    texts: Sequence[str],
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.bool_]]:
    """Lay all texts out as code points, zero between words; whose each is, and whether of a title.

    Three zeros end a text, so that no run reaches beyond the arrays' ends.
    """
    plain = [_plain(text) for text in texts]
    joined = "\0\0\0" + "".join(f"{text}\0\0\0" for text in plain)
    points = np.frombuffer(joined.encode("utf-32-le", "replace"), np.uint32).astype(np.uint64)
    lengths = np.array([len(text) + 3 for text in plain])
    owners = np.concatenate(([0, 0, 0], np.repeat(np.arange(len(texts)), lengths)))
    heads = [text.index("\n") for text in plain]
    begins = 3 + np.concatenate(([0], np.cumsum(lengths)[:-1]))
    title = np.arange(len(points)) < (begins + np.array(heads))[owners]
    return np.where(points > 32, points, np.uint64(0)), owners, title


def _plain(text: str) -> str:
    """Fold a text, without its URLs; each word once, in the lines where they are."""
    plain = fold(without_urls(text))
    title, _, body = plain.partition("\n")
    seen = dict.fromkeys(_WORD.findall(title))
    rest = (word for word in dict.fromkeys(_WORD.findall(body)) if word not in seen)
    return f"{' '.join(seen)}\n{' '.join(rest)}"


def _words(letters: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tell where words begin and end."""
    edges = np.diff((letters != 0).astype(np.int8))
    return np.flatnonzero(edges == 1) + 1, np.flatnonzero(edges == -1) + 1


def _hash_words(
    letters: NDArray[np.uint64], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """Hash each word as a whole."""
    lengths = ends - starts
    inner = letters[letters != 0]
    first = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    place = np.arange(len(inner)) - np.repeat(first, lengths)
    mixed = _mix(inner * _PRIME + place.astype(np.uint64) * _FACTOR)
    return _mix(np.add.reduceat(mixed, first))


def _runs(
    letters: NDArray[np.uint64], inner: NDArray[np.int64], word_of: NDArray[np.int64], size: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Hash each run of letters in a word, its edges counted as letters; and whose each is."""
    # A run is named by its second letter: the first may be the edge before the word.
    middle = letters[inner]
    for offset in range(1, size - 2):
        middle = np.where(letters[inner + offset] != 0, middle, np.uint64(0))
    whole = middle != 0
    places = inner[whole] - 1
    hashed = np.zeros(len(places), np.uint64)
    for offset in range(size):
        hashed = hashed * _PRIME + letters[places + offset] + np.uint64(1)
    return _mix(hashed * _PRIME + np.uint64(size)), word_of[whole]


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread what tells values apart over all their bits (the last steps of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * _FACTOR
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _weigh(hashes: NDArray[np.uint64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Guess how rare words are."""
    weights = 0.6 + 0.4 * np.minimum(lengths, 10) / 10
    return np.where(np.isin(hashes, _empty_words()), _EMPTY, weights)


def _empty_words() -> NDArray[np.uint64]:
    letters, _, _ = _letters([EMPTY_WORDS])
    return _hash_words(letters, *_words(letters))


def _cells(
    hashes: NDArray[np.uint64], owners: NDArray[np.int64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Tell which cell of texts x dimensions each feature adds to, and how much."""
    dimensions = (hashes % np.uint64(DIMENSIONS)).astype(np.int64)
    signs = np.where(hashes >> np.uint64(63), 1.0, -1.0)
    return owners * DIMENSIONS + dimensions, signs * weights
