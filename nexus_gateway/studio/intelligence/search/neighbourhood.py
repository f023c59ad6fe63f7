"""What lies around entities in the knowledge graph, as search asks for it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from nexus_gateway.studio.storage.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_gateway.studio.intelligence.search.models import Link

_logger = logging.getLogger(__name__)

PATIENCE = 0.5
"""Seconds that a search waits for the graph."""


class Neighbourhood(Protocol):
    """Tells the edges at entities. It is another room's; the composition brings them together."""

    async def links(self, tenant: str, ids: Sequence[str]) -> list[Link]:
        """Tell edges that begin or end at any of the ids; a bounded number of them.

        Raises:
            StorageError: the graph does not answer.
        """
        ...


class _None:
    async def links(self, tenant: str, ids: Sequence[str]) -> list[Link]:  # noqa: ARG002
        return []


NONE: Neighbourhood = _None()
"""The neighbourhood where there is no graph."""


async def ask(
    neighbourhood: Neighbourhood, tenant: str, ids: Sequence[str], degraded: list[str]
) -> list[Link]:
    """Ask for the links at entities; where the graph does not answer, note that and do without."""
    if not ids:
        return []
    try:
        async with asyncio.timeout(PATIENCE):
            return await neighbourhood.links(tenant, ids)
    except (TimeoutError, StorageError) as error:
        _logger.warning("search does without the graph: %s", error)
        degraded.append("graph")
        return []
