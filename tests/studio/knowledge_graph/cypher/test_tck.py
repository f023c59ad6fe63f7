"""Scenarios of openCypher's TCK: the right rows, an error, or a refusal, never a wrong answer.

`tck.json` is translated from https://github.com/opencypher/openCypher by `translate_tck.py`, and
says what is left out; `NOTICE-TCK.md` has the copyright. `tck_refused.json` lists the reasons for
which scenarios are refused that have an answer, and the scenarios of each: with
UPDATE_TCK_REFUSED=1 the test writes it, and the difference is for a reviewer.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

import msgspec

from nexus_gateway.studio.knowledge_graph.errors import (
    BadQuery,
    TooDear,
    Unevaluable,
    Unreadable,
    WriteRefused,
)
from nexus_gateway.studio.knowledge_graph.models import Bulk
from nexus_gateway.studio.knowledge_graph.query import Querying, Question
from nexus_gateway.studio.knowledge_graph.service import Author, KnowledgeGraph
from nexus_gateway.studio.knowledge_graph.stats import Statistics
from nexus_gateway.studio.knowledge_graph.store import GraphStore
from nexus_gateway.studio.storage.graph_embedded import EmbeddedGraph
from tests.studio.knowledge_graph.cypher.shop import MADE
from tests.studio.knowledge_graph.cypher.translate_tck import UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Mapping


class Scenario(msgspec.Struct):
    """What is asked, and what must come of it.

    Attributes:
        columns: none where a scenario says only that the answer is empty.
        graph: the place of the graph in `graphs`; without one, the graph is empty.
    """

    query: str
    columns: list[str] | None = None
    rows: list[list[object]] = []
    ordered: bool = False
    lists_unordered: bool = False
    error: bool = False
    parameters: dict[str, object] = {}
    graph: int | None = None


class Translated(msgspec.Struct):
    left_out: dict[str, int]
    graphs: list[Bulk]
    scenarios: dict[str, Scenario]


FOLDER = Path(__file__).parent
REFUSED = FOLDER / "tck_refused.json"


async def test_no_scenario_is_answered_wrongly(tmp_path: Path) -> None:
    translated = msgspec.json.decode((FOLDER / "tck.json").read_bytes(), type=Translated)
    counts, wrong = Counter[str](), dict[str, object]()
    refused = defaultdict[str, list[str]](list)
    async with EmbeddedGraph(tmp_path / "graph.kgl") as graph:
        store = GraphStore(graph)
        service = KnowledgeGraph(store, clock=lambda: MADE)
        for number, bulk in enumerate(translated.graphs):
            await service.load(Author(f"tck-{number}", "alice"), bulk)
        querying = Querying(store, Statistics(store))
        for name, scenario in translated.scenarios.items():
            outcome, found = await _outcome(querying, scenario)
            counts[outcome] += 1
            if outcome == "wrong":
                wrong[name] = (scenario.query, scenario.columns, scenario.rows, found)
            elif outcome == "refused":
                refused[cast("str", found)].append(name)
    print(dict(counts))  # noqa: T201  # shown with -s

    assert wrong == {}
    found = {reason: sorted(names) for reason, names in sorted(refused.items())}
    if os.environ.get("UPDATE_TCK_REFUSED"):
        REFUSED.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    assert found == msgspec.json.decode(REFUSED.read_bytes())


async def _outcome(querying: Querying, scenario: Scenario) -> tuple[str, object]:
    tenant = "tck-empty" if scenario.graph is None else f"tck-{scenario.graph}"
    try:
        answer = await querying.answer(
            tenant, Question(scenario.query, parameters=scenario.parameters)
        )
    except WriteRefused as error:
        return "wrong", str(error)
    except (Unreadable, Unevaluable, TooDear, BadQuery) as error:
        return ("correct error", None) if scenario.error else ("refused", _reason(error))
    except Exception as error:  # noqa: BLE001  # any other is a 5xx, and reported with its query
        return "wrong", repr(error)
    rows = msgspec.json.decode(msgspec.json.encode(answer.rows), type=list[list[object]])
    found = _in_order([[_as_written(value) for value in row] for row in rows], scenario)
    right = (
        not scenario.error
        and not answer.truncated
        and repr(found) == repr(_in_order(scenario.rows, scenario))
        and (scenario.columns is None or list(answer.columns) == scenario.columns)
    )
    return ("correct" if right else "wrong"), (answer.columns, found)


def _reason(error: Exception) -> str:
    """Cut the place of an error and what was found there."""
    said = re.sub(r"^line \d+, column \d+: ", "", str(error))
    said = re.sub(r", (?:but )?found .*", "", said)
    return re.sub(r"\d[\d,]{3,}", "N", said)


def _as_written(value: object) -> object:
    """Write what is told of nodes, edges and paths as `tck.json` does."""
    if isinstance(value, list):
        return [_as_written(one) for one in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    told = cast("dict[str, object]", value)
    if "entity_id" in told:
        return {"~node": _node(told)}
    if "edge_id" in told:
        return {"~edge": [told["type"], told["attributes"]]}
    if told.keys() == {"length", "nodes", "edges"}:
        nodes = cast("list[dict[str, object]]", told["nodes"])
        edges = cast("list[dict[str, object]]", told["edges"])
        path: list[object] = [_node(nodes[0])]
        for at, edge in enumerate(edges):
            back = edge["source"] != nodes[at]["entity_id"]
            path += [[edge["type"], edge["attributes"], "in" if back else "out"]]
            path += [_node(nodes[at + 1])]
        return {"~path": path}
    return {name: _as_written(one) for name, one in told.items()}


def _node(told: Mapping[str, object]) -> list[object]:
    label = "" if told["entity_type"] == UNLABELLED else told["entity_type"]
    attributes = dict(cast("dict[str, object]", told["attributes"]))
    if told.get("name") is not None:
        attributes["name"] = told["name"]
    return [label, attributes]


def _in_order(rows: list[list[object]], scenario: Scenario) -> list[object]:
    canonical = [[_canonical(value, scenario) for value in row] for row in rows]
    return list(canonical) if scenario.ordered else sorted(canonical, key=repr)


def _canonical(value: object, scenario: Scenario) -> object:
    """Sort the names of maps, and lists where a scenario leaves their order open."""
    if isinstance(value, list):
        found = [_canonical(one, scenario) for one in cast("list[object]", value)]
        return sorted(found, key=repr) if scenario.lists_unordered else found
    if isinstance(value, dict):
        told = cast("dict[str, object]", value)
        if told.keys() & {"~node", "~edge", "~path"}:
            return {name: _plain(one) for name, one in told.items()}
        return {name: _canonical(told[name], scenario) for name in sorted(told)}
    # The two zeros are equal.
    return 0.0 if isinstance(value, float) and value == 0.0 else value


def _plain(value: object) -> object:
    if isinstance(value, list):
        return [_plain(one) for one in cast("list[object]", value)]
    if isinstance(value, dict):
        told = cast("dict[str, object]", value)
        return {name: _plain(told[name]) for name in sorted(told)}
    return value
