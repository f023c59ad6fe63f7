"""The graph inside this process: kglite, one file with its log, one writer.

Reads run on a few threads over a snapshot each, without the interpreter's lock; writes run one
after the other on one thread, each in a transaction that is in the log before it is answered. With
durability `normal`, as for SQLite, the log is in the operating system's hands then: it survives the
end of the process, kill -9 included; a power cut may lose the last commits.

kglite identifies a node by its label and its `id`. Without an explicit `id` it derives the next one
from the number of nodes when the file is opened, which is the id of an existing node once others
were deleted, so every node is created with an explicit id above all others (`NodeIds`).

kglite is imported when a graph is opened, and only then.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Literal, Self, TypeVar

from nexus_gateway.studio.storage.disk import check_room
from nexus_gateway.studio.storage.errors import (
    BadStatement,
    Conflict,
    GraphTimeout,
    StorageUnavailable,
)
from nexus_gateway.studio.storage.graph import Rows, Statement
from nexus_gateway.studio.storage.graph_schema import SCHEMA
from nexus_gateway.studio.storage.graph_values import plain
from nexus_gateway.studio.storage.read_share import ReadShares

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from concurrent.futures import Future
    from pathlib import Path
    from types import TracebackType

    from kglite import ResultView, Session

    from nexus_gateway.studio.storage.graph import Value

T = TypeVar("T")
_logger = logging.getLogger("nexus_gateway.studio.storage")

READ_WORK = 20_000_000
"""What a read may touch, in the engine's units (rows between clauses, items of lists): its memory
is bounded by it, as its time is by the deadline."""

TRIM_ROWS = 10_000
"""Rows of an answer or of a change after which the engine's freed memory is given back."""
TRIM_DELAY_S = 2.0
"""Seconds from then until it is: what follows directly would take it again."""

SLACK = 1.0
"""Seconds beyond its deadline that a call may take to say so."""


_CREATE_NODE = re.compile(r"\bCREATE \((\w*:\w+) \{")
_PER_ROW = "UNWIND $rows AS row "
_DUPLICATE_ID = "duplicate id"


class NodeIds:
    """Assigns the engine's own ids of nodes, which are unique and increase.

    The maximum is read when the graph is opened and counted in memory afterwards: one process
    writes. Only the writer's thread uses it. A rolled back transaction leaves a gap, which is
    harmless.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._next = 0
        self.refresh()

    def refresh(self) -> None:
        """Continue above the largest id in the graph."""
        found = self._session.cypher("MATCH (n) RETURN max(n.id) AS largest").to_list()
        largest: object = found[0]["largest"] if found else None
        self._next = max(self._next, largest + 1 if isinstance(largest, int) else 0)

    def assign(self, statement: Statement) -> Statement:
        """Add an id to each node that a statement creates.

        A statement that begins with `UNWIND $rows AS row` creates a node for each row, any other
        one for each CREATE.
        """
        text, parameters = statement.text, dict(statement.parameters)
        if _CREATE_NODE.search(text) is None:
            return statement
        if text.startswith(_PER_ROW):
            rows = parameters["rows"]
            assert isinstance(rows, list)  # noqa: S101 - statements are ours
            numbered: list[Value] = []
            for row in rows:
                assert isinstance(row, dict)  # noqa: S101 - as above
                numbered.append({**row, "id": self._take()})
            parameters["rows"] = numbered
            return Statement(_CREATE_NODE.sub(r"CREATE (\1 {id: row.id, ", text), parameters)

        def with_parameter(match: re.Match[str]) -> str:
            number = self._take()
            parameters[f"node_id_{number}"] = number
            return f"CREATE ({match[1]} {{id: $node_id_{number}, "

        return Statement(_CREATE_NODE.sub(with_parameter, text), parameters)

    def _take(self) -> int:
        self._next += 1
        return self._next - 1


class EmbeddedGraph:
    """A graph in a file.

    Args:
        path: the file; its folder is made. Its log and its lock stand beside it.
        readers: threads that read; one tenant has all but one of them at most.
        queue: calls that may wait or run; more are refused at once.
        patience: seconds to wait for the lock of a process that is ending, as at a restart.
    """

    name: Literal["embedded"] = "embedded"

    def __init__(
        self, path: Path, *, readers: int = 3, queue: int = 1024, patience: float = 15.0
    ) -> None:
        self.path = path
        self._patience = patience
        self._readers = readers
        self._places = BoundedSemaphore(queue)
        self._shares = ReadShares(max(1, readers - 1), max(1, queue // 4))
        self._trimming: asyncio.TimerHandle | None = None
        self._session: Session | None = None
        self._ids: NodeIds
        self._reading: ThreadPoolExecutor
        self._writing: ThreadPoolExecutor

    async def __aenter__(self) -> Self:
        """Open the file, take its lock and replay its log.

        Raises:
            StorageUnavailable: another process has it open, or it cannot be read.
        """
        self._session, self._ids = await asyncio.to_thread(_open, self.path, self._patience)
        self._reading = ThreadPoolExecutor(self._readers, "graph-reader")
        self._writing = ThreadPoolExecutor(1, "graph-writer")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish what is queued, fold the log into the file and let go of the lock."""
        session, self._session = self._session, None
        if self._trimming is not None:
            self._trimming.cancel()
            self._trimming = None
        if session is not None:
            await asyncio.to_thread(self._close, session)

    async def read(self, statement: Statement, *, rows: int, seconds: float) -> Rows:
        """Answer a query from a snapshot; see `Graph.read`."""
        session = self._opened()
        until = time.monotonic() + seconds

        def job() -> Rows:
            with _translated():
                view = session.cypher(
                    statement.text,
                    params=dict(statement.parameters),
                    timeout_ms=_left(until),
                    max_work_units=READ_WORK,
                    row_limit=rows + 1,
                )
                return _rows(view, rows)

        tenant = statement.parameters.get("tenant")
        if not isinstance(tenant, str):
            return await self._run(self._reading, job, seconds)
        await self._shares.acquire(tenant, seconds)
        answer = await self._run(self._reading, job, seconds, partial(self._shares.release, tenant))
        self._trim_after(len(answer.rows))
        return answer

    async def write(self, statements: Sequence[Statement], *, seconds: float) -> list[Rows]:
        """Run the statements in one transaction, logged before it is answered."""
        session = self._opened()
        until = time.monotonic() + seconds

        def job() -> list[Rows]:
            with _translated():
                return _write(session, self._ids, statements, until)

        answers = await self._run(self._writing, job, seconds)
        self._trim_after(sum(_rows_of(one) for one in statements))
        return answers

    async def ping(self) -> None:
        """Ask both a reader and the writer whether they work, and whether the disk has room."""
        await self.read(Statement("RETURN 1 AS one"), rows=1, seconds=2.0)
        await self._run(self._writing, self._look, 2.0)

    def _look(self) -> None:
        check_room(self.path)
        self._opened().version()

    def _opened(self) -> Session:
        if self._session is None:
            raise StorageUnavailable("the graph is closed")
        return self._session

    async def _run(
        self,
        threads: ThreadPoolExecutor,
        job: Callable[[], T],
        seconds: float,
        freed: Callable[[], None] = lambda: None,
    ) -> T:
        """Run a job; `freed` is called once its thread is free, or it is not run at all."""
        if not self._places.acquire(blocking=False):
            freed()
            raise StorageUnavailable("too many calls wait for the graph")
        loop = asyncio.get_running_loop()

        def ended(_: Future[T]) -> None:
            # A call keeps its place until its thread is free again, whoever still waits for it.
            self._places.release()
            with suppress(RuntimeError):  # the loop was closed before
                loop.call_soon_threadsafe(freed)

        future = threads.submit(job)
        future.add_done_callback(ended)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), seconds + SLACK)
        except TimeoutError:
            raise GraphTimeout(f"the graph did not answer within {seconds:g} s") from None

    def _trim_after(self, rows: int) -> None:
        """Have freed memory given back soon, where so many rows were answered or changed."""
        if rows < TRIM_ROWS or self._trimming is not None or self._session is None:
            return
        loop = asyncio.get_running_loop()
        self._trimming = loop.call_later(TRIM_DELAY_S, self._trim)

    def _trim(self) -> None:
        import kglite

        self._trimming = None
        if self._session is not None:
            # Between writes, as it takes the allocator's locks.
            self._writing.submit(kglite.trim_memory)

    def _close(self, session: Session) -> None:
        self._reading.shutdown()
        self._writing.shutdown()
        with _translated():
            session.close()


def _open(path: Path, patience: float) -> tuple[Session, NodeIds]:
    try:
        import kglite
    except ImportError as exc:
        raise StorageUnavailable(
            f"the embedded graph needs kglite, which cannot be loaded: {exc} (of a static TLS"
            " block: the native module is an old build, make setup renews it)"
        ) from exc

    # What it warns of (an unknown type, a cut answer) is answered to the caller, not to the log.
    kglite.set_query_warning_policy("silent")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        session = _locked(path, time.monotonic() + patience)
        for text in SCHEMA:
            session.execute(text)
        ids = NodeIds(session)
    except kglite.WriterLeaseHeldError as exc:
        holder = exc.holder.get("pid")
        raise StorageUnavailable(
            f"{path} is open in another process (pid {holder}): an embedded graph has one; set"
            " NEXUS_NEO4J_URL for several"
        ) from exc
    except (kglite.KgError, OSError, RuntimeError, ValueError) as exc:
        raise StorageUnavailable(f"{path} cannot be opened as a graph: {exc}") from exc
    return session, ids


def _locked(path: Path, until: float) -> Session:
    import kglite

    reported = False
    while True:
        try:
            return kglite.open_session(str(path), durable="normal")
        except kglite.WriterLeaseHeldError as exc:
            left = until - time.monotonic()
            if exc.holder.get("self") or left <= 0:
                raise
            if not reported:
                reported = True
                _logger.warning(
                    "waiting up to %.0f s for process %s, which has %s open",
                    left,
                    exc.holder.get("pid"),
                    path,
                )
            time.sleep(0.1)


def _write(
    session: Session, ids: NodeIds, statements: Sequence[Statement], until: float
) -> list[Rows]:
    """Run and commit; once more where an id was taken that this process did not assign."""
    import kglite

    try:
        return _commit(session, [ids.assign(one) for one in statements], until)
    except kglite.CypherExecutionError as exc:
        if _DUPLICATE_ID not in str(exc):
            raise
    ids.refresh()
    return _commit(session, [ids.assign(one) for one in statements], until)


def _commit(session: Session, statements: Sequence[Statement], until: float) -> list[Rows]:
    """Run and commit; the writer is alone, so that no other commit can come between."""
    transaction = session.begin()
    try:
        answers: list[Rows] = []
        for one in statements:
            view = transaction.cypher(
                one.text, params=dict(one.parameters), timeout_ms=_left(until)
            )
            answers.append(_rows(view, len(view)))
        _left(until)
        transaction.commit()
    except BaseException:
        if transaction.active:
            transaction.rollback()
        raise
    return answers


def _rows_of(statement: Statement) -> int:
    rows = statement.parameters.get("rows")
    return len(rows) if isinstance(rows, list) else 1


def _rows(view: ResultView, rows: int) -> Rows:
    columns = tuple(view.columns)
    found: list[dict[str, object]] = view.head(rows).to_list()
    return Rows(
        columns=columns,
        rows=[tuple(plain(row[column]) for column in columns) for row in found],
        truncated=len(view) > rows,
    )


def _left(until: float) -> int:
    left = until - time.monotonic()
    if left <= 0:
        raise GraphTimeout("the graph had no thread free in time")
    return max(1, int(left * 1000))


@contextmanager
def _translated() -> Generator[None]:
    """Turn the engine's errors into ours."""
    import kglite

    try:
        yield
    except kglite.CypherTimeoutError as exc:
        raise GraphTimeout("the statement ran into its time") from exc
    except kglite.ConstraintError as exc:
        raise Conflict(str(exc)) from exc
    except (kglite.FileIoError, kglite.TransactionConflictError, kglite.InternalError) as exc:
        raise StorageUnavailable(f"the graph cannot be reached: {exc}") from exc
    except (kglite.KgError, ValueError, TypeError, OverflowError, RecursionError) as exc:
        raise BadStatement(str(exc)) from exc
