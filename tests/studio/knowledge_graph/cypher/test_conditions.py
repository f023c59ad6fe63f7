"""What is not true, false or null is no condition, what is no map has no keys, on both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from nexus_gateway.studio.knowledge_graph.errors import BadQuery, Unevaluable, Unreadable
from nexus_gateway.studio.knowledge_graph.query import Querying, Question
from nexus_gateway.studio.knowledge_graph.stats import Statistics
from nexus_gateway.studio.knowledge_graph.store import GraphStore

if TYPE_CHECKING:
    from nexus_gateway.studio.storage.graph import Graph

CONDITIONS = [
    "WITH $v AS x WHERE x RETURN x",
    "WITH {a: $v} AS m WHERE m.a RETURN 1 AS one",
    "WITH [$v] AS l WHERE l[0] RETURN 1 AS one",
    "WITH $v AS x WHERE coalesce(null, x) RETURN x",
    "WITH $v AS x RETURN NOT x AS y",
    "WITH $v AS x RETURN x AND true AS y",
    "WITH $v AS x RETURN false OR x AS y",
    "WITH $v AS x RETURN true XOR x AS y",
    "WITH $v AS x RETURN CASE WHEN x THEN 1 ELSE 2 END AS y",
    "WITH $v AS x RETURN [y IN [x] WHERE y] AS z",
    "WITH $v AS x RETURN any(y IN [x] WHERE y) AS z",
]


@pytest.mark.parametrize("value", ["false", "", 0, 1, 1.5, [], [True], {}], ids=repr)
async def test_only_truth_values_are_conditions(graph: Graph, value: object) -> None:
    querying = _querying(graph)
    for text in CONDITIONS:
        with pytest.raises(Unevaluable):
            await _ask(querying, text, v=value)


async def test_truth_values_and_null_are_conditions(graph: Graph) -> None:
    querying = _querying(graph)
    found = [[await _ask(querying, text, v=v) for v in (True, False, None)] for text in CONDITIONS]

    assert found == [
        [[(True,)], [], []],
        [[(1,)], [], []],
        [[(1,)], [], []],
        [[(True,)], [], []],
        [[(False,)], [(True,)], [(None,)]],
        [[(True,)], [(False,)], [(None,)]],
        [[(True,)], [(False,)], [(None,)]],
        [[(False,)], [(True,)], [(None,)]],
        [[(1,)], [(2,)], [(2,)]],
        [[([True],)], [([],)], [([],)]],
        [[(True,)], [(False,)], [(None,)]],
    ]


@pytest.mark.parametrize("value", ["'false'", "0", "[]", "{}", "1 + 1", "-1", "toLower('a')"])
async def test_what_is_never_a_truth_value_is_refused_as_written(graph: Graph, value: str) -> None:
    with pytest.raises(Unreadable, match="expected a condition"):
        await _ask(_querying(graph), f"MATCH (n) WHERE {value} RETURN n")


@pytest.mark.parametrize("value", ["5", "'x'", "true", "[1]", "1.5"])
async def test_what_is_no_map_has_no_keys(graph: Graph, value: str) -> None:
    querying = _querying(graph)
    with pytest.raises(Unevaluable):
        await _ask(querying, f"UNWIND [{value}] AS m RETURN m.a AS a")
    with pytest.raises(Unevaluable):
        await _ask(querying, f"WITH {{w: {value}}} AS m RETURN m.w.a AS a")


async def test_keys_of_maps_and_of_null(graph: Graph) -> None:
    found = await _ask(_querying(graph), "UNWIND [{a: 1}, {b: 2}, {}, null] AS m RETURN m.a AS a")

    assert found == [(1,), (None,), (None,), (None,)]


@pytest.mark.parametrize(
    ("part", "expected"),
    [("null..2", None), ("1..null", None), ("..null", None), ("$v..2", None), ("1..2", [2])],
)
async def test_a_slice_with_null_is_null(graph: Graph, part: str, expected: object) -> None:
    found = await _ask(_querying(graph), f"WITH $v AS v RETURN [1, 2, 3][{part}] AS y", v=None)

    assert found == [(expected,)]


def _querying(graph: Graph) -> Querying:
    store = GraphStore(graph)
    return Querying(store, Statistics(store))


async def _ask(querying: Querying, text: str, **given: object) -> object:
    answer = await querying.answer(uuid4().hex, Question(text, parameters=given))
    return answer.rows


@pytest.mark.parametrize("value", ["a", True, [1], {"k": 1}], ids=repr)
@pytest.mark.parametrize("sign", ["-", "*", "/", "%", "^"])
async def test_what_is_no_number_is_no_operand(graph: Graph, sign: str, value: object) -> None:
    querying = _querying(graph)
    for text in (f"WITH $v AS x RETURN x {sign} 2 AS y", f"RETURN 2 {sign} $v AS y"):
        with pytest.raises(Unevaluable):
            await _ask(querying, text, v=value)


@pytest.mark.parametrize("value", [0, 0.0])
async def test_a_divisor_is_never_zero(graph: Graph, value: float) -> None:
    querying = _querying(graph)
    for text in ("RETURN 1 / $v AS y", "RETURN 1.5 / $v AS y", "RETURN 1.5 % ($v * 2) AS y"):
        with pytest.raises(Unevaluable):
            await _ask(querying, text, v=value)
    with pytest.raises(Unreadable, match="divisor other than zero"):
        await _ask(querying, "RETURN 1 / 0.0 AS y")


async def test_numbers_and_null_are_operands(graph: Graph) -> None:
    text = "UNWIND [-4, 0, 2.5, null] AS x RETURN -x, x - 1, x * 2, x / 2.0, x % 2, 1 / (x + 1)"
    found = await _ask(_querying(graph), text)

    assert found == [
        (4, -5, -8, -2.0, 0, 0),
        (0, -1, 0, 0.0, 0, 1),
        (-2.5, 1.5, 5.0, 1.25, 0.5, pytest.approx(1 / 3.5)),
        (None, None, None, None, None, None),
    ]


@pytest.mark.parametrize("value", ["1.5", "0.0", "'a'", "true"])
async def test_range_takes_whole_numbers(graph: Graph, value: str) -> None:
    querying = _querying(graph)
    for arguments in (f"{value}, 3", f"0, {value}", f"0, 3, {value}"):
        with pytest.raises(Unreadable, match="whole number"):
            await _ask(querying, f"RETURN range({arguments}) AS y")
    with pytest.raises(BadQuery, match="whole number"):
        await _ask(querying, "RETURN range(0, $v) AS y", v=1.5)


@pytest.mark.parametrize("function", ["toString", "toInteger", "toFloat"])
@pytest.mark.parametrize("value", [[], [1], {}, {"k": 1}], ids=repr)
async def test_lists_and_maps_are_not_converted(graph: Graph, function: str, value: object) -> None:
    with pytest.raises(Unevaluable):
        await _ask(_querying(graph), f"RETURN {function}($v) AS y", v=value)


@pytest.mark.parametrize(
    "text",
    [
        "RETURN {} AS y",
        "RETURN size({}) AS y",
        "RETURN [1, {}] AS y",
        "RETURN {{k: {}}} AS y",
        "WITH a, {} AS y RETURN y",
        "RETURN count({}) AS y",
        "RETURN coalesce({}, 1) AS y",
    ],
)
async def test_a_pattern_is_a_condition_and_no_value(graph: Graph, text: str) -> None:
    querying = _querying(graph)
    with pytest.raises(Unreadable, match="found a pattern"):
        await _ask(querying, f"MATCH (a) {text.format('(a)-->()')}")
    assert await _ask(querying, "MATCH (a) WHERE NOT (a)-->() OR exists((a)-->()) RETURN a") == []


async def test_columns_are_sorted_by_what_is_made_of_them(graph: Graph) -> None:
    found = await _ask(
        _querying(graph),
        "UNWIND [4, 2, 3] AS a WITH a AS x WITH x % 3 AS x ORDER BY x * -1 LIMIT 3 RETURN x",
    )

    assert found == [(2,), (1,), (0,)]
