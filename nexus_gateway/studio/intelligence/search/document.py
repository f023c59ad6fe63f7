"""What an entity is found by: the terms of its fields, the same for both databases.

Each database stores these terms, and the ranking of a search reads them again of the candidates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.intelligence.attributes import words_of
from nexus_gateway.studio.intelligence.search.analyser import BETWEEN, joined_terms, key, terms

if TYPE_CHECKING:
    from nexus_gateway.studio.intelligence.models import Entity

BODY_CHARACTERS_MAX = 4096
"""Characters of an entity's attributes that search reads."""


class Document(msgspec.Struct, frozen=True):
    """The terms of an entity, a space between two.

    keys: what its id, name and aliases are compared by as a whole.
    names: terms of its id, name and aliases, a boundary between two.
    """

    keys: str
    names: str
    tags: str
    body: str


def document(entity: Entity) -> Document:
    """Analyse an entity.

    The texts of its attributes count as far as `BODY_CHARACTERS_MAX`; numbers and the names of
    attributes do not.
    """
    values = names_of(entity)
    return Document(
        keys=" ".join(dict.fromkeys([key(value) for value in values])),
        names=BETWEEN.join([terms(value) for value in values]),
        tags=joined_terms(entity.tags),
        body=terms(words_of(entity.attributes, BODY_CHARACTERS_MAX)),
    )


def names_of(entity: Entity) -> tuple[str, ...]:
    """Give all that an entity is called: its id, its name, its aliases."""
    if entity.name is None or entity.name == entity.entity_id:
        return (entity.entity_id, *entity.aliases)
    return (entity.entity_id, entity.name, *entity.aliases)
