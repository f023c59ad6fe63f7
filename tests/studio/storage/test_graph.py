"""What a graph promises, over both engines."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from nexus_gateway.studio.storage.errors import (
    BadStatement,
    Conflict,
    GraphTimeout,
    StorageUnavailable,
)
from nexus_gateway.studio.storage.graph import Graph, Rows, Statement, Value

if TYPE_CHECKING:
    from collections.abc import Sequence

CREATE = "CREATE (n:Entity {tenant: $tenant, entity_id: $id, entity_type: 'thing', name: $id})"
FIND = "MATCH (n:Entity {tenant: $tenant}) RETURN n.entity_id AS id ORDER BY id"


@pytest.fixture
def tenant() -> str:
    """Give a tenant that no other test has: they share a server."""
    return uuid4().hex


async def write(graph: Graph, *statements: Statement) -> list[Rows]:
    return await graph.write(statements, seconds=10)


async def read(graph: Graph, text: str, rows: int = 100, **parameters: Value) -> Rows:
    return await graph.read(Statement(text, parameters), rows=rows, seconds=10)


def create(tenant: str, *ids: str) -> Sequence[Statement]:
    return [Statement(CREATE, {"tenant": tenant, "id": one}) for one in ids]


async def test_what_was_written_is_read(graph: Graph, tenant: str) -> None:
    await write(graph, *create(tenant, "a", "b"))

    found = await read(graph, FIND, tenant=tenant)

    assert found == Rows(columns=("id",), rows=[("a",), ("b",)])


async def test_values_come_back_as_they_went_in(graph: Graph) -> None:
    value: Value = {"a": [1, 2.5, "x", None, True, {"b": "née \N{SNOWMAN} 2024-01-01"}]}

    found = await read(graph, "RETURN $value AS value, 9223372036854775807 AS big", value=value)

    assert found.rows == [(value, 9223372036854775807)]


async def test_more_rows_than_asked_for_are_cut_and_told(graph: Graph) -> None:
    cut = await read(graph, "UNWIND range(1, 5) AS x RETURN x", rows=3)
    whole = await read(graph, "UNWIND range(1, 5) AS x RETURN x", rows=5)

    assert cut.rows == [(1,), (2,), (3,)]
    assert cut.truncated
    assert whole.rows[-1] == (5,)
    assert not whole.truncated


async def test_several_statements_are_one_transaction(graph: Graph, tenant: str) -> None:
    with pytest.raises(Conflict):
        await write(graph, *create(tenant, "a", "b", "a"))

    assert (await read(graph, FIND, tenant=tenant)).rows == []


async def test_a_later_statement_sees_what_an_earlier_one_wrote(graph: Graph, tenant: str) -> None:
    answers = await write(graph, *create(tenant, "a"), Statement(FIND, {"tenant": tenant}))

    assert answers[-1].rows == [("a",)]


async def test_an_identity_is_taken_once_in_a_tenant(graph: Graph, tenant: str) -> None:
    await write(graph, *create(tenant, "a"))
    await write(graph, *create(f"{tenant}-other", "a"))

    with pytest.raises(Conflict):
        await write(graph, *create(tenant, "a"))


async def test_a_read_that_would_write_is_refused_by_the_engine(graph: Graph, tenant: str) -> None:
    with pytest.raises(BadStatement):
        await read(graph, CREATE, tenant=tenant, id="a")

    assert (await read(graph, FIND, tenant=tenant)).rows == []


@pytest.mark.parametrize(
    "text", ["MATCH (n RETURN n", "", "RETURN $missing AS x", "RETURN 1/0 AS x"]
)
async def test_a_statement_that_cannot_be_run_is_the_writers_fault(graph: Graph, text: str) -> None:
    with pytest.raises(BadStatement):
        await read(graph, text)


@pytest.mark.parametrize("value", [2**63, "\ud800"])
async def test_a_parameter_that_no_engine_takes_is_the_callers_fault(
    graph: Graph, value: Value
) -> None:
    with pytest.raises(BadStatement):
        await read(graph, "RETURN $value AS value", value=value)


async def test_what_is_no_number_is_null(graph: Graph) -> None:
    found = await read(graph, "RETURN 0.0 / 0.0 AS x")

    assert found.rows == [(None,)]


async def test_a_read_ends_at_its_time(graph: Graph) -> None:
    endless = "UNWIND range(1, 100000) AS a UNWIND range(1, 100000) AS b RETURN max(a * b) AS x"

    with pytest.raises((GraphTimeout, BadStatement)):
        await graph.read(Statement(endless), rows=1, seconds=0.2)


async def test_a_write_that_ran_into_its_time_changed_nothing(graph: Graph, tenant: str) -> None:
    endless = Statement(
        "UNWIND range(1, 3000) AS a UNWIND range(1, 30000) AS b WITH max(a * b) AS x"
        " CREATE (n:Entity {tenant: $tenant, entity_id: 'late', x: x})",
        {"tenant": tenant},
    )

    with pytest.raises((GraphTimeout, BadStatement)):
        await graph.write([*create(tenant, "a"), endless], seconds=0.2)

    assert (await read(graph, FIND, tenant=tenant)).rows == []


async def test_a_call_that_is_cancelled_leaves_the_graph_well(graph: Graph, tenant: str) -> None:
    endless = "UNWIND range(1, 100000) AS a UNWIND range(1, 100000) AS b RETURN max(a * b) AS x"
    call = asyncio.create_task(graph.read(Statement(endless), rows=1, seconds=30))
    await read(graph, FIND, tenant=tenant)  # the call before it has reached the engine

    call.cancel()

    with pytest.raises(asyncio.CancelledError):
        await call
    await write(graph, *create(tenant, "a"))
    assert (await read(graph, FIND, tenant=tenant)).rows == [("a",)]


async def test_calls_run_beside_one_another(graph: Graph, tenant: str) -> None:
    ids = [f"n{number:02}" for number in range(40)]

    await asyncio.gather(*(write(graph, *create(tenant, one)) for one in ids))

    assert (await read(graph, FIND, tenant=tenant)).rows == [(one,) for one in ids]


async def test_text_in_a_parameter_is_never_part_of_the_statement(
    graph: Graph, tenant: str
) -> None:
    trick = "x'}) DETACH DELETE n //`\\\" $tenant"
    await write(graph, *create(tenant, "safe", trick))

    found = await read(graph, FIND, tenant=tenant)

    assert sorted(found.rows) == [("safe",), (trick,)]


async def test_it_answers_that_it_is_well(graph: Graph) -> None:
    await graph.ping()


async def test_a_closed_graph_says_so(graph: Graph) -> None:
    await graph.__aexit__(None, None, None)

    with pytest.raises(StorageUnavailable, match="closed"):
        await graph.ping()
