"""What the gateway weighs: memory and its growth, start times, and the module's size."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from harness import places, processes
from harness.load import wrk
from harness.servers import Server, ServerError, Spec, running
from harness.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STARTS = 5
CONNECTIONS = 512
GROWTH_REQUESTS = 2_000_000
WARM_REQUESTS = 500_000


class Size(msgspec.Struct, frozen=True, tag="size", tag_field="kind"):
    """One figure of size or time, with its unit."""

    name: str
    value: float
    unit: str


def sizes(specs: Mapping[str, Spec], *, seconds: float, growth: int) -> Iterator[Size]:
    """Measure everything that is not a rate; `growth` requests are sent to see memory grow."""
    yield from _module()
    for name in ("basic", "studio"):
        yield from _starts(name, specs[name])
    with running("basic", specs["basic"]) as server:
        if wrong := verify(server, ["basic"]):
            raise ServerError("; ".join(wrong))
        yield from _memory(server, seconds)
    # another process: what 512 connections needed would hide what a leak takes
    with running("basic", specs["basic"]) as server:
        yield from _growth(server, growth)


def _module() -> Iterator[Size]:
    for module in (places.REPOSITORY / "nexus_gateway").glob("_core*.so"):
        yield Size("native module", _megabytes(module), "MB")
        with tempfile.TemporaryDirectory() as folder:
            stripped = Path(folder) / module.name
            shutil.copy(module, stripped)
            subprocess.run(["strip", str(stripped)], check=True)
            yield Size("native module, stripped", _megabytes(stripped), "MB")


def _megabytes(file: Path) -> float:
    return round(file.stat().st_size / 1e6, 2)


def _starts(name: str, spec: Spec) -> Iterator[Size]:
    """Start several times in one data folder, on any processor; the first start fills caches."""
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        kept = msgspec.structs.replace(
            spec, environment=spec.environment | {"NEXUS_DATA_DIR": folder}
        )
        for _ in range(1 + STARTS):
            with running(name, kept, pinned=False) as server:
                times.append(server.ready_seconds)
    yield Size(f"{name}: first start", times[0], "s")
    yield Size(f"{name}: second start", round(statistics.median(times[1:]), 3), "s")


def _memory(server: Server, seconds: float) -> Iterator[Size]:
    time.sleep(1)
    yield Size("basic: resident at rest", processes.memory(server.processes()).rss_mb, "MB")
    loaded: list[float] = []
    wrk(
        server.port,
        "basic",
        CONNECTIONS,
        seconds,
        meanwhile=lambda: loaded.append(processes.memory(server.processes()).rss_mb),
    )
    yield Size(f"basic: resident at {CONNECTIONS} connections", loaded[0], "MB")


def _growth(server: Server, requests: int) -> Iterator[Size]:
    """Compare memory after a warm-up with that after so many requests more, both at rest."""
    _send(server, min(WARM_REQUESTS, requests))
    time.sleep(1)
    before = processes.memory(server.processes()).rss_mb
    sent = _send(server, requests)
    time.sleep(1)
    after = processes.memory(server.processes()).rss_mb
    yield Size("basic: requests of the growth test", sent, "")
    yield Size("basic: resident before them", before, "MB")
    yield Size("basic: growth over them", round(after - before, 2), "MB")


def _send(server: Server, requests: int) -> int:
    sent = 0
    while sent < requests:
        done = wrk(server.port, "basic", 64, 5)
        if done.errors or not done.requests:
            raise ServerError(f"{done.errors} errors in {done.requests} requests")
        sent += done.requests
    return sent
