"""Replicas that share a PostgreSQL and have an embedded graph each: one of them is used."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from nexus_gateway.studio.health import reason_of
from nexus_gateway.studio.storage.graph import Statement
from nexus_gateway.studio.storage.graph_embedded import EmbeddedGraph
from nexus_gateway.studio.storage.graph_owner import NotTheOwner, OwnedGraph
from nexus_gateway.studio.storage.relational import relational
from tests.harness.waiting import Polling

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nexus_gateway.studio.storage.engine import Engine

ONE = Statement("RETURN 1 AS one")
LEASE_S = 0.6


@pytest.fixture
async def engine(postgres_url: str) -> AsyncIterator[Engine]:
    async with relational(postgres_url, pool=4, wait=2, timeout=5) as opened:
        yield opened


def replica(engine: Engine, folder: Path) -> OwnedGraph:
    graph = EmbeddedGraph(folder / "graph.kgl", patience=0)
    return OwnedGraph(graph, engine, lease=LEASE_S)


async def lease_until(engine: Engine) -> int:
    """Read when the owner's lease ends, in microseconds."""
    ((until,),) = await engine.query("SELECT lease_until FROM graph_owner")
    assert isinstance(until, int)
    return until


async def until_owned(graph: OwnedGraph) -> None:
    polling = Polling("the graph is owned")
    while not graph.owned:
        await polling.turn()


async def test_a_second_replica_is_refused_until_the_first_ends(
    engine: Engine, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        first = AsyncExitStack()
        await stack.enter_async_context(first)
        one = await first.enter_async_context(replica(engine, tmp_path / "one"))
        begun = await lease_until(engine)
        two = await stack.enter_async_context(replica(engine, tmp_path / "two"))

        # Longer than a lease: the owner renews it.
        polling = Polling("the lease would have ended twice")
        while await lease_until(engine) < begun + 2 * LEASE_S * 1_000_000:
            await polling.turn()
        assert (await one.read(ONE, rows=1, seconds=5)).rows == [(1,)]
        for refused in (
            two.ping(),
            two.read(ONE, rows=1, seconds=5),
            two.write([Statement("CREATE (:Entity {entity_id: 'a'})")], seconds=5),
        ):
            with pytest.raises(NotTheOwner, match=r"one/graph\.kgl") as error:
                await refused
            assert reason_of(error.value) == "the embedded graph belongs to another replica"
        await first.aclose()
        await until_owned(two)
        assert (await two.read(ONE, rows=1, seconds=5)).rows == [(1,)]


DIED = """
    UPDATE graph_owner SET holder = 'dead', folder = $1, lease_until =
        CAST((extract(epoch FROM clock_timestamp()) + 0.6) * 1000000 AS BIGINT)
"""


async def test_a_replica_that_died_is_followed_by_itself_at_once_and_by_others_after_its_lease(
    engine: Engine, tmp_path: Path
) -> None:
    async with replica(engine, tmp_path / "one"):
        pass
    folder = (tmp_path / "one" / "graph.kgl.id").read_text("ascii")

    await engine.command(DIED, folder)
    async with replica(engine, tmp_path / "one") as again:
        assert again.owned
    await engine.command(DIED, folder)
    async with replica(engine, tmp_path / "two") as other:
        assert not other.owned
        await until_owned(other)
