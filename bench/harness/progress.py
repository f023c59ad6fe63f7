"""What is told of a measurement while the run goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.sockets import Fanned, Held

if TYPE_CHECKING:
    from harness.load import Measurement


def line(m: Measurement | Fanned | Held) -> str:
    """Write a measurement in a line."""
    if isinstance(m, Held):
        each = f"{m.kilobytes:>6.2f} KB each"
        return f"round {m.round} {m.scenario:14} {m.server:24} {m.sockets:>6} held {each}"
    if isinstance(m, Fanned):
        return (
            f"round {m.round} {m.scenario:14} {m.server:24} {m.per_second:>11.0f} delivered/s "
            f"{m.cpu_us:>6.2f} us p50 {m.p50_ms:.2f} p99 {m.p99_ms:.2f} ms lost {m.lost} "
            f"load {m.load_cpu} other {m.other_cpu} slow {m.slow_ms}"
        )
    return (
        f"round {m.round} {m.scenario:14} {m.server:24} {m.connections:>5} connections "
        f"{m.per_second:>9.0f} req/s {m.cpu_us:>8.1f} us p99 {m.p99_ms:.2f} ms "
        f"errors {m.errors} other {m.other_cpu} slow {m.slow_ms}"
    )
