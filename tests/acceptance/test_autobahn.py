"""The cases of the Autobahn suite, by `kosoku`, against a socket that sends back what it gets.

`TEST_AUTOBAHN=all` runs all 517 of them, which takes two minutes; without it those of
compression are fewer: of each kind of text and agreement a short, a long and a fragmented one.
The socket takes messages of 32 MiB, as the longest cases need; all else is as by default.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from kosoku import FailureError, run_fuzzingclient

from tests.harness.gateway_process import Gateway

if TYPE_CHECKING:
    from collections.abc import Generator

    from kosoku._kosoku import CaseResult

WHOLE, SOME = 517, 349
GOOD = {"OK", "INFORMATIONAL"}
ALL = os.environ.get("TEST_AUTOBAHN") == "all"
LIMIT = 600 if ALL else 120
"""Seconds."""
PARALLEL = 2
COMPRESSED = [
    f"{chapter}.{kind}.{length}"
    for chapter, kinds in ((12, 5), (13, 7))
    for kind in range(1, kinds + 1)
    for length in (1, 3, 5, 11)
]
CHAPTERS = [f"{chapter}.*" for chapter in (*range(1, 8), 9, 10)]
CASES = None if ALL else [*CHAPTERS, *COMPRESSED]


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    """A gateway with the times of production: the cases are silent for seconds."""
    folder = tmp_path_factory.mktemp("autobahn")
    with Gateway(folder, "tests.acceptance.apps.echo:gateway") as gateway:
        yield gateway


async def run(url: str) -> list[CaseResult]:
    """Run the cases; those that fail are among the results, not an error."""
    try:
        async with asyncio.timeout(LIMIT):
            return await run_fuzzingclient(url, cases=CASES, concurrency=PARALLEL)
    except FailureError as failure:
        return failure.results


# The cases leave the files of their texts open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_every_case_passes_and_ends_cleanly(echo: Gateway) -> None:
    results = await run(f"ws://127.0.0.1:{echo.port}/ws/echo")

    verdicts = {case.case_id: (case.behavior.value, case.behavior_close.value) for case in results}
    assert len(verdicts) == (WHOLE if ALL else SOME)
    assert {
        case: verdict for case, verdict in verdicts.items() if not GOOD.issuperset(verdict)
    } == {}
