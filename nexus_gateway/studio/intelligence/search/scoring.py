"""How well an entity answers a query, computed here so that both databases rank alike.

A database finds what has the terms; which of it is best is decided by this, for a bounded number of
candidates. What the names say counts most, and the more of a name a query is, the better.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.intelligence.search.analyser import BOUNDARY, Phrase, key
from nexus_gateway.studio.intelligence.search.document import document, names_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nexus_gateway.studio.intelligence.models import Entity

_NAME, _TAG, _BODY = 8.0, 3.0, 2.0
"""What a phrase counts in each field."""
_COVERAGE = 6.0
"""What a name counts that is nothing but the query."""
_BEGINNING = 0.6
"""How much the beginning of a word counts beside the whole word."""
_TYPICAL_TERMS = 40
"""Terms of attributes of usual length; occurrences in longer ones count less (as in BM25)."""
_SHARE = 0.6
"""The share of a query's phrases that an entity needs to be similar to it."""
_TYPO_CHARACTERS_MIN, _TWO_TYPOS_CHARACTERS_MIN = 4, 8
"""From which length on a word may have one typo, and two."""


class Asked(msgspec.Struct, frozen=True):
    """A query as it is compared: the text that names are equal to, its key, and its phrases."""

    text: str
    key: str
    phrases: tuple[Phrase, ...]


def exactness(asked: Asked, entity: Entity) -> int:
    """Tell how literally an entity is called what was asked for; 0 where it is not.

    4 is its id, 3 its name or an alias, 2 and 1 the same but for case, marks and spaces.
    """
    if asked.text == entity.entity_id:
        return 4
    if asked.text == entity.name or asked.text in entity.aliases:
        return 3
    if asked.key == key(entity.entity_id):
        return 2
    return int(any(asked.key == key(value) for value in names_of(entity)[1:]))


def best(asked: Asked, candidates: Iterable[tuple[int, Entity]], limit: int) -> list[int]:
    """Rank candidates by their scores; of two with the same the younger comes first."""
    scored = [(-score(asked.phrases, entity), -number) for number, entity in candidates]
    return [-number for _, number in sorted(scored)[:limit]]


def score(phrases: Sequence[Phrase], entity: Entity) -> float:
    """Score one entity that has all phrases."""
    found = document(entity)
    names = [f" {value.strip()} " for value in found.names.split(BOUNDARY)]
    tags, body = f" {found.tags} ", f" {found.body} "
    length = 0.25 + 0.75 * body.count(" ") / _TYPICAL_TERMS
    total = 0.0
    for phrase in phrases:
        total += _NAME * max(_strength(phrase, name) for name in names)
        total += _TAG * _strength(phrase, tags)
        times = _times(phrase, body)
        total += _BODY * times / (times + 1.2 * length)
    return round(total + _COVERAGE * max(_coverage(phrases, name) for name in names), 6)


def similar(phrases: Sequence[Phrase], entity: Entity) -> bool:
    """Tell whether an entity has words that are most of a query's, but for typos."""
    found = document(entity)
    known = set(f"{found.names} {found.tags} {found.body}".split())
    needed = math.ceil(_SHARE * len(phrases))
    return sum(all(_near(term, known) for term in one.terms) for one in phrases) >= needed


def swapped(phrases: Sequence[Phrase]) -> Iterator[tuple[Phrase, ...]]:
    """Give a query again and again, each time with two neighbouring letters of a word swapped.

    >>> from nexus_gateway.studio.intelligence.search.analyser import phrases
    >>> [one[0].terms[0] for one in swapped(phrases("ngnix"))]
    ['gnnix', 'nngix', 'nginx', 'ngnxi']
    """
    for place, phrase in enumerate(phrases):
        for number, term in enumerate(phrase.terms):
            if len(term) < _TYPO_CHARACTERS_MIN:
                continue
            for at in range(len(term) - 1):
                if term[at] != term[at + 1]:
                    right = f"{term[:at]}{term[at + 1]}{term[at]}{term[at + 2 :]}"
                    terms = (*phrase.terms[:number], right, *phrase.terms[number + 1 :])
                    changed = Phrase(terms, phrase.prefix)
                    yield (*phrases[:place], changed, *phrases[place + 1 :])


def _strength(phrase: Phrase, text: str) -> float:
    sought = f" {' '.join(phrase.terms)}"
    if f"{sought} " in text:
        return 1.0
    return _BEGINNING if phrase.prefix and sought in text else 0.0


def _times(phrase: Phrase, text: str) -> float:
    """Count occurrences in a text, those of the beginning of a word less."""
    sought = f" {' '.join(phrase.terms)}"
    whole = text.count(f"{sought} ")
    if not phrase.prefix:
        return whole
    return whole + _BEGINNING * (text.count(sought) - whole)


def _coverage(phrases: Sequence[Phrase], name: str) -> float:
    """Tell which share of a name's characters the query is, where all of it is in the name."""
    if not all(_strength(phrase, name) for phrase in phrases):
        return 0.0
    asked = sum(len(term) for phrase in phrases for term in phrase.terms)
    return min(asked / len(name.replace(" ", "")), 1.0)


def _near(term: str, known: set[str]) -> bool:
    if term in known:
        return True
    typos = _typos(term)
    return any(_like(term, other, typos) for other in known)


def _typos(term: str) -> int:
    """Tell how many typos a word may have and still be found."""
    if len(term) < _TYPO_CHARACTERS_MIN:
        return 0
    return 2 if len(term) >= _TWO_TYPOS_CHARACTERS_MIN else 1


def _like(term: str, other: str, typos: int) -> bool:
    if not typos or len(other) < _TYPO_CHARACTERS_MIN:
        return False
    if other.startswith(term):
        return True
    if abs(len(term) - len(other)) > typos or len(set(term) & set(other)) < len(set(term)) - typos:
        return False
    return _distance(term, other) <= typos


def _distance(one: str, other: str) -> int:
    """Count insertions, deletions, substitutions and swaps of neighbours between two words.

    >>> _distance("postgersql", "postgresql"), _distance("nginx", "ngnix"), _distance("a", "abc")
    (1, 1, 2)
    """
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, start=1):
        line = [row]
        for column, wanted in enumerate(other, start=1):
            cost = min(last[column] + 1, line[-1] + 1, last[column - 1] + (letter != wanted))
            swapped = row > 1 and column > 1 and letter == other[column - 2]
            if swapped and one[row - 2] == wanted:
                cost = min(cost, before[column - 2] + 1)
            line.append(cost)
        before, last = last, line
    return last[-1]
