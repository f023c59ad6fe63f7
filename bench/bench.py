#!/usr/bin/env python3
"""Measures the gateway beside its peers: start, verify, load, stop, server by server.

Every round visits all servers once, so that what slows the machine for a while slows all of them.
Each line of the result file is one measurement; `--report` makes the tables of it and puts them
into the readmes.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec
from harness import places, processes
from harness.environment import environment
from harness.load import Measurement, measure, wrk
from harness.progress import line
from harness.report import NotPublishedError, place, render
from harness.results import Line, add, read
from harness.scenarios import SCENARIOS, Scenario, Visited, servers_of
from harness.search import search
from harness.servers import Server, ServerError, Spec, running, specs
from harness.sizes import GROWTH_REQUESTS, Size, sizes
from harness.sockets import SOCKETS, Fanned, FanOut, Held, Hold
from harness.sockets import visit as visit_sockets
from harness.traffic import SUBJECTS, request
from harness.verify import verify, verify_limit
from harness.verify_sockets import verify_socket

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import FrameType

SIZES = "sizes"
SEARCH = "search"
BASIC = "basic"
QUICK_GROWTH = 200_000
QUICK_SOCKETS = 1000
DEFAULT_RESULTS = places.RESULTS / "latest.jsonl"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [scenario.name for scenario in (*SCENARIOS, *SOCKETS)]
    parser.add_argument("--scenarios", help=f"of {','.join([*names, SEARCH, SIZES])}; default: all")
    parser.add_argument("--servers", help="of servers.toml; default: all of the scenarios")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6, help="of each load")
    parser.add_argument("--quick", action="store_true", help="one round of short loads")
    parser.add_argument("--verify-only", action="store_true", help="no load")
    parser.add_argument("--no-setup", action="store_true", help="do not build the peers first")
    parser.add_argument(
        "--out",
        type=Path,
        help="default: results/latest.jsonl; of a part of the run, run/partial.jsonl",
    )
    parser.add_argument(
        "--add",
        action="store_true",
        help="put what is measured into results/latest.jsonl, for what it has of the same",
    )
    parser.add_argument(
        "--report",
        type=Path,
        nargs="?",
        const=DEFAULT_RESULTS,
        help="only make the tables of a file",
    )
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.rounds, chosen.seconds = 1, min(chosen.seconds, 2)
    partial = chosen.quick or chosen.scenarios or chosen.servers
    chosen.out = chosen.out or (places.RUN / "partial.jsonl" if partial else DEFAULT_RESULTS)
    return chosen


def main() -> int:
    """Run what the command line asks for; 1 where a server failed or answered wrongly."""
    chosen = arguments()
    signal.signal(signal.SIGTERM, end)
    processes.raise_open_files()
    if chosen.report:
        return report(chosen.report)
    if not chosen.no_setup:
        subprocess.run([places.BENCH / "setup.sh"], check=True)
    table, scenarios = specs(), _scenarios(chosen)
    if chosen.verify_only:
        names = _servers(chosen, [*scenarios, *_sockets(chosen)])
        return verify_all(table, scenarios, [*names, *_basic(chosen)])
    chosen.out.parent.mkdir(exist_ok=True)
    made = environment()  # before the file of results changes the tree
    with chosen.out.open("wb") as file:
        _write(file, made)
        failed = run(chosen, table, scenarios, file)
    if chosen.add:
        add(chosen.out, DEFAULT_RESULTS)
        chosen.out = DEFAULT_RESULTS
    return int(report(chosen.out) or failed)


def end(number: int, frame: FrameType | None) -> None:
    """End as at an error, so that the servers are stopped."""
    del frame
    sys.exit(128 + number)


def report(file: Path) -> int:
    """Print the tables of a result file; those of the default file also go into the readmes.

    1 where they do not, since the figures are not of one clean commit.
    """
    results = read(file)
    sections = render(results)
    print("\n\n".join(sections.values()))
    if file.resolve() != DEFAULT_RESULTS:
        return 0
    try:
        for written in place(results, sections):
            print(f"wrote {written}", file=sys.stderr)
    except NotPublishedError as error:
        print(f"the readmes stay as they are: {error}", file=sys.stderr)
        return 1
    return 0


def run(
    chosen: argparse.Namespace,
    table: Mapping[str, Spec],
    scenarios: list[Scenario],
    file: BinaryIO,
) -> bool:
    """Measure every round into the file; whether something failed."""
    failed = False
    for number in range(1, chosen.rounds + 1):
        for name in _servers(chosen, [*scenarios, *_sockets(chosen)]):
            try:
                for measured in measure_all(name, table[name], scenarios, number, chosen):
                    _write(file, measured)
                    print(line(measured), flush=True)
            except (ServerError, RuntimeError, OSError) as error:
                failed = True
                print(f"FAILED {name}: {error}", flush=True)
    growth = QUICK_GROWTH if chosen.quick else GROWTH_REQUESTS
    if _wanted(chosen, SEARCH):
        failed |= run_sizes(SEARCH, search(table, quick=chosen.quick), file)
    if _wanted(chosen, SIZES):
        found = sizes(table, seconds=chosen.seconds, growth=growth)
        failed |= run_sizes(SIZES, found, file)
    return failed


def run_sizes(name: str, found: Iterator[Size], file: BinaryIO) -> bool:
    """Measure what is not compared with peers into the file; whether something failed."""
    try:
        for size in found:
            _write(file, size)
            print(f"{size.name}: {size.value} {size.unit}", flush=True)
    except (ServerError, RuntimeError, OSError) as error:
        print(f"FAILED {name}: {error}", flush=True)
        return True
    return False


def measure_all(
    name: str,
    spec: Spec,
    scenarios: list[Scenario],
    number: int,
    chosen: argparse.Namespace,
) -> Iterator[Measurement | Fanned | Held]:
    """Measure all that a server takes part in this round, by HTTP and by WebSocket."""
    yield from visit(name, spec, scenarios, number, chosen)
    yield from visit_sockets(name, spec, _sockets(chosen), number, chosen.seconds)


def visit(
    name: str,
    spec: Spec,
    scenarios: list[Scenario],
    number: int,
    chosen: argparse.Namespace,
) -> Iterator[Measurement]:
    """Start a server once and measure all that it takes part in this round.

    Raises:
        ServerError: it did not start, or an answer is not as it must be.
    """
    parts = [s for s in scenarios if name in s.servers and number <= (s.rounds or chosen.rounds)]
    if not parts:
        return
    if number == 1:
        _check_limit(name, spec, parts)
    with running(name, spec) as server:
        _prepare(server, parts)
        time.sleep(0.5)
        idle = processes.memory(server.processes())
        for scenario in parts:
            kind = scenario.kind(name)
            seconds = 5 if chosen.quick and scenario.seconds else scenario.seconds
            wrk(server.port, kind, 64, 1)
            for connections in scenario.connections:
                yield measure(
                    server,
                    kind,
                    connections,
                    seconds or chosen.seconds,
                    scenario=scenario.name,
                    round_number=number,
                    idle=idle,
                )


def verify_all(table: Mapping[str, Spec], scenarios: list[Scenario], names: list[str]) -> int:
    """Start every server and compare its answers, without load."""
    failed = False
    for name in names:
        try:
            parts = [s for s in scenarios if name in s.servers]
            _check_limit(name, table[name], parts)
            with running(name, table[name]) as server:
                _prepare(server, parts)
                _verify_sockets(server)
                memory = processes.memory(server.processes())
                print(
                    f"{name:24} ok   ready {server.ready_seconds:.2f} s   "
                    f"resident {memory.rss_mb:.0f} MB, shared divided {memory.pss_mb:.0f} MB",
                    flush=True,
                )
        except (ServerError, OSError) as error:
            failed = True
            print(f"{name:24} FAILED: {error}", flush=True)
    return int(failed)


def _check_limit(name: str, spec: Spec, parts: list[Scenario]) -> None:
    """Start a server once with a limit that is reached, which no load reaches."""
    kinds = {s.kind(name) for s in parts} & {"report", "create"}
    if not kinds or spec.unchecked:
        return
    limited = msgspec.structs.replace(spec, environment=spec.environment | {"LIMIT": "1"})
    with running(name, limited) as server:
        wrong = [line for kind in sorted(kinds) for line in verify_limit(server, kind)]
    if wrong:
        raise ServerError("; ".join(wrong))


def _prepare(server: Server, parts: list[Scenario]) -> None:
    """Create the entities that are read, and compare the answers of each kind of traffic."""
    kinds = list(dict.fromkeys(scenario.kind(server.name) for scenario in parts))
    if not kinds and server.name == BASIC:
        kinds = [BASIC]
    if "studio-get" in kinds and not server.spec.constant:
        for number in range(SUBJECTS):
            server.call(request("studio-create", number))
    if wrong := verify(server, kinds):
        raise ServerError("; ".join(wrong))


def _verify_sockets(server: Server) -> None:
    """Compare what comes of frames, where the server takes part in a scenario of sockets."""
    if server.name not in servers_of(SOCKETS):
        return
    if wrong := verify_socket(server):
        raise ServerError("; ".join(wrong))


def _scenarios(chosen: argparse.Namespace) -> list[Scenario]:
    return [scenario for scenario in SCENARIOS if _wanted(chosen, scenario.name)]


def _sockets(chosen: argparse.Namespace) -> list[FanOut | Hold]:
    wanted = [scenario for scenario in SOCKETS if _wanted(chosen, scenario.name)]
    if not chosen.quick:
        return wanted
    return [s._replace(sockets=QUICK_SOCKETS) if isinstance(s, Hold) else s for s in wanted]


def _servers(chosen: argparse.Namespace, scenarios: Iterable[Visited]) -> list[str]:
    names = servers_of(scenarios)
    return [n for n in names if n in chosen.servers.split(",")] if chosen.servers else names


def _basic(chosen: argparse.Namespace) -> list[str]:
    """Name the server of the sizes, which is no part of a scenario."""
    named = not chosen.servers or BASIC in chosen.servers.split(",")
    return [BASIC] if named and _wanted(chosen, SIZES) else []


def _wanted(chosen: argparse.Namespace, scenario: str) -> bool:
    return not chosen.scenarios or scenario in chosen.scenarios.split(",")


def _write(file: BinaryIO, line: Line) -> None:
    file.write(msgspec.json.encode(line) + b"\n")
    file.flush()


if __name__ == "__main__":
    sys.exit(main())
