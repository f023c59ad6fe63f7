"""What makes vectors of texts, whichever it is, and what text stands for an entity.

A vector is kept as one signed byte for each dimension: scaled so that the largest component is 127,
which loses less than a hundredth of a cosine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nexus_gateway.studio.intelligence.models import Entity

BODY = 512
"""Characters of an entity's attributes that its vector is made of."""

_attributes_of = msgspec.json.Decoder()


class EmbeddingUnavailable(Exception):  # noqa: N818 - what is said, not what failed
    """Say that no vectors are made now; later there may be."""


class Embedder(Protocol):
    """Makes vectors of texts."""

    @property
    def model(self) -> str:
        """Name what makes them; vectors of different models are never compared."""
        ...

    @property
    def floor(self) -> float:
        """Give the least cosine that says more than chance."""
        ...

    @property
    def batch(self) -> int:
        """Give how many texts it takes at once."""
        ...

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        """Make a vector of each text, a signed byte for each dimension; empty texts have one too.

        Raises:
            EmbeddingUnavailable: not now.
        """
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


def text_of(entity: Entity) -> str:
    """Write an entity as a text; what names it is the first line.

    What a provider's model reads is this text, so a change of it is a change of the model.
    """
    title = entity.name or entity.entity_id
    words: list[str] = []
    _collect(_attributes_of.decode(entity.attributes), words)
    body = " ".join(words)[:BODY]
    lines = (title, entity.entity_type, " ".join((*entity.tags, *entity.aliases)), body)
    return "\n".join(line for line in lines if line)


def _collect(value: object, words: list[str]) -> None:
    """Collect the texts within a JSON value; numbers and keys say little."""
    if isinstance(value, str):
        words.append(value)
    elif isinstance(value, dict):
        _collect_each(cast("dict[str, object]", value).values(), words)
    elif isinstance(value, list):
        _collect_each(cast("list[object]", value), words)


def _collect_each(values: Iterable[object], words: list[str]) -> None:
    for value in values:
        _collect(value, words)
