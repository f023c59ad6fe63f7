"""Which replica an embedded graph belongs to, where several share one database.

An embedded graph is a file of one replica. Replicas that share a database and have a graph each
would diverge without a notice, so the graph in use is recorded in that database as a lease: with
the identity of its folder, by the database's clock, renewed while its process serves. Every other
replica answers 503 for the graph and says so in readiness, until the lease is released or expires.
A process that is started again on the same folder continues at once: the file's own lock excludes
a second one there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
import uuid
from typing import TYPE_CHECKING, Literal, Self

from nexus_gateway.studio.storage import tasks
from nexus_gateway.studio.storage.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

    from nexus_gateway.studio.storage.engine import Engine
    from nexus_gateway.studio.storage.graph import Rows, Statement
    from nexus_gateway.studio.storage.graph_embedded import EmbeddedGraph

_logger = logging.getLogger(__name__)

LEASE_S = 15.0
"""Seconds after which another replica may take over from one that died."""

_NOW = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)"
_TAKE = f"""
    INSERT INTO graph_owner (name, folder, holder, described, lease_until)
    VALUES ('graph', $1, $2, $3, {_NOW} + $4)
    ON CONFLICT (name) DO UPDATE
        SET folder = $1, holder = $2, described = $3, lease_until = {_NOW} + $4
        WHERE graph_owner.folder = $1 OR graph_owner.lease_until <= {_NOW}
    RETURNING holder
"""  # noqa: S608 - the clock is a constant
_OWNER = "SELECT folder, described FROM graph_owner WHERE name = 'graph'"
_RELEASE = "UPDATE graph_owner SET lease_until = 0 WHERE name = 'graph' AND holder = $1"


class NotTheOwner(StorageUnavailable):
    """Say that the graph in use is another replica's."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="the embedded graph belongs to another replica")


class OwnedGraph:
    """An embedded graph that is used while this replica owns the graph of a shared database.

    Args:
        graph: the file, which this opens and closes.
        engine: the shared PostgreSQL, opened before and closed after.
        lease: seconds; see `LEASE_S`.
    """

    name: Literal["embedded"] = "embedded"

    def __init__(self, graph: EmbeddedGraph, engine: Engine, *, lease: float = LEASE_S) -> None:
        self._graph = graph
        self._engine = engine
        self._lease = lease
        self._holder = uuid.uuid4().hex
        self._described = f"{socket.gethostname()}, pid {os.getpid()}, {graph.path}"
        self._folder = ""
        self._owner = "unknown"
        self._owned_until = 0.0
        self._renewing: asyncio.Task[None] | None = None

    @property
    def owned(self) -> bool:
        """Whether the graph in use is this one."""
        return time.monotonic() < self._owned_until

    async def __aenter__(self) -> Self:
        """Open the file and take the lease, or wait for it in the background.

        Raises:
            StorageUnavailable: the file cannot be opened, or the database does not answer.
        """
        await self._graph.__aenter__()
        try:
            self._folder = await asyncio.to_thread(_identity, self._graph.path)
            await self._take()
        except BaseException:
            await self._graph.__aexit__(None, None, None)
            raise
        if not self.owned:
            _logger.error(
                "the graph of this database is embedded in another replica (%s): this one answers"
                " 503 for the graph until that one ends; set NEXUS_NEO4J_URL for several replicas",
                self._owner,
            )
        self._renewing = asyncio.create_task(self._renew(), name="graph owner")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file, then release the lease."""
        await tasks.cancel([self._renewing])
        await self._graph.__aexit__(kind, error, trace)
        with contextlib.suppress(StorageUnavailable):
            await self._engine.command(_RELEASE, self._holder)

    async def read(self, statement: Statement, *, rows: int, seconds: float) -> Rows:
        """Answer a query; see `Graph.read`."""
        self._check()
        return await self._graph.read(statement, rows=rows, seconds=seconds)

    async def write(self, statements: Sequence[Statement], *, seconds: float) -> list[Rows]:
        """Run the statements in one transaction; see `Graph.write`."""
        self._check()
        return await self._graph.write(statements, seconds=seconds)

    async def ping(self) -> None:
        """Ask whether it works, and is the one in use."""
        self._check()
        await self._graph.ping()

    def _check(self) -> None:
        if not self.owned:
            raise NotTheOwner(f"the graph is embedded in another replica ({self._owner})")

    async def _take(self) -> None:
        """Take or renew the lease where nobody else has it."""
        asked = time.monotonic()
        before = await self._engine.query(_OWNER)
        taken = await self._engine.command(
            _TAKE, self._folder, self._holder, self._described, round(self._lease * 1e6)
        )
        if not taken:
            self._owned_until = 0.0
            found = await self._engine.query(_OWNER)
            self._owner = str(found[0][1]) if found else "unknown"
            return
        if before and before[0][0] != self._folder:
            _logger.warning(
                "the graph in %s takes the place of another (%s): `nexus-gateway graph repair`"
                " makes the nodes of entities, and edges come from `graph export` of the other",
                self._graph.path,
                before[0][1],
            )
        # Sooner than by the database's clock, which counts from a later moment.
        self._owned_until = asked + self._lease

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            owned = self.owned
            try:
                await self._take()
            except StorageUnavailable as error:
                _logger.warning("the ownership of the graph cannot be renewed: %s", error)
            if owned and not self.owned:
                _logger.error("the graph of this database is now embedded in %s", self._owner)
            elif self.owned and not owned:
                _logger.warning("this replica owns the graph of the database now")


def _identity(path: Path) -> str:
    """Read the identity of the file's folder, which is made once."""
    file = path.with_name(path.name + ".id")
    with contextlib.suppress(FileExistsError), file.open("x", encoding="ascii") as opened:
        opened.write(uuid.uuid4().hex)
    return file.read_text("ascii")
