"""Tests wait for events, or poll with a generous deadline: a busy machine makes fixed times fail.

The tests in `acceptance` and `faults` measure times, which others do not.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
TIMED = {"acceptance", "faults", "harness", "typing"}
CLOCKS = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"}
FILES = sorted(path for path in HERE.rglob("*.py") if path.relative_to(HERE).parts[0] not in TIMED)


def offences(source: str) -> Iterator[str]:
    """Name each call that sleeps or reads a clock for measuring."""
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        function = ast.unparse(call.func)
        name = function.rpartition(".")[2]
        turn = bool(call.args) and isinstance(call.args[0], ast.Constant) and not call.args[0].value
        loop = name == "time" and function.endswith("loop().time")
        if (name == "sleep" and not turn) or name in CLOCKS or loop:
            yield f"line {call.lineno}: {ast.unparse(call)}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HERE)))
def test_a_test_neither_sleeps_nor_measures_time(path: Path) -> None:
    assert list(offences(path.read_text())) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("await asyncio.sleep(0.1)", 1),
        ("time.sleep(DELAY)", 1),
        ("await sleep(2 * LEASE_S)", 1),
        ("await asyncio.sleep(0)", 0),
        ("asyncio.sleep(0, value)", 0),
        ("assert time.monotonic() - begun < 1", 1),
        ("asyncio.get_running_loop().time()", 1),
        ("int(time.time())", 0),
    ],
)
def test_the_check_finds_what_it_is_for(source: str, found: int) -> None:
    asynchronous = f"async def test():\n    {source}\n"

    assert len(list(offences(asynchronous))) == found
