"""The headline for README.md: one sentence, a table of five servers, and the plot of the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape

from harness import places
from harness.tables import table

if TYPE_CHECKING:
    from harness.results import Results

SCENARIO, CONNECTIONS = "report", 64
PLOT = places.RESULTS / "report.svg"

_SERVERS = {
    "gateway-python": "NEXUS, handler in Python",
    "gateway-native": "NEXUS, answered by the core",
    "warp": "Warp (Rust)",
    "django-bolt-native": "django-bolt (no ids, no counters)",
    "fastapi-uvicorn": "FastAPI on uvicorn",
}
_OWN = ("gateway-python", "gateway-native")
_OPENING = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
    'font-family="sans-serif" font-size="13">'
)
# Pixels of the plot.
_WIDTH, _ROW, _LABELS, _FIGURES = 720, 28, 210, 90


class _Row(NamedTuple):
    server: str
    name: str
    per_second: float
    cpu_us: float


def headline(results: Results) -> str:
    """Write the section; empty where one of the servers was not measured."""
    rows = _rows(results)
    if not rows:
        return ""
    costs = {row.server: row.cpu_us for row in rows}
    rates = {row.server: row.per_second for row in rows}
    gateway = costs["gateway-python"]
    made = results.environments[0]
    sentence = (
        "A request through the full pipeline (token, scope, limit, CORS, ids, metrics) to a "
        f"handler in Python costs {gateway:.1f} µs of CPU, where Warp in Rust takes "
        f"{costs['warp']:.1f} µs, django-bolt {costs['django-bolt-native']:.1f} µs and FastAPI "
        f"{costs['fastapi-uvicorn']:.0f} µs."
    )
    figures = (
        (
            row.name,
            f"{row.cpu_us:.1f}",
            f"{row.per_second:,.0f}",
            f"{row.per_second / rates['warp']:.2f} x",
        )
        for row in rows
    )
    header = ("report, 64 connections", "CPU µs per request", "requests per second", "to Warp")
    return (
        f"{sentence}\n\n{table(header, figures)}\n\n"
        f"![CPU per request of five servers](bench/results/{PLOT.name})\n\n"
        f"One run on {made.date}, commit {made.commit}, one processor for each server, "
        f"Python {made.python}. [bench/README.md](bench/README.md) has all scenarios, versions and "
        "how it is measured; `make bench` repeats it."
    )


def plot(results: Results) -> str:
    """Draw CPU per request as bars, in SVG; empty where one of the servers was not measured."""
    rows = _rows(results)
    if not rows:
        return ""
    longest = max(row.cpu_us for row in rows)
    height = _ROW * len(rows) + 30
    lines = [
        _OPENING.format(width=_WIDTH, height=height),
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        '<text x="8" y="18" fill="#333333">CPU per request, µs (less is better)</text>',
    ]
    for index, row in enumerate(rows):
        top = 28 + index * _ROW
        length = max(1.0, row.cpu_us / longest * (_WIDTH - _LABELS - _FIGURES))
        color = "#c2410c" if row.server in _OWN else "#64748b"
        lines += [
            f'<text x="8" y="{top + 16}" fill="#111111">{escape(row.name)}</text>',
            f'<rect x="{_LABELS}" y="{top + 3}" width="{length:.1f}" height="18" fill="{color}"/>',
            f'<text x="{_LABELS + length + 6:.1f}" y="{top + 16}">{row.cpu_us:.1f}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def _rows(results: Results) -> list[_Row]:
    """List the five servers in their order; empty where one is missing."""
    found: list[_Row] = []
    for server, name in _SERVERS.items():
        rate = results.median(SCENARIO, server, CONNECTIONS, lambda m: m.per_second)
        cost = results.median(SCENARIO, server, CONNECTIONS, lambda m: m.cpu_us)
        if rate is None or cost is None:
            return []
        found.append(_Row(server, name, rate, cost))
    return found
