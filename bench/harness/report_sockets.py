"""The tables of the WebSocket scenarios, and what the hub has set itself to reach in them."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from harness.sockets import HUB, SOCKETS, Fanned, FanOut, Held, Hold
from harness.tables import table
from harness.targets import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from harness.results import Results

REFERENCES = ("ws-warp", "ws-socketify")
WARP, SOCKETIFY = REFERENCES


def socket_tables(results: Results) -> list[str]:
    """Write a table for each fan-out, and one for all that was held."""
    fan_outs = [_fan_out(results, s) for s in SOCKETS if isinstance(s, FanOut)]
    return [*fan_outs, _held(results, [s for s in SOCKETS if isinstance(s, Hold)])]


def socket_targets(results: Results) -> list[Target]:
    """Compare the hub with its bounds."""
    found = [
        ratio
        for scenario, words in (("fan-500", "500"), ("fan-5000", "5,000"))
        for ratio in (
            _ratio(results, scenario, words, WARP, 3),
            _ratio(results, scenario, words, SOCKETIFY, 0.8),
        )
    ]
    for scenario, words in (("steady-500", "500"), ("steady-5000", "5,000")):
        name = f"fan-out to {words}, 20 messages a second: p99 to that of warp"
        ratio = _divided(results, (scenario, HUB), (scenario, WARP), lambda m: m.p99_ms)
        found.append(Target(name, 1, "x", ratio, clean=_clean(results, scenario, HUB, WARP)))
    held = [m.kilobytes for m in results.held if (m.server, m.scenario) == (HUB, "hold-ws")]
    name = "memory for each of 10,000 idle WebSockets"
    found.append(Target(name, 12, "KB", statistics.median(held) if held else None))
    return [*found, *_slow(results)]


def _slow(results: Results) -> list[Target]:
    """Compare the hub beside readers that never read with the hub without them."""
    beside, without = ("beside-slow", HUB), ("beside-none", HUB)
    p99 = _divided(results, beside, without, lambda m: m.p99_ms)
    clean = _clean(results, "beside-slow", HUB) and _clean(results, "beside-none", HUB)
    slow = results.fanned(*beside)
    lost = sum(m.lost for m in slow) if slow else None
    grown = statistics.median(m.loaded.pss_mb - m.idle.pss_mb for m in slow) if slow else None
    return [
        Target("beside five that never read: p99 to that without", 1.5, "x", p99, clean=clean),
        Target("beside five that never read: lost to those that read", 0, "", lost),
        Target("beside five that never read: growth of memory", 16, "MB", grown),
    ]


def _ratio(results: Results, scenario: str, words: str, peer: str, bound: float) -> Target:
    ratio = _divided(results, (scenario, HUB), (scenario, peer), lambda m: m.per_second)
    name = f"fan-out to {words}, as fast as it goes: deliveries per second to {peer[3:]}"
    clean = _clean(results, scenario, HUB, peer)
    return Target(name, bound, "x", ratio, at_least=True, clean=clean)


def _divided(
    results: Results,
    own: tuple[str, str],
    other: tuple[str, str],
    figure: Callable[[Fanned], float],
) -> float | None:
    ours, theirs = results.fanned(*own), results.fanned(*other)
    if not ours or not theirs:
        return None
    return _median(ours, figure) / (_median(theirs, figure) or 1.0)


def _clean(results: Results, scenario: str, *servers: str) -> bool:
    found = [m for server in servers for m in results.fanned(scenario, server)]
    return all(results.undisturbed(m) for m in found)


def _median(measured: Iterable[Fanned], figure: Callable[[Fanned], float]) -> float:
    return statistics.median(map(figure, measured))


def _fan_out(results: Results, scenario: FanOut) -> str:
    found = {name: results.fanned(scenario.name, name) for name in scenario.servers}
    measured = {name: fanned for name, fanned in found.items() if fanned}
    if not measured:
        return ""
    references = [name for name in REFERENCES if name in measured]
    header = ["server", "delivered/s", *(f"x {name[3:]}" for name in references)]
    header += ["CPU us each", "p50 ms", "p99", "all have it p50", "p99", "lost"]
    header += ["PSS MB before/under load", "load's CPU", "rounds"]
    fastest = sorted(measured, key=lambda name: -_median(measured[name], lambda m: m.per_second))
    rows = (_row(results, measured, name, references) for name in fastest)
    return f"### {scenario.title}\n\n{table(header, rows)}"


def _row(
    results: Results, measured: dict[str, list[Fanned]], name: str, references: Iterable[str]
) -> list[str]:
    own = measured[name]
    rate = _median(own, lambda m: m.per_second)
    ratios = [rate / _median(measured[other], lambda m: m.per_second) for other in references]
    idle = _median(own, lambda m: m.idle.pss_mb)
    clean = any(results.undisturbed(m) for m in own)
    return [
        name,
        f"{rate:,.0f}",
        *(f"{ratio:.2f}" for ratio in ratios),
        f"{_median(own, lambda m: m.cpu_us):.2f}",
        f"{_median(own, lambda m: m.p50_ms):.2f}",
        f"{_median(own, lambda m: m.p99_ms):.2f}",
        f"{_median(own, lambda m: m.all_p50_ms):.2f}",
        f"{_median(own, lambda m: m.all_p99_ms):.2f}",
        f"{sum(m.lost for m in own):,}" + (", stalled" if any(m.stalled for m in own) else ""),
        f"{idle:.0f}/{max(m.loaded.pss_mb for m in own):.0f}",
        f"{_median(own, lambda m: m.load_cpu):.2f}",
        str(len(own)) if clean else f"{len(own)}, disturbed",
    ]


def _held(results: Results, scenarios: list[Hold]) -> str:
    columns: dict[str, dict[str, list[Held]]] = {s.name: {} for s in scenarios}
    for held in results.held:
        columns[held.scenario].setdefault(held.server, []).append(held)
    servers = list(dict.fromkeys(held.server for held in results.held))
    if not servers:
        return ""

    def cell(scenario: Hold, server: str) -> str:
        found = columns[scenario.name].get(server)
        return f"{statistics.median(m.kilobytes for m in found):.1f}" if found else "-"

    rows = ((server, *(cell(scenario, server) for scenario in scenarios)) for server in servers)
    header = ("server", *(f"{s.title.lower()}: KB each" for s in scenarios))
    return f"### Ten thousand idle connections\n\n{table(header, rows)}"
