"""A desk at which tests ask graphs that are open for the whole of a module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeAlias, cast

import msgspec

from nexus_gateway.studio.knowledge_graph.errors import TooDear, Unevaluable
from nexus_gateway.studio.knowledge_graph.query import Querying, Question
from nexus_gateway.studio.knowledge_graph.stats import Statistics
from nexus_gateway.studio.knowledge_graph.store import GraphStore
from tests.studio.knowledge_graph.cypher.shop import PARAMETERS, fill

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping
    from types import TracebackType

    from nexus_gateway.studio.storage.graph import Graph

Rows: TypeAlias = list[list[object]]


class Desk:
    """A graph with tenants in it, each with the shop under marks of its own."""

    def __init__(self, runner: asyncio.Runner, graph: Graph, tenants: Mapping[str, str]) -> None:
        self._runner = runner
        self._graph = graph
        self._tenants = tenants
        store = GraphStore(graph)
        self._querying = Querying(store, Statistics(store))

    def __enter__(self) -> Self:
        self._runner.run(self._open())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._runner.run(self._graph.__aexit__(kind, error, trace))

    def ask(self, tenant: str, text: str, **more: object) -> Rows | None:
        """Ask; nothing where the query meets values that it does not take, or is too dear."""
        question = Question(text, parameters={**PARAMETERS, **more})
        try:
            answer = self._runner.run(self._querying.answer(tenant, question))
        except (Unevaluable, TooDear):
            return None
        return msgspec.json.decode(msgspec.json.encode(answer.rows), type=Rows)

    async def _open(self) -> None:
        await self._graph.__aenter__()
        for tenant, mark in self._tenants.items():
            await fill(self._graph, tenant, mark)


def in_no_order(rows: Rows | None) -> object:
    """Sort rows, and the lists in them, whose order a query did not say."""
    return None if rows is None else sorted(repr(_sorted(row)) for row in rows)


def _sorted(value: object) -> object:
    if isinstance(value, list):
        return sorted((_sorted(one) for one in cast("list[object]", value)), key=repr)
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        return {name: _sorted(one) for name, one in sorted(fields.items())}
    return value
