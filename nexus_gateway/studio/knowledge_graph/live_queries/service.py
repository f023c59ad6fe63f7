"""Tells answers again: evaluates live queries after each change of their tenant's graph.

A query belongs to its tenant and is named by what it asks, so that all who ask the same listen to
one channel, `graph:{tenant}:query:{query_id}`. The channel keeps the newest answer; it is what the
next one is compared with, in all replicas. A replica evaluates after changes that were made through
it, all that it knows at its start, and once in `EVERY` seconds: what a replica that died has not
told is told by another then.

Changes never wait. What they come to is told at once where nothing is being evaluated for the
tenant, and otherwise after that, so that of many quick changes not all are told, but the last one
always is. At most a fifth of the time goes into it, as long as there is more to do.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, Self

import msgspec

from nexus_gateway.studio.knowledge_graph.errors import BadQuery, GraphError, NotFound
from nexus_gateway.studio.knowledge_graph.live_queries.channel import TooLarge
from nexus_gateway.studio.knowledge_graph.live_queries.models import (
    Answer,
    Begun,
    End,
    Failure,
    LiveQuery,
    LiveQueryPage,
)
from nexus_gateway.studio.knowledge_graph.live_queries.store import MOST, Kept
from nexus_gateway.studio.knowledge_graph.query import Caps, Question
from nexus_gateway.studio.knowledge_graph.rows import EPOCH, micros
from nexus_gateway.studio.storage import tasks
from nexus_gateway.studio.storage.errors import GraphTimeout, StorageUnavailable
from nexus_gateway.values.segment import segment

if TYPE_CHECKING:
    from types import TracebackType

    from nexus_gateway.studio.knowledge_graph.live_queries.models import LiveQuestion, Place
    from nexus_gateway.studio.knowledge_graph.live_queries.store import LiveQueryStore
    from nexus_gateway.studio.knowledge_graph.query import Querying
    from nexus_gateway.studio.knowledge_graph.service import Author, Clock

_logger = logging.getLogger(__name__)

CAPS = Caps(work=1_000_000, held=5_000_000)
"""What one live query may need: it is evaluated again and again."""
EVERY = 60.0
"""Seconds after which all are evaluated again, whatever has changed."""
KNOWN = 1.0
"""Seconds that it may take to notice that another replica has the first query of a tenant."""
REST = 4.0
"""How much longer than it has evaluated a tenant's queries a replica rests before the next time."""
LONGEST = 5.0
"""Seconds between two attempts while a database, the graph or the hub is away."""

_encode = msgspec.json.Encoder().encode
_ordered = msgspec.json.Encoder(order="sorted").encode
_question = msgspec.json.Decoder(Question).decode


class Channels(Protocol):
    """Where answers go; see `channel.HubChannels`."""

    async def last(self, channel: str) -> tuple[Place, bytes | None]:
        """Tell where a channel stands, and what was told last if it is kept."""
        ...

    async def tell(self, channel: str, data: bytes) -> Place:
        """Publish JSON."""
        ...


class LiveQueries:
    """The live queries of every tenant; opened by `async with` for as long as they are told.

    Args:
        store: where they are kept.
        querying: answers them, under `CAPS`.
        channels: where answers are told.
        clock: tells the time.
    """

    def __init__(
        self, store: LiveQueryStore, querying: Querying, channels: Channels, clock: Clock
    ) -> None:
        self._store = store
        self._querying = querying
        self._channels = channels
        self._clock = clock
        self._tenants: set[str] = set()
        """Those that have any, as far as this replica knows."""
        self._due: set[str] = set()
        self._unsure: set[str] = set()
        """Tenants with changes of which it is not known whether they have any."""
        self._rounds: dict[str, asyncio.Task[None]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._wanted = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Begin to tell."""
        self._looking = asyncio.create_task(self._look(), name="live queries")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop telling; another replica, or this one after its restart, tells what is not told."""
        looking, self._looking = self._looking, None
        await tasks.cancel([*self._rounds.values(), looking])

    # --- what callers ask ---

    async def begin(self, author: Author, question: LiveQuestion) -> tuple[Begun, bool]:
        """Tell a query's answers from now on, or for longer; and whether it is new.

        Raises:
            GraphError: it cannot be answered, or not within what a live query may need; or the
                tenant has too many.
            GraphTimeout: it takes too long.
            StorageUnavailable: the database, the graph or the hub is away.
        """
        # So that nothing is kept of what is refused; `_tell` asks again once it is kept, for from
        # then on no change is missed.
        await self._querying.answer(author.tenant, question.question())
        now = self._clock()
        until = now + timedelta(seconds=question.lease)
        text = _ordered(question.question()).decode()
        name = hashlib.sha256(f"{author.tenant}\n{text}".encode()).hexdigest()[:32]
        draft = Kept(name, text, author.subject, micros(now), micros(until))
        kept = await self._store.put(author.tenant, draft)
        if kept is None:
            raise BadQuery("query", f"a tenant has at most {MOST} live queries", location="body")
        self._tenants.add(author.tenant)
        told, place = await self._tell(author.tenant, kept)
        # A change through a replica that did not know of it yet.
        asyncio.get_running_loop().call_later(2 * KNOWN, self.changed, author.tenant)
        return Begun(
            live_query=_shown(author.tenant, kept), answer=told, position=place
        ), kept.created_at == draft.created_at

    async def page(self, author: Author) -> LiveQueryPage:
        """List those that are told."""
        now = micros(self._clock())
        kept = await self._store.of(author.tenant)
        return LiveQueryPage(
            tuple(_shown(author.tenant, one) for one in kept if one.expires_at > now)
        )

    async def get(self, author: Author, query_id: str) -> LiveQuery:
        """Load one.

        Raises:
            NotFound: there is none, or no more.
        """
        kept = await self._store.get(author.tenant, query_id)
        if kept is None or kept.expires_at <= micros(self._clock()):
            raise NotFound(f"there is no live query {query_id!r}")
        return _shown(author.tenant, kept)

    async def end(self, author: Author, query_id: str) -> None:
        """Tell one no longer, and whoever listens that it is so.

        Raises:
            NotFound: there is none.
        """
        if not await self._store.end(author.tenant, query_id):
            raise NotFound(f"there is no live query {query_id!r}")
        await self._channels.tell(channel_of(author.tenant, query_id), _encode(End()))

    # --- what changes lead to ---

    def changed(self, tenant: str) -> None:
        """Evaluate a tenant's queries anew, soon; called after each change of its graph."""
        if self._looking is None:
            return
        if tenant in self._tenants:
            self._begin_round(tenant)
        else:
            self._unsure.add(tenant)
            self._wanted.set()

    async def _look(self) -> None:
        """Look from time to time who has queries, and evaluate all of them now and then."""
        loop = asyncio.get_running_loop()
        whole = -EVERY
        pause = KNOWN
        while True:
            unsure, self._unsure = self._unsure, set()
            self._wanted.clear()
            try:
                self._tenants |= await self._store.tenants()
            except StorageUnavailable as error:
                _logger.warning("live queries cannot be loaded: %s", error)
                self._unsure |= unsure
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST)
                continue
            pause = KNOWN
            if loop.time() - whole >= EVERY:
                whole, unsure = loop.time(), set(self._tenants)
            for tenant in unsure & self._tenants:
                self._begin_round(tenant)
            await asyncio.sleep(KNOWN)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), whole + EVERY - loop.time())

    def _begin_round(self, tenant: str) -> None:
        self._due.add(tenant)
        if tenant not in self._rounds:
            task = asyncio.create_task(self._go_round(tenant), name=f"live queries of {tenant}")
            self._rounds[tenant] = task

    async def _go_round(self, tenant: str) -> None:
        """Evaluate a tenant's queries for as long as there are changes."""
        loop = asyncio.get_running_loop()
        pause = KNOWN / 4
        try:
            while tenant in self._due:
                self._due.discard(tenant)
                began = loop.time()
                try:
                    await self._round(tenant)
                except StorageUnavailable as error:
                    _logger.info("live queries are not told just now: %s", error)
                    self._due.add(tenant)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST)
                else:
                    await asyncio.sleep(REST * (loop.time() - began))
        except Exception:
            _logger.exception("live queries could not be told")
        finally:
            del self._rounds[tenant]

    async def _round(self, tenant: str) -> None:
        kept = await self._store.of(tenant)
        if not kept:
            self._tenants.discard(tenant)
        for one in kept:
            now = micros(self._clock())
            if one.expires_at > now:
                await self._tell(tenant, one)
            elif await self._store.expire(tenant, one.query_id, now):
                await self._channels.tell(channel_of(tenant, one.query_id), _encode(End()))

    async def _tell(self, tenant: str, kept: Kept) -> tuple[Answer | Failure, Place]:
        """Evaluate a query and tell what it comes to, if that is not what was told last.

        Where another replica has told something in between, the graph is looked at once more: of
        two that tell at once, the one that comes last has looked last.
        """
        channel = channel_of(tenant, kept.query_id)
        while True:
            told = await self._evaluate(tenant, kept)
            try:
                place = await self._say(channel, told)
            except TooLarge as error:
                told = Failure("payload_too_large", f"the answer does not fit a message: {error}")
                place = await self._say(channel, told)
            if place is not None:
                return told, place

    async def _say(self, channel: str, told: Answer | Failure) -> Place | None:
        """Publish what differs from what was told last; None where something came in between."""
        before, last = await self._channels.last(channel)
        data = _encode(told)
        if last is not None and _same(data, last):
            return before
        now = await self._channels.tell(channel, data)
        follows = (now.epoch, now.offset) == (before.epoch, before.offset + 1)
        return now if follows else None

    async def _evaluate(self, tenant: str, kept: Kept) -> Answer | Failure:
        try:
            found = await self._querying.answer(tenant, _question(kept.question))
        except GraphTimeout as error:
            return Failure("deadline_exceeded", str(error))
        except GraphError as error:
            return Failure("validation_error", str(error))
        return Answer(found.columns, found.rows, found.truncated)


def channel_of(tenant: str, query_id: str) -> str:
    """Name the channel of a live query."""
    return f"graph:{segment(tenant)}:query:{query_id}"


def _same(data: bytes, last: bytes) -> bool:
    """Compare what is to be told with what was told, which others have written."""
    return _ordered(msgspec.json.decode(data)) == _ordered(msgspec.json.decode(last))


def _shown(tenant: str, kept: Kept) -> LiveQuery:
    asked = _question(kept.question)
    return LiveQuery(
        query_id=kept.query_id,
        channel=channel_of(tenant, kept.query_id),
        query=asked.query,
        parameters=asked.parameters,
        max_rows=asked.max_rows,
        valid_at=asked.valid_at,
        created_by=kept.created_by,
        created_at=EPOCH + timedelta(microseconds=kept.created_at),
        expires_at=EPOCH + timedelta(microseconds=kept.expires_at),
    )
