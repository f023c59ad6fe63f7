"""What a query's names stand for while it is written anew: names, constants and parameters of ours.

Nothing of a caller's text comes into a statement: variables get names of ours, and constants become
parameters. Only the names of properties and of edge types do, which are words and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.knowledge_graph.cypher.kinds import Kind
from nexus_gateway.studio.knowledge_graph.cypher.misread import Misread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexus_gateway.studio.knowledge_graph.cypher import tree
    from nexus_gateway.studio.storage.graph import Value


class Known(msgspec.Struct, frozen=True):
    """What a caller's name stands for."""

    text: str
    kind: Kind


class Scope(dict[str, Known]):
    """What names are known at a place of a query."""

    def of(self, variable: tree.Variable) -> Known:
        """Look a name up.

        Raises:
            Misread: no clause before has given it.
        """
        known = self.get(variable.name)
        if known is None:
            raise Misread(variable.at, f"the name {variable.name!r} is not known here")
        return known

    def within(self, more: Mapping[str, Known]) -> Scope:
        """Make the scope of a part that knows more names."""
        return Scope({**self, **more})


class Names:
    """Gives out the names of one statement, and keeps what they stand for."""

    def __init__(self) -> None:
        self._variables = 0
        self.constants: dict[str, Value] = {}
        self.parameters: dict[str, str] = {}
        self.times: dict[str, str] = {}
        self.whole_numbers: set[str] = set()
        self._kept: dict[tuple[type, str], str] = {}

    def variable(self) -> str:
        """Make a name for a variable."""
        self._variables += 1
        return f"v{self._variables}"

    def constant(self, value: str | float) -> str:
        """Keep a constant, each once, and write how it is named."""
        # Minus nothing equals nothing, and is another number all the same.
        key = (type(value), repr(value))
        if key not in self._kept:
            name = f"c{len(self.constants) + 1}"
            self._kept[key] = name
            self.constants[name] = value
        return f"${self._kept[key]}"

    def parameter(self, name: str) -> str:
        """Write a caller's parameter under a name of ours."""
        return f"${self.parameters.setdefault(name, f'p{len(self.parameters) + 1}')}"

    def time(self, name: str) -> str:
        """Write a caller's parameter that is a time, which the graph keeps as a number."""
        return f"${self.times.setdefault(name, f't{len(self.times) + 1}')}"
