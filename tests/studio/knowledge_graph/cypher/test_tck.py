"""Scenarios of openCypher's TCK: the right rows, an error, or a refusal, never a wrong answer.

`tck.json` is translated from https://github.com/opencypher/openCypher (Apache License 2.0,
"Neo Technology" and contributors) by `translate_tck.py`, which says what it leaves out.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.knowledge_graph.errors import TooDear, Unevaluable, Unreadable
from nexus_gateway.studio.knowledge_graph.query import Querying, Question
from nexus_gateway.studio.knowledge_graph.stats import Statistics
from nexus_gateway.studio.knowledge_graph.store import GraphStore

if TYPE_CHECKING:
    from nexus_gateway.studio.storage.graph import Graph


class Scenario(msgspec.Struct):
    query: str
    rows: list[list[object]] = []
    ordered: bool = False
    error: bool = False


SCENARIOS = msgspec.json.decode(
    Path(__file__).with_name("tck.json").read_bytes(), type=dict[str, Scenario]
)
KNOWN_WRONG: frozenset[str] = frozenset([])
"""Scenarios that the embedded engine is known to answer wrongly."""


async def test_no_scenario_is_answered_wrongly(graph: Graph) -> None:
    store = GraphStore(graph)
    querying = Querying(store, Statistics(store))
    counts, wrong = Counter[str](), dict[str, object]()
    for name, scenario in SCENARIOS.items():
        outcome, found = await _outcome(querying, scenario)
        counts[outcome] += 1
        if outcome == "wrong":
            wrong[name] = (scenario.query, scenario.rows, found)
    print(dict(counts))  # noqa: T201  # shown with -s

    assert {name: case for name, case in wrong.items() if name not in KNOWN_WRONG} == {}


async def _outcome(querying: Querying, scenario: Scenario) -> tuple[str, object]:
    try:
        answer = await querying.answer("tck", Question(scenario.query))
    except (Unreadable, Unevaluable, TooDear):
        return ("correct error" if scenario.error else "refused"), None
    rows = msgspec.json.decode(msgspec.json.encode(answer.rows), type=list[list[object]])
    same = _sorted(rows, scenario) == _sorted(scenario.rows, scenario)
    return ("correct" if same and not scenario.error else "wrong"), rows


def _sorted(rows: list[list[object]], scenario: Scenario) -> object:
    return rows if scenario.ordered else sorted(rows, key=repr)
