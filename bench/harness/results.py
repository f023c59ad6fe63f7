"""A result file: JSON lines of what was measured, and the figures to believe among them."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from harness.environment import Environment
from harness.load import Measurement
from harness.sizes import Size
from harness.sockets import Fanned, Held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

Line: TypeAlias = Environment | Measurement | Fanned | Held | Size

_DECODER: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)

# A processor that others used, that neighbours took, and how much slower than at the run's best.
MOST_OTHER, MOST_STEAL, MOST_SLOWER = 0.25, 0.05, 1.15


class Results:
    """The lines of a result file, asked by scenario, server and connections."""

    def __init__(self, lines: Iterable[Line]) -> None:
        kept = list(lines)
        self.environments = [x for x in kept if isinstance(x, Environment)]
        self.measurements = [x for x in kept if isinstance(x, Measurement)]
        self.sizes = {x.name: x for x in kept if isinstance(x, Size)}
        self.held = [x for x in kept if isinstance(x, Held)]
        self._fanned = [x for x in kept if isinstance(x, Fanned)]
        loads: list[Measurement | Fanned] = [*self.measurements, *self._fanned]
        self._best = min((m.slow_ms for m in loads), default=0.0)

    def of(self, scenario: str, server: str, connections: int = 64) -> list[Measurement]:
        """List the measurements to believe: undisturbed ones, or all where there are none."""
        wanted = (scenario, server, connections)
        found = [m for m in self.measurements if (m.scenario, m.server, m.connections) == wanted]
        return [m for m in found if self.undisturbed(m)] or found

    def fanned(self, scenario: str, server: str) -> list[Fanned]:
        """List the fan-outs to believe, as `of` does."""
        found = [m for m in self._fanned if (m.scenario, m.server) == (scenario, server)]
        return [m for m in found if self.undisturbed(m)] or found

    def undisturbed(self, measured: Measurement | Fanned) -> bool:
        """Tell whether the machine was the bench's own and at full speed."""
        return (
            measured.other_cpu < MOST_OTHER
            and measured.steal < MOST_STEAL
            and measured.slow_ms <= self._best * MOST_SLOWER
        )

    def clean(self, scenario: str, connections: int, *servers: str) -> bool:
        """Tell whether the figures of servers come from undisturbed measurements."""
        found = [m for name in servers for m in self.of(scenario, name, connections)]
        return all(self.undisturbed(m) for m in found)

    def median(
        self,
        scenario: str,
        server: str,
        connections: int,
        figure: Callable[[Measurement], float],
    ) -> float | None:
        """Take the median of a figure; `None` where it was not measured."""
        found = self.of(scenario, server, connections)
        return statistics.median(map(figure, found)) if found else None


def add(part: Path, whole: Path) -> None:
    """Put the lines of one result file behind those of another, in place of its own of the same.

    The same is what has the scenario and the server, or is a size of the name.
    """
    new = part.read_bytes().splitlines(keepends=True)
    replaced = {_subject(_DECODER.decode(line)) for line in new} - {None}
    old = whole.read_bytes().splitlines(keepends=True)
    kept = [line for line in old if _subject(_DECODER.decode(line)) not in replaced]
    whole.write_bytes(b"".join([*kept, *new]))


def _subject(line: Line) -> tuple[str, str] | None:
    if isinstance(line, Environment):
        return None
    return ("size", line.name) if isinstance(line, Size) else (line.scenario, line.server)


def read(file: Path) -> Results:
    """Read a result file.

    Raises:
        msgspec.DecodeError: a line is not what this version of the bench writes.
    """
    return Results(map(_DECODER.decode, file.read_bytes().splitlines()))
