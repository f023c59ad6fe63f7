"""WebSockets: what is measured with them, and how `ws-load` is run against a server for it."""

from __future__ import annotations

import subprocess
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from harness import places, processes
from harness.load import Usage
from harness.processes import Memory
from harness.servers import running
from harness.verify_sockets import verify_socket

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from harness.servers import Server, Spec

HUB = "gateway-hub"
PEERS = ("ws-warp", "ws-axum", "ws-socketify", "ws-node", "ws-websockets", "ws-fastapi")
STREAMING = (HUB, "ws-warp", "ws-axum", "ws-node", "ws-fastapi")
# The library `websockets` closes a connection behind an answer of HTTP.
KEEPING_ALIVE = (HUB, "ws-warp", "ws-axum", "ws-socketify", "ws-node", "ws-fastapi")
PATIENCE = 90.0
"""Seconds that the load may take to open its sockets, or longer than it was told to run."""
SETTLE = 1.0
"""Seconds after which the memory of idle sockets is read."""


class FanOut(NamedTuple):
    """One publisher, many subscribers.

    Args:
        rate: messages per second; 0 is as many as `window` messages under way let through.
        slow: further subscribers that never read.
        size: bytes of each message's text.
        events: whether the subscribers read server-sent events.
    """

    name: str
    title: str
    subscribers: int
    rate: int = 0
    slow: int = 0
    size: int = 200
    window: int = 16
    events: bool = False
    servers: tuple[str, ...] = (HUB, *PEERS)


class Hold(NamedTuple):
    """Connections that do nothing once they have had their answer."""

    name: str
    title: str
    http: bool
    sockets: int = 10_000
    servers: tuple[str, ...] = (HUB, *PEERS)


def _steady(name: str, title: str, subscribers: int) -> FanOut:
    return FanOut(name, title, subscribers, rate=20, window=1000)


def _beside(name: str, title: str, slow: int) -> FanOut:
    return FanOut(name, title, 50, rate=2000, slow=slow, size=1000, window=100_000)


SOCKETS: tuple[FanOut | Hold, ...] = (
    FanOut("fan-500", "Fan-out as fast as it goes, 500 subscribers", 500),
    FanOut("fan-5000", "Fan-out as fast as it goes, 5,000 subscribers", 5000),
    _steady("steady-500", "20 messages a second to 500 subscribers", 500),
    _steady("steady-5000", "20 messages a second to 5,000 subscribers", 5000),
    _beside("beside-none", "2,000 messages of 1 KB a second to 50 subscribers", 0),
    _beside("beside-slow", "The same beside five that never read", 5),
    FanOut(
        "events-500",
        "Server-sent events as fast as it goes, 500 subscribers",
        500,
        events=True,
        servers=STREAMING,
    ),
    Hold("hold-ws", "Idle WebSockets", http=False),
    Hold("hold-http", "Idle connections of HTTP", http=True, servers=KEEPING_ALIVE),
)


class Fanned(msgspec.Struct, frozen=True, kw_only=True, tag="fanned", tag_field="kind"):
    """One fan-out load of one server; the fields that `Measurement` has too mean the same.

    Args:
        delivered: messages received by subscribers while the load ran.
        lost: what subscribers had not received a second after the load ended.
        stalled: whether no message came through for 5 s.
        cpu_us: user and system time of the server's processes per delivery, microseconds.
        p50_ms: from sending a message until a subscriber has it; `all_*` until all have it.
    """

    scenario: str
    server: str
    round: int
    seconds: float
    published: int
    delivered: int
    lost: int
    stalled: bool
    cpu_us: float
    p50_ms: float
    p99_ms: float
    all_p50_ms: float
    all_p99_ms: float
    idle: Memory
    loaded: Memory
    load_cpu: float
    other_cpu: float
    steal: float
    slow_ms: float

    @property
    def per_second(self) -> float:
        """Deliveries per second."""
        return self.delivered / self.seconds


class Held(msgspec.Struct, frozen=True, kw_only=True, tag="held", tag_field="kind"):
    """What connections that do nothing take of a server's memory."""

    scenario: str
    server: str
    round: int
    sockets: int
    idle: Memory
    held: Memory

    @property
    def kilobytes(self) -> float:
        """Kilobytes for each connection, of 1,024 bytes."""
        return (self.held.pss_mb - self.idle.pss_mb) * 1024 / self.sockets


class _Result(msgspec.Struct, frozen=True):
    """What `ws-load` writes when it has ended."""

    published: int
    delivered: int
    lost: int
    stalled: bool
    seconds: float
    p50_ms: float
    p99_ms: float
    all_p50_ms: float
    all_p99_ms: float


def visit(
    name: str, spec: Spec, scenarios: Iterable[FanOut | Hold], number: int, seconds: float
) -> Iterator[Fanned | Held]:
    """Start a server for each of the scenarios and measure it.

    Anew each time, because what thousands of sockets leave behind in an allocator would be counted
    to the next scenario.

    Raises:
        RuntimeError: the load failed; the message is what it wrote.
        ServerError: the server did not start.
    """
    for scenario in scenarios:
        if name not in scenario.servers:
            continue
        with running(name, spec) as server:
            if wrong := verify_socket(server):
                raise RuntimeError("; ".join(wrong))
            if isinstance(scenario, FanOut):
                yield _fan_out(server, scenario, number, seconds)
            else:
                yield _hold(server, scenario, number)


def _fan_out(server: Server, scenario: FanOut, number: int, seconds: float) -> Fanned:
    idle = processes.memory(server.processes())
    words = {
        "subscribers": scenario.subscribers,
        "slow": scenario.slow,
        "seconds": seconds,
        "window": scenario.window,
        "bytes": scenario.size,
        "rate": scenario.rate,
        "events": server.spec.socket.events if scenario.events else "",
    }
    loaded: list[Memory] = []
    with _load(server, words) as load:
        usage = Usage(server, lambda: processes.cpu_seconds([load.pid]))
        meanwhile = threading.Timer(
            seconds * 0.9, lambda: loaded.append(processes.memory(server.processes()))
        )
        meanwhile.start()
        try:
            written = _start(load, seconds)
        finally:
            meanwhile.cancel()
            meanwhile.join()
        usage.stop()
    result = msgspec.json.decode(written, type=_Result)
    return Fanned(
        scenario=scenario.name,
        server=server.name,
        round=number,
        cpu_us=round(usage.server * 1e6 / max(result.delivered, 1), 3),
        idle=idle,
        loaded=loaded[0] if loaded else idle,
        load_cpu=usage.load_cpu,
        other_cpu=usage.other_cpu,
        steal=usage.steal,
        slow_ms=usage.slow,
        **msgspec.structs.asdict(result),
    )


def _hold(server: Server, scenario: Hold, number: int) -> Held:
    idle = processes.memory(server.processes())
    words = {"hold": scenario.sockets, "http": "yes" if scenario.http else "no"}
    with _load(server, words):
        time.sleep(SETTLE)
        held = processes.memory(server.processes())
    return Held(
        scenario=scenario.name,
        server=server.name,
        round=number,
        sockets=scenario.sockets,
        idle=idle,
        held=held,
    )


@contextmanager
def _load(server: Server, words: Mapping[str, object]) -> Generator[subprocess.Popen[str]]:
    """Run `ws-load`; yields when its sockets are open, and ends it."""
    endpoint = msgspec.structs.asdict(server.spec.socket) | {"port": server.port}
    command = [
        *("taskset", "--cpu-list", str(places.LOAD_CPU)),
        str(places.BENCH / "target/release/ws-load"),
        *(f"{name}={value}" for name, value in {**endpoint, **words}.items()),
    ]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        _expect(process, "READY", PATIENCE)
        yield process
    finally:
        process.kill()
        process.communicate()


def _start(load: subprocess.Popen[str], seconds: float) -> str:
    """Let the load begin; its result."""
    if load.stdin is not None:
        load.stdin.write("go\n")
        load.stdin.flush()
    return _expect(load, "RESULT", seconds + PATIENCE)


def _expect(load: subprocess.Popen[str], word: str, patience: float) -> str:
    """Read a line that begins with a word; what follows it.

    Raises:
        RuntimeError: something else came, or nothing in time.
    """
    deadline = threading.Timer(patience, load.kill)
    deadline.start()
    try:
        line = load.stdout.readline() if load.stdout else ""
    finally:
        deadline.cancel()
    if not line.startswith(word):
        raise RuntimeError(f"ws-load: {line.strip() or 'ended'}, where {word} was due")
    return line.removeprefix(word)
