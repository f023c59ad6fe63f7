"""One measurement: wrk against one server, and what the kernel says of the server meanwhile."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from harness import places, processes
from harness.processes import Memory
from harness.traffic import script

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.processes import Machine
    from harness.servers import Server


class Finished(msgspec.Struct, frozen=True):
    """What wrk wrote when it ended. Times are microseconds."""

    requests: int
    duration_us: int
    p50: int
    p95: int
    p99: int
    max: int
    connect: int
    read: int
    write: int
    status: int
    timeout: int

    @property
    def errors(self) -> int:
        """Sum the errors of every kind; `status` counts answers of 400 and above."""
        return self.connect + self.read + self.write + self.status + self.timeout


class Measurement(msgspec.Struct, frozen=True, kw_only=True, tag="measurement", tag_field="kind"):
    """One load of one server.

    Args:
        cpu_us: user and system time of the server's processes per request, microseconds.
        thread_us: the same by thread name.
        load_cpu: processors that wrk used; at 1.0 the load, not the server, is the limit.
        database_us: the same of the PostgreSQL behind the server, where there is one.
        other_cpu: processors that everything else on the machine used meanwhile.
        steal: share of a processor that neighbours of the virtual machine took.
        slow_ms: how slow the machine was (see `processes.slowness`).
    """

    scenario: str
    server: str
    traffic: str
    connections: int
    round: int
    seconds: float
    requests: int
    per_second: float
    cpu_us: float
    thread_us: dict[str, float]
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    errors: int
    status_errors: int
    idle: Memory
    loaded: Memory
    load_cpu: float
    other_cpu: float
    steal: float
    slow_ms: float
    database_us: float = 0.0


def wrk(
    port: int,
    traffic: str,
    connections: int,
    seconds: float,
    *,
    meanwhile: Callable[[], None] | None = None,
) -> Finished:
    """Send a kind of traffic for some seconds; `meanwhile` is called after seven tenths of them.

    Raises:
        RuntimeError: wrk failed; the message is the end of what it wrote.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script(traffic))
        file.flush()
        process = subprocess.Popen(
            _wrk_command(port, file.name, connections, seconds),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"FIRST_ENTITY": str(next_entity())},
            text=True,
        )
        timer = threading.Timer(seconds * 0.7, meanwhile or (lambda: None))
        timer.start()
        try:
            written = process.communicate(timeout=seconds + 60)[0]
        finally:
            process.kill()
            timer.join()
    _, found, line = written.rpartition("\nRESULT")
    if not found:
        raise RuntimeError(f"wrk: {written[-300:]}")
    return msgspec.json.decode(line, type=Finished)


def next_entity() -> int:
    """Pick the number of the first entity that a load creates: later loads get greater ones."""
    return int(time.time() * 10) % 10_000 * 100_000


def _wrk_command(port: int, file: str, connections: int, seconds: float) -> list[str]:
    placed = ["taskset", "--cpu-list", str(places.LOAD_CPU)]
    load = ["wrk", "--threads", "1", "--connections", str(connections)]
    load += ["--duration", f"{max(round(seconds), 1)}s", "--timeout", "5s", "--script", file]
    return [*placed, *load, f"http://127.0.0.1:{port}"]


class Usage:
    """What was used from `__init__` to `stop`, by the server, the load and the whole machine."""

    def __init__(self, server: Server, load_seconds: Callable[[], float]) -> None:
        """Begin; `load_seconds` tells what the load has used so far."""
        self._slow = processes.slowness()
        self._processes = server.processes()
        self._server = processes.cpu_seconds(self._processes)
        self._threads = processes.thread_seconds(self._processes)
        self._behind = server.of_database()
        self._database = processes.cpu_seconds(self._behind)
        self._machine = processes.machine()
        self._load_seconds = load_seconds
        self._load = load_seconds()
        self._started = time.perf_counter()

    def stop(self) -> None:
        """Fix the figures."""
        wall = time.perf_counter() - self._started
        now: Machine = processes.machine()
        load = self._load_seconds() - self._load
        self.server = processes.cpu_seconds(self._processes) - self._server
        self.database = processes.cpu_seconds(self._behind) - self._database
        self.threads = {
            name: seconds - self._threads.get(name, 0.0)
            for name, seconds in processes.thread_seconds(self._processes).items()
        }
        self.load_cpu = round(load / wall, 2)
        known = self.server + self.database + load
        self.other_cpu = round((now.busy - self._machine.busy - known) / wall, 2)
        self.steal = round((now.steal - self._machine.steal) / wall, 3)
        self.slow = max(self._slow, processes.slowness())


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(
    server: Server,
    traffic: str,
    connections: int,
    seconds: float,
    *,
    scenario: str,
    round_number: int,
    idle: Memory,
) -> Measurement:
    """Load a server with one kind of traffic and read what that cost it."""
    loaded: list[Memory] = []
    usage = Usage(server, _children_seconds)
    done = wrk(
        server.port,
        traffic,
        connections,
        seconds,
        meanwhile=lambda: loaded.append(processes.memory(server.processes())),
    )
    usage.stop()
    requests = max(done.requests, 1)
    per_request = 1e6 / requests
    return Measurement(
        scenario=scenario,
        server=server.name,
        traffic=traffic,
        connections=connections,
        round=round_number,
        seconds=seconds,
        requests=done.requests,
        per_second=round(requests / (done.duration_us / 1e6), 1),
        cpu_us=round(usage.server * per_request, 3),
        thread_us={n: round(s * per_request, 3) for n, s in usage.threads.items() if s > 0.02},
        p50_ms=done.p50 / 1e3,
        p95_ms=done.p95 / 1e3,
        p99_ms=done.p99 / 1e3,
        max_ms=done.max / 1e3,
        errors=done.errors,
        status_errors=done.status,
        idle=idle,
        loaded=loaded[0] if loaded else idle,
        load_cpu=usage.load_cpu,
        other_cpu=usage.other_cpu,
        steal=usage.steal,
        slow_ms=usage.slow,
        database_us=round(usage.database * per_request, 3),
    )
