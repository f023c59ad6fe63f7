"""The indexer: begins by itself, goes on after a restart, and waits out what fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nexus_gateway.studio.intelligence.embedding.local import HashedWords
from nexus_gateway.studio.intelligence.embedding.models import EmbeddingUnavailable
from nexus_gateway.studio.intelligence.search import indexer as indexing
from nexus_gateway.studio.intelligence.search.indexer import Indexer
from nexus_gateway.studio.intelligence.service import Entities

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from nexus_gateway.studio.intelligence.models import Draft
    from nexus_gateway.studio.intelligence.search.store import SearchStore
    from nexus_gateway.studio.intelligence.store import EntityStore


class Made:
    """Is told when vectors were made."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    async def refresh(self, tenants: set[str]) -> None:
        assert tenants == {""}
        self.event.set()

    async def wait(self) -> None:
        await asyncio.wait_for(self.event.wait(), 20)
        self.event.clear()


class Failing(HashedWords):
    """Fails once."""

    failed = False

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        if not self.failed:
            self.failed = True
            raise EmbeddingUnavailable("down")
        return await super().embed(texts)


async def test_what_an_earlier_process_left_and_what_comes_is_indexed(
    store: EntityStore, finder: SearchStore, drafts: tuple[Draft, ...]
) -> None:
    made = Made()
    await Entities(store).put_all("", drafts[:2])

    async with Indexer(finder, HashedWords(), made.refresh, poll=60, quiet=0.01) as indexer:
        await made.wait()
        left = await finder.pending(0, 10)
        await Entities(store, changed=indexer.changed).put_all("", drafts[2:])
        await made.wait()

    assert (left, await finder.pending(0, 10)) == ([], [])


async def test_what_another_process_wrote_is_found_by_looking(
    store: EntityStore, finder: SearchStore, drafts: tuple[Draft, ...]
) -> None:
    made = Made()
    async with Indexer(finder, HashedWords(), made.refresh, poll=0.05):
        await Entities(store).put_all("", drafts)
        await made.wait()


async def test_a_provider_that_fails_is_asked_again(
    store: EntityStore,
    finder: SearchStore,
    drafts: tuple[Draft, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(indexing, "_FIRST_DELAY", 0.01)
    made = Made()
    await Entities(store).put_all("", drafts)

    async with Indexer(finder, Failing(), made.refresh):
        await made.wait()

    assert await finder.pending(0, 10) == []
