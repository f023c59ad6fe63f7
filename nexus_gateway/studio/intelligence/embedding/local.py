"""The embedder that needs no model and no network; the default."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

DIMENSIONS = 256


class HashedWords:
    """Makes vectors by `hashing`: the same everywhere and always."""

    model = f"hashed-words-{DIMENSIONS}-2"
    # Of 100,000 unrelated texts hardly one is this near to a given one by chance.
    floor = 0.3
    lexical = True
    batch = 1000

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        """Make a vector of each text."""
        return await asyncio.to_thread(_embed, texts)

    def close(self) -> None:
        """Let go of nothing."""


def _embed(texts: Sequence[str]) -> list[bytes]:
    # numpy takes 30 MB: it is imported where entities are.
    from nexus_gateway.studio.intelligence.embedding.hashing import embed

    return embed(texts)
