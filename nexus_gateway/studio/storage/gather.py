"""Writes of many callers as one: what comes while a batch is under way goes with the next.

A statement for fifty rows costs a database a few times what it costs for one, and locks that they
share are taken once. A caller that is alone waits for nobody.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

from nexus_gateway.studio.storage.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")
R = TypeVar("R")

PATIENCE = 0.02
"""Seconds that a batch waits for the one before it: one that is held up must not hold up others."""


class Gather(Generic[T, R]):
    """Gathers items into batches.

    A batch that fails is run again item by item, so that each hears of its own failure; one that
    failed for want of the database is not, as its items would only wait once more.

    Args:
        run: what to do with a batch: all of it or nothing. A result for each item, in order.
        most: items in a batch at most.
        lanes: batches under way at most.
        wait: seconds that an item may wait for its batch to begin.
    """

    def __init__(
        self,
        run: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        *,
        most: int = 64,
        lanes: int = 4,
        wait: float = 2.0,
    ) -> None:
        self._run = run
        self._most = most
        self._lanes = lanes
        self._wait = wait
        self._waiting: list[tuple[T, asyncio.Future[R], float]] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def put(self, item: T) -> R:
        """Run an item with those of others; what came of it.

        Raises:
            StorageUnavailable: no batch began within `wait`.

        Cancelled: an item whose batch has not begun is left out of it.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, future, loop.time()))
        if not self._under_way or len(self._waiting) >= self._most:
            self._begin()
        elif self._timer is None:
            self._timer = loop.call_later(PATIENCE, self._look)
        return await future

    def _look(self) -> None:
        """Begin a batch that has waited long enough, and give up on items that did so in vain."""
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._waiting and now - self._waiting[0][2] >= PATIENCE:
            self._begin()
        while self._waiting and now - self._waiting[0][2] >= self._wait:
            _, future, _ = self._waiting.pop(0)
            if not future.done():
                future.set_exception(StorageUnavailable("the database is too busy"))
        if self._waiting:
            self._timer = loop.call_later(PATIENCE, self._look)

    def _begin(self) -> None:
        """Begin the next batch, where there is a lane for it."""
        if len(self._under_way) >= self._lanes:
            return
        taken, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        batch = [(item, future) for item, future, _ in taken if not future.done()]
        if batch:
            # Of nobody's request: whoever goes away must not take the others along.
            task = asyncio.create_task(self._carry(batch))
            self._under_way.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if self._waiting and not self._under_way:
            self._begin()

    async def _carry(self, batch: list[tuple[T, asyncio.Future[R]]]) -> None:
        """Run a batch and tell each of its callers."""
        try:
            results = await self._run([item for item, _ in batch])
        except BaseException as error:  # noqa: BLE001 - whatever it was, somebody waits for it
            if len(batch) == 1 or isinstance(error, StorageUnavailable | asyncio.CancelledError):
                _fail(batch, error)
            else:
                for one in batch:
                    await self._carry([one])
            return
        for (_, future), result in zip(batch, results, strict=True):
            if not future.done():
                future.set_result(result)


def _fail(batch: Sequence[tuple[T, asyncio.Future[R]]], error: BaseException) -> None:
    for _, future in batch:
        if future.done():
            continue
        if isinstance(error, asyncio.CancelledError):
            future.cancel()
        else:
            future.set_exception(error)
