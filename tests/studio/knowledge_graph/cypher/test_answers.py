"""The same query has the same answer on either engine: `answers.json`, group by group.

Rows are compared in their order where the query sorts them, else as a set.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from uuid import uuid4

import msgspec
import pytest

from nexus_gateway.studio.knowledge_graph.query import Querying, Question
from nexus_gateway.studio.knowledge_graph.stats import Statistics
from nexus_gateway.studio.knowledge_graph.store import GraphStore
from tests.studio.knowledge_graph.cypher.shop import PARAMETERS, fill

if TYPE_CHECKING:
    from nexus_gateway.studio.storage.graph import Graph

Rows: TypeAlias = list[list[object]]

ANSWERS = msgspec.json.decode(
    Path(__file__).with_name("answers.json").read_bytes(), type=dict[str, dict[str, Rows]]
)


def test_there_are_enough_queries_to_speak_of_a_contract() -> None:
    assert sum(map(len, ANSWERS.values())) >= 120


@pytest.mark.parametrize("group", ANSWERS)
async def test_both_engines_answer_as_is_written(graph: Graph, group: str) -> None:
    tenant = uuid4().hex
    await fill(graph, tenant)
    await fill(graph, f"{tenant}-other", "other ")
    store = GraphStore(graph)
    querying = Querying(store, Statistics(store))

    found = {text: await rows_of(querying, tenant, text) for text in ANSWERS[group]}

    assert found == {text: ordered(text, rows) for text, rows in ANSWERS[group].items()}


async def rows_of(querying: Querying, tenant: str, text: str) -> Rows:
    answer = await querying.answer(tenant, Question(text, parameters=PARAMETERS))
    rows = msgspec.json.decode(msgspec.json.encode(answer.rows), type=Rows)
    return ordered(text, rows)


def ordered(text: str, rows: Rows) -> Rows:
    return rows if "ORDER BY" in text else sorted(rows, key=repr)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("RETURN " + "1 + " * 70 + "1", 71),
        ("RETURN " + "(1 + " * 38 + "1" + ")" * 38, 39),
        ("RETURN size(" + "[" * 38 + "1" + "]" * 38 + ")", 1),
        ("MATCH (n) WHERE " + " OR ".join(["n.size = 10"] * 350) + " RETURN count(n)", 1),
        ("WITH 1 AS x" + " WITH x + 1 AS x" * 22 + " RETURN x", 23),
        ("RETURN " + "CASE WHEN true THEN " * 30 + "1" + " END" * 30, 1),
        ("MATCH (a {entity_id: 'a'})" + "-[:depends]->()" * 4 + " RETURN count(*)", 1),
    ],
)
async def test_the_largest_queries_are_taken_by_both_engines(
    graph: Graph, text: str, value: int
) -> None:
    tenant = uuid4().hex
    await fill(graph, tenant)
    store = GraphStore(graph)

    answer = await Querying(store, Statistics(store)).answer(tenant, Question(text))

    assert answer.rows == [(value,)]
