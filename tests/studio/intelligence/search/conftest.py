"""What tests of search share: vectors made at once, and a graph that a test writes down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nexus_gateway.studio.intelligence.embedding.local import HashedWords
from nexus_gateway.studio.intelligence.models import Draft
from nexus_gateway.studio.intelligence.search.indexer import Indexer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nexus_gateway.studio.intelligence.search.store import SearchStore


@pytest.fixture
def index(finder: SearchStore) -> Callable[[], Awaitable[None]]:
    """Make all vectors that are to be made, by the indexer's own hand."""

    async def refresh(_tenants: set[str]) -> None: ...

    return Indexer(finder, HashedWords(), refresh).work


@pytest.fixture
def drafts() -> tuple[Draft, ...]:
    """Give some entities whose likeness is plain to see."""
    return tuple(
        Draft(entity_id=name, entity_type=kind, name=title, tags=tags, attributes={"text": text})
        for name, kind, title, tags, text in (
            ("pg", "database", "PostgreSQL server", ("sql", "server"), "relational rows"),
            ("my", "database", "MySQL server", ("sql", "server"), "relational tables"),
            ("ngx", "proxy", "nginx web proxy", ("http",), "serves web pages"),
            ("img", "tool", "image converter", ("picture",), "converts pictures"),
        )
    )
