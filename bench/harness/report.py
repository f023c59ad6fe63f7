"""The report: a result file as tables in Markdown, placed between markers in the readmes."""

from __future__ import annotations

import itertools
import re
import statistics
from typing import TYPE_CHECKING

from harness import places
from harness.headline import PLOT, headline, plot
from harness.report_sockets import socket_tables, socket_targets
from harness.scenarios import LAYERS, SCENARIOS, Scenario
from harness.tables import table
from harness.targets import Target, targets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from harness.environment import Environment
    from harness.load import Measurement
    from harness.results import Results

READMES = (places.README, places.REPOSITORY / "README.md")


def render(results: Results) -> dict[str, str]:
    """Write the sections of the report by the names of their markers."""
    tables = [
        _scenario(results, scenario, n) for scenario in SCENARIOS for n in scenario.connections
    ]
    sections = [_layers(results), *socket_tables(results), _sizes(results)]
    bounds = [*targets(results), *socket_targets(results)]
    return {
        "headline": headline(results),
        "summary": f"{_environments(results)}\n\n{_targets(bounds)}",
        "tables": "\n\n".join(filter(None, [*tables, *sections])),
    }


class NotPublishedError(Exception):
    """The results are of a tree with uncommitted changes, or of several commits."""


def place(results: Results, sections: dict[str, str]) -> list[Path]:
    """Put the sections between their markers, in each readme that has them; the files written.

    Raises:
        NotPublishedError: the figures could not be repeated from one commit.
    """
    commits = {made.commit for made in results.environments}
    if len(commits) != 1 or any(commit.endswith("-dirty") for commit in commits):
        raise NotPublishedError(f"not of one clean commit: {', '.join(sorted(commits))}")
    PLOT.write_text(plot(results))
    written: list[Path] = [PLOT]
    for file in READMES:
        if not file.exists():
            continue
        before = text = file.read_text()
        for name, section in sections.items():
            start, end = f"<!-- bench: {name} -->", f"<!-- bench: end of {name} -->"
            pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
            text = pattern.sub((f"{start}\n{section}\n{end}").replace("\\", r"\\"), text)
        if text != before:
            file.write_text(text)
            written.append(file)
    return written


def _environments(results: Results) -> str:
    """State the machine, the versions and the commands of the run and of what was added to it."""
    if not results.environments:
        return ""
    whole, *parts = results.environments
    peers = {name: version for made in results.environments for name, version in made.peers.items()}
    programs = ", ".join(f"{name} {version}" for name, version in sorted(peers.items()))
    machine = (
        f"{whole.processor}, {whole.processors} processors, {whole.memory_gb:.0f} GB, "
        f"{whole.system}, Linux {whole.kernel}, Python {whole.python}; {programs}."
    )
    added = [f"Added: {_made(part)}." for part in parts]
    return "\n\n".join([f"{_made(whole)}: {machine}", *added])


def _made(made: Environment) -> str:
    return f"`{made.command}` on {made.date}, commit {made.commit}"


def _targets(found: Iterable[Target]) -> str:
    words = {True: "yes", False: "**no**", None: "-"}
    rows = (
        (
            target.sentence,
            f"{'at least' if target.at_least else 'at most'} {_figure(target.bound, target.unit)}",
            "-" if target.figure is None else _figure(target.figure, target.unit),
            words[target.met] if target.clean else "disturbed",
        )
        for target in found
    )
    return table(("figure", "bound", "measured", "met"), rows)


def _figure(value: float, unit: str) -> str:
    return f"{value:.4g} {unit}".strip()


def _scenario(results: Results, scenario: Scenario, connections: int) -> str:
    found = {name: results.of(scenario.name, name, connections) for name in scenario.servers}
    measured = {name: measurements for name, measurements in found.items() if measurements}
    if not measured:
        return ""
    references = [name for name in scenario.references if name in measured]
    header = ["server", "req/s", *(f"x {name}" for name in references), "CPU us/req"]
    header += [*(f"CPU x {name}" for name in references), "p50 ms", "p95", "p99", "max", "errors"]
    behind = any(m.database_us for measurements in measured.values() for m in measurements)
    header += ["PostgreSQL's CPU us/req"] * behind
    header += ["rest RSS/PSS MB", "load RSS/PSS MB", "load's CPU", "rounds"]
    fastest = sorted(measured, key=lambda name: -_median(measured[name], _per_second))
    rows = (_row(results, measured, name, references, behind=behind) for name in fastest)
    title = f"### {scenario.title} ({connections:,} connections)"
    return f"{title}\n\n{table(header, rows)}"


def _row(
    results: Results,
    measured: dict[str, list[Measurement]],
    name: str,
    references: Iterable[str],
    *,
    behind: bool,
) -> list[str]:
    own = measured[name]

    def ratios(figure: Callable[[Measurement], float]) -> list[str]:
        value = _median(own, figure)
        return [f"{value / _median(measured[other], figure):.2f}" for other in references]

    clean = sum(results.undisturbed(m) for m in own)
    return [
        name,
        f"{_median(own, _per_second):,.0f}",
        *ratios(_per_second),
        f"{_median(own, _cpu):.1f}",
        *ratios(_cpu),
        f"{_median(own, lambda m: m.p50_ms):.2f}",
        f"{_median(own, lambda m: m.p95_ms):.2f}",
        f"{_median(own, lambda m: m.p99_ms):.2f}",
        f"{max(m.max_ms for m in own):.1f}",
        str(sum(m.errors for m in own)),
        *([f"{_median(own, _database):.1f}"] if behind else []),
        f"{_median(own, lambda m: m.idle.rss_mb):.0f}/{_median(own, lambda m: m.idle.pss_mb):.0f}",
        f"{max(m.loaded.rss_mb for m in own):.0f}/{max(m.loaded.pss_mb for m in own):.0f}",
        f"{_median(own, lambda m: m.load_cpu):.2f}",
        str(len(own)) if clean else f"{len(own)}, disturbed",
    ]


def _layers(results: Results) -> str:
    """Give each layer what the variant with it costs more than the one without."""
    names = ("core", "hand-off", "handler", "database")
    columns: dict[str, list[float]] = {}
    for scenario in ("entity-get", "entity-create"):
        costs = [results.median(scenario, server, 64, _cpu) for server in LAYERS]
        if None in costs:
            return ""
        known = [cost for cost in costs if cost is not None]
        columns[scenario] = [
            known[0],
            *(b - a for a, b in itertools.pairwise(known)),
            known[-1],
        ]
    rows = (
        (name, *(f"{columns[scenario][i]:.1f}" for scenario in columns))
        for i, name in enumerate((*names, "all"))
    )
    layers = table(("CPU us per request", *columns), rows)
    sqlite = f"### Entity over SQLite, by layer\n\n{layers}\n\n{_threads(results)}"
    return "\n\n".join(filter(None, [sqlite, _layers_postgres(results)]))


def _layers_postgres(results: Results) -> str:
    """Give the same over PostgreSQL, whose own processes stand apart."""
    names = ("core", "hand-off", "handler", "database", "all", "PostgreSQL itself")
    columns: dict[str, list[float]] = {}
    for verb in ("get", "create"):
        costs = [results.median(f"entity-{verb}", server, 64, _cpu) for server in LAYERS[:3]]
        costs.append(results.median(f"postgres-{verb}", "studio-postgres", 64, _cpu))
        behind = results.median(f"postgres-{verb}", "studio-postgres", 64, _database)
        known = [cost for cost in costs if cost is not None]
        if len(known) < len(costs) or behind is None:
            return ""
        steps = (b - a for a, b in itertools.pairwise(known))
        columns[f"postgres-{verb}"] = [known[0], *steps, known[-1], behind]
    rows = (
        (name, *(f"{column[i]:.1f}" for column in columns.values())) for i, name in enumerate(names)
    )
    return (
        f"### Entity over PostgreSQL, by layer\n\n{table(('CPU us per request', *columns), rows)}"
    )


def _threads(results: Results) -> str:
    """Give the same by thread of the real studio."""
    rows: list[tuple[str, str]] = []
    for scenario in ("entity-get", "entity-create"):
        found = results.of(scenario, "studio")
        names = sorted({name for m in found for name in m.thread_us})
        for name in names:
            cost = statistics.median(m.thread_us.get(name, 0.0) for m in found)
            rows.append((f"{scenario}: `{name}`", f"{cost:.1f}"))
    return table(("thread of the studio", "CPU us/req"), rows)


def _sizes(results: Results) -> str:
    if not results.sizes:
        return ""
    rows = ((s.name, f"{s.value:,.10g} {s.unit}".strip()) for s in results.sizes.values())
    return f"### Sizes and start\n\n{table(('what', 'measured'), rows)}"


def _median(measured: list[Measurement], figure: Callable[[Measurement], float]) -> float:
    return statistics.median(map(figure, measured))


def _per_second(measured: Measurement) -> float:
    return measured.per_second


def _cpu(measured: Measurement) -> float:
    return measured.cpu_us


def _database(measured: Measurement) -> float:
    return measured.database_us
