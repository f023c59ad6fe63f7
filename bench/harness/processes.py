"""What the kernel says of processes: CPU time, memory and threads; how busy the machine is."""

from __future__ import annotations

import os
import resource
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_TICK = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


class Memory(NamedTuple):
    """Megabytes of a process tree: resident, and with shared pages divided among their users."""

    rss_mb: float
    pss_mb: float


class Machine(NamedTuple):
    """Seconds since boot that all processors were busy, and that a neighbour had them."""

    busy: float
    steal: float


def tree(process: int) -> list[int]:
    """List a process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(entry)):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = [process]
    while waiting:
        current = waiting.pop()
        found.append(current)
        waiting += children.get(current, [])
    return found


def cpu_seconds(processes: Iterable[int]) -> float:
    """Sum user and system time of processes, those that have ended left out."""
    return sum(_seconds(_stat(_PROC / str(process))) for process in processes)


def thread_seconds(processes: Iterable[int]) -> dict[str, float]:
    """Sum user and system time by the threads' names; `main` is each process's first."""
    total: dict[str, float] = {}
    for process in processes:
        for thread in (_PROC / str(process) / "task").glob("*"):
            try:
                name = (thread / "comm").read_text().strip()
            except OSError:
                continue
            name = "main" if thread.name == str(process) else name
            total[name] = total.get(name, 0.0) + _seconds(_stat(thread))
    return total


def memory(processes: Iterable[int]) -> Memory:
    """Sum the memory of processes."""
    kilobytes: Counter[str] = Counter()
    for process in processes:
        try:
            lines = (_PROC / str(process) / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, value = line.partition(":")
            if name in {"Rss", "Pss"}:
                kilobytes[name] += int(value.split()[0])
    return Memory(round(kilobytes["Rss"] / 1024, 2), round(kilobytes["Pss"] / 1024, 2))


def machine() -> Machine:
    """Read how long the whole machine was busy."""
    line = (_PROC / "stat").read_text().partition("\n")[0]
    user, nice, system, _idle, _io, hard, soft, steal = (int(x) for x in line.split()[1:9])
    return Machine((user + nice + system + hard + soft) / _TICK, steal / _TICK)


def slowness() -> float:
    """Time a fixed piece of work on the servers' processor: milliseconds, the best of five.

    A virtual machine has neighbours and a laptop has a governor; a measurement made while this is
    well above the run's best is left out of the report.
    """
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {0})
    try:
        return round(min(_fixed_work() for _ in range(5)) * 1e3, 3)
    finally:
        os.sched_setaffinity(0, allowed)


def raise_open_files() -> None:
    """Let this process, and those that it starts, open as many files as they may."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _fixed_work() -> float:
    started = time.thread_time()
    table: dict[int, int] = {}
    for i in range(60_000):
        table[i & 4095] = table.get(i & 1023, 0) + i
    return time.thread_time() - started


def _stat(folder: Path) -> list[str]:
    """Read the fields of a `stat` file from the state on; empty when the process has ended."""
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _seconds(fields: list[str]) -> float:
    return (int(fields[11]) + int(fields[12])) / _TICK if fields else 0.0
