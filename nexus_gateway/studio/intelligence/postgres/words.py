"""Terms as PostgreSQL stores and looks them up; its own parsers and dictionaries are not used.

Terms come from the analyser that both databases share. They are written as a `tsvector` by
themselves, since a parser would cut `c++` and split scripts by the server's locale.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from nexus_gateway.studio.intelligence.search.document import document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_gateway.studio.intelligence.models import Entity
    from nexus_gateway.studio.intelligence.search.analyser import Phrase

_LAST_POSITION = 16_383
_GAP = 16
"""Positions between two fields, so that no phrase reaches from one into the next."""


def vector(entity: Entity) -> str:
    """Write an entity's terms as a `tsvector`: names weigh A, tags B, keys C, attributes D."""
    found = document(entity)
    places: defaultdict[str, list[str]] = defaultdict(list)
    position = 0
    fields = ((found.names, "A"), (found.tags, "B"), (found.keys, "C"), (found.body, ""))
    for terms, weight in fields:
        for term in terms.split():
            position = min(position + 1, _LAST_POSITION)
            places[term].append(f"{position}{weight}")
        position += _GAP
    # A tsvector keeps the first 255 places of a term by itself.
    return " ".join(f"{_quoted(term)}:{','.join(found)}" for term, found in places.items())


def question(phrases: Sequence[Phrase], *, weights: str = "") -> str:
    """Write phrases as a `tsquery` that needs all of them.

    weights: of those places only, as `vector` gives them.

    >>> from nexus_gateway.studio.intelligence.search.analyser import phrases
    >>> question(phrases("python3 and x-y"))
    "'python3' & 'and' & ('x' <-> 'y':*)"
    """
    return " & ".join(_phrase(phrase, weights) for phrase in phrases)


def exactly(key: str) -> str:
    """Write a key as a `tsquery`."""
    return f"{_quoted(key)}:C"


def _phrase(phrase: Phrase, weights: str) -> str:
    labels = [weights] * len(phrase.terms)
    labels[-1] += "*" if phrase.prefix else ""
    terms = [
        _quoted(term) + (label and f":{label}")
        for term, label in zip(phrase.terms, labels, strict=True)
    ]
    return terms[0] if len(terms) == 1 else f"({' <-> '.join(terms)})"


def _quoted(term: str) -> str:
    escaped = term.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def plain(text: str) -> str:
    """Replace NUL, which PostgreSQL takes in no text, by what none has: nothing is found."""
    return text.replace("\0", "\1")
