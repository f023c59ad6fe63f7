"""The graph, whatever keeps it: one protocol, an embedded engine and Neo4j behind it.

A node has the label `Entity` and the properties `tenant`, `entity_id`, `entity_type`, `name` and
others; an edge has a type out of `EDGE_TYPE` and carries `tenant` as well. Both engines keep
(`tenant`, `entity_id`) unique and find nodes by it. Statements are openCypher of the part that both
engines run alike; what a value may be is `Value`, so nodes, edges and
paths are never answered whole: return their properties.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Protocol, Self, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"
"""What goes in as a parameter and comes out in a row. Numbers are 64 bits wide."""

LABEL = "Entity"
"""The label of every node; what a node is of is its `entity_type`."""

EDGE_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
"""What the type of an edge may look like (match it whole): it stands in a statement's text."""


class Statement(msgspec.Struct, frozen=True):
    """A query or a change.

    Attributes:
        text: openCypher. What callers sent is never in it, it comes as parameters.
        parameters: named in the text as `$name`.
    """

    text: str
    parameters: Mapping[str, Value] = {}


class Rows(msgspec.Struct, frozen=True):
    """What a statement answered.

    Attributes:
        columns: their names, in the order of RETURN.
        rows: one tuple each, in the order of the columns.
        truncated: whether there were more than asked for.
    """

    columns: tuple[str, ...]
    rows: list[tuple[Value, ...]]
    truncated: bool = False


class Graph(Protocol):
    """A graph, opened by `async with` and closed with what was begun done."""

    @property
    def name(self) -> Literal["embedded", "neo4j"]:
        """Tell the engine."""
        ...

    async def __aenter__(self) -> Self:
        """Open it and make the uniqueness and the indexes.

        Raises:
            StorageUnavailable: it cannot be opened.
        """
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish what runs and let go of the engine."""
        ...

    async def read(self, statement: Statement, *, rows: int, seconds: float) -> Rows:
        """Answer a query; one that would change something is refused by the engine as well.

        Args:
            statement: what is asked.
            rows: answered at most; of more, `truncated` tells.
            seconds: that it may wait and run.

        Raises:
            BadStatement: the engine does not take it.
            GraphTimeout: it ran into its time.
            StorageUnavailable: the engine cannot answer now.
        """
        ...

    async def write(self, statements: Sequence[Statement], *, seconds: float) -> list[Rows]:
        """Run the statements in one transaction, all or none; durable once it returns.

        Cancelled: what has not begun never happens; what has is kept unseen.

        Raises:
            BadStatement: the engine does not take one of them; nothing was changed.
            Conflict: two nodes would have one identity; nothing was changed.
            GraphTimeout: they ran into their time; nothing was changed.
            StorageUnavailable: nothing was changed, unless the connection broke at its commit.
        """
        ...

    async def ping(self) -> None:
        """Ask whether it works.

        Raises:
            StorageUnavailable: it does not.
        """
        ...
