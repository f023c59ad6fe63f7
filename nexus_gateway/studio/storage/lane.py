"""The way between the event loop and the threads that hold SQLite connections, and back.

A `Lane` is a bounded queue with the threads that work it off; a `Call` is one job in it. A call is
begun at most once: its thread and its waiter, who may lose patience or be cancelled, both have to
claim it. Results go back to the loop together: one wake-up for all that ended since the last.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from nexus_gateway.studio.storage.errors import BadRow, StorageError, StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Work(Protocol):
    """A call as the threads see it, whatever it answers."""

    until: float

    def claim(self) -> bool:
        """Decide once whether it runs."""
        ...

    def run(self, connection: sqlite3.Connection) -> bool:
        """Run it; whether it did what it was to do."""
        ...

    def fail(self, error: BaseException) -> None:
        """Replace what came of it."""
        ...

    def settle(self) -> None:
        """Wake its waiter."""
        ...


class Worker(Protocol):
    """What a thread does with claimed calls.

    group: calls taken at once at most; more than one only where the lane has a single thread.
    connection: closed when the lane stops.
    """

    group: int
    connection: sqlite3.Connection

    def run(self, calls: list[Work]) -> None:
        """Run the calls; each is settled afterwards."""
        ...


class Call(Generic[T]):
    """One job, and the future that waits for it. Made and settled on the loop, run on a thread."""

    __slots__ = ("_claim", "_error", "_future", "_job", "_result", "until")

    def __init__(
        self, job: Callable[[sqlite3.Connection], T], future: asyncio.Future[T], until: float
    ) -> None:
        self.until = until
        self._future = future
        self._job = job
        self._claim = threading.Lock()
        self._error: BaseException | None = None
        self._result: T

    def claim(self) -> bool:
        """Decide once whether the job runs: the thread and an impatient waiter both ask."""
        return self._claim.acquire(blocking=False)

    def run(self, connection: sqlite3.Connection) -> bool:
        """Run the job and keep what comes of it; whether it did what it was to do."""
        try:
            self._result = self._job(connection)
        except BaseException as exc:  # noqa: BLE001
            # The thread must outlive the job, and the waiter must hear of it whatever it was.
            self._error = translated(exc)
            return False
        return True

    def fail(self, error: BaseException) -> None:
        """Forget the result: it was not kept."""
        self._error = error

    def settle(self) -> None:
        """Wake the waiter, if there still is one."""
        if self._future.done():
            return
        if self._error is None:
            self._future.set_result(self._result)
        else:
            self._future.set_exception(self._error)

    def expire(self) -> None:
        """Give up on a job that no thread has begun."""
        if self.claim() and not self._future.done():
            self._future.set_exception(StorageUnavailable("the database is too busy"))


class Lane:
    """A bounded queue of calls and the threads that work it off."""

    def __init__(self, loop: asyncio.AbstractEventLoop, bound: int, deadline: float) -> None:
        self._loop = loop
        self._bound = bound
        self._deadline = deadline
        self._calls: SimpleQueue[Work | None] = SimpleQueue()
        self._done: deque[Work] = deque()
        self._waking = False
        self._threads: list[threading.Thread] = []
        self._closing = False

    def start(self, name: str, worker: Worker) -> None:
        """Let one more thread work."""
        thread = threading.Thread(target=self._work, args=(worker,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    async def call(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Queue a job and wait for what comes of it."""
        if self._closing:
            raise StorageUnavailable("the database is closing")
        if self._calls.qsize() >= self._bound:
            raise StorageUnavailable("too many calls wait for the database")
        future: asyncio.Future[T] = self._loop.create_future()
        call = Call(job, future, time.monotonic() + self._deadline)
        timer = self._loop.call_later(self._deadline, call.expire)
        self._calls.put(call)
        try:
            return await future
        except asyncio.CancelledError:
            call.claim()
            raise
        finally:
            timer.cancel()

    def stop(self) -> None:
        """End the threads once the queue is empty. Blocks; call it off the loop."""
        self._closing = True
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, worker: Worker) -> None:
        while (first := self._calls.get()) is not None:
            calls = [call for call in self._gather(first, worker.group) if call.claim()]
            if calls:
                worker.run(calls)
                self._hand_back(calls)
        worker.connection.close()

    def _gather(self, first: Work, most: int) -> list[Work]:
        """Take what already waits. Only a lane of one thread may take more than one."""
        calls = [first]
        while len(calls) < most and not self._calls.empty():
            call = self._calls.get()
            if call is None:
                self._calls.put(None)
                break
            calls.append(call)
        return calls

    def _hand_back(self, calls: list[Work]) -> None:
        self._done.extend(calls)
        if self._waking:
            return
        self._waking = True
        try:
            self._loop.call_soon_threadsafe(self._settle)
        except RuntimeError:
            # The loop was closed before the database: nobody waits any more.
            return

    def _settle(self) -> None:
        # Lowered before the queue is emptied: a thread that adds later wakes the loop again.
        self._waking = False
        while self._done:
            self._done.popleft().settle()


def translated(error: BaseException) -> BaseException:
    """Tell trouble with the file, which may pass, from errors of the job, which will not."""
    if isinstance(error, StopIteration):
        # A future cannot carry it.
        return RuntimeError("a job of the database raised StopIteration")
    if isinstance(error, sqlite3.IntegrityError | sqlite3.DataError):
        return _caused(BadRow(str(error)), error)
    unavailable = (
        isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError
    )
    if not unavailable:
        return error
    return _caused(StorageUnavailable(f"the database does not answer: {error}"), error)


def _caused(error: StorageError, cause: BaseException) -> StorageError:
    error.__cause__ = cause
    return error
