"""Words as PostgreSQL keeps and asks for them, cut here so that both engines find the same.

SQLite's FTS5 cuts texts into runs of letters and digits, in lower case and without marks; so does
this, whatever language and extensions the server has. The last word of a search may be a beginning.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from typing import TYPE_CHECKING

from nexus_gateway.studio.intelligence.attributes import words_of

if TYPE_CHECKING:
    from nexus_gateway.studio.intelligence.models import Entity

BODY = 4096
"""Characters of an entity's attributes that search sees."""
WORDS = 16
"""Words of a search that count; the rest is left out."""
_LONGEST = 200
"""Characters of a word that count: PostgreSQL refuses words of 2 kB."""
_LAST_POSITION = 16_383
_GAP = 16
"""Between two fields, so that no phrase reaches from one into the next."""
_WORD = re.compile(r"[^\W_]+")


def vector(entity: Entity) -> str:
    """Write an entity's words as a `tsvector`: id and name weigh A, tags B, attributes D."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    position = 0
    attributes = words_of(entity.attributes, BODY)
    fields = (
        (" ".join((entity.entity_id, *entity.aliases)), "A"),
        (entity.name or "", "A"),
        (" ".join(entity.tags), "B"),
        (attributes, ""),
    )
    for text, weight in fields:
        for word in cut(text):
            position = min(position + 1, _LAST_POSITION)
            places[word].append(f"{position}{weight}")
        position += _GAP
    # A tsvector keeps the first 255 places of a word by itself.
    return " ".join(f"'{word}':{','.join(found)}" for word, found in places.items())


def question(text: str, *, weights: str = "") -> str | None:
    """Write a search as a `tsquery`: every word is needed, the last as a beginning.

    None where there is no letter and no digit in it.

    weights: of those places only, as `vector` gives them.

    >>> question("python3 AND x:Y")
    "'python3' & 'and' & ('x' <-> 'y':*)"
    """
    phrases = [phrase for word in text.split() if (phrase := cut(word))][:WORDS]
    if not phrases:
        return None
    quoted = [[f"'{word}'{weights and f':{weights}'}" for word in phrase] for phrase in phrases]
    quoted[-1][-1] += "*" if weights else ":*"
    return " & ".join(
        phrase[0] if len(phrase) == 1 else f"({' <-> '.join(phrase)})" for phrase in quoted
    )


def cut(text: str) -> list[str]:
    """Cut a text into words: letters and digits, in lower case, without marks.

    >>> cut("Café_au-lait 2")
    ['cafe', 'au', 'lait', '2']
    """
    plain = text
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return [word[:_LONGEST] for word in _WORD.findall(plain.lower())]


def plain(text: str) -> str:
    r"""Replace what PostgreSQL takes in no text by what none of ours has, so that nothing is found.

    >>> plain("a\\0")
    'a\\x01'
    """
    return text.replace("\0", "\1")
