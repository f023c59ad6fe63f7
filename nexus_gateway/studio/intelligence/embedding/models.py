"""What makes vectors of texts, whichever it is, and what text stands for an entity.

A vector is kept as one signed byte for each dimension: scaled so that the largest component is 127,
which loses less than a hundredth of a cosine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from nexus_gateway.studio.intelligence.attributes import words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_gateway.studio.intelligence.models import Entity

BODY = 512
"""Characters of an entity's attributes that its vector is made of."""


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
    def lexical(self) -> bool:
        """Tell whether vectors compare letters; what they find is then checked for typos."""
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
    body = words_of(entity.attributes, BODY)
    lines = (title, entity.entity_type, " ".join((*entity.tags, *entity.aliases)), body)
    return "\n".join(line for line in lines if line)
