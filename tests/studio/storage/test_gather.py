"""Batches of many callers' items: who waits for whom, and who hears of what."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from nexus_gateway.studio.storage.errors import StorageUnavailable
from nexus_gateway.studio.storage.gather import Gather
from tests.harness.waiting import Polling

if TYPE_CHECKING:
    from collections.abc import Sequence


class Runs:
    """Doubles numbers once it is let; a negative one breaks its batch."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        await self.open.wait()
        if self.error is not None:
            raise self.error
        if any(item < 0 for item in items):
            raise ValueError(items)
        return [2 * item for item in items]


@pytest.fixture
def runs() -> Runs:
    return Runs()


async def put(gather: Gather[int, int], *items: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(gather.put(item)) for item in items]
    await asyncio.sleep(0)
    return tasks


async def test_what_comes_while_a_batch_is_under_way_goes_with_the_next(runs: Runs) -> None:
    gather = Gather(runs, most=3)

    tasks = await put(gather, 1, 2, 3)
    await asyncio.sleep(0)
    assert runs.batches == [[1]]
    runs.open.set()

    assert await asyncio.gather(*tasks) == [2, 4, 6]
    assert runs.batches == [[1], [2, 3]]


async def test_a_batch_that_is_held_up_holds_up_no_other_for_long(runs: Runs) -> None:
    gather = Gather(runs, lanes=2, wait=0.2)

    tasks = await put(gather, 1, 2)
    polling = Polling("the second batch began beside the first")
    while runs.batches != [[1], [2]]:
        await polling.turn()
    (third,) = await put(gather, 3)
    with pytest.raises(StorageUnavailable):
        await third
    assert len(runs.batches) == 2, "there are two lanes"
    runs.open.set()

    assert await asyncio.gather(*tasks) == [2, 4]


async def test_a_full_batch_begins_at_once(runs: Runs) -> None:
    gather = Gather(runs, most=2)

    tasks = await put(gather, 1, 2, 3)
    await asyncio.sleep(0)

    assert runs.batches == [[1], [2, 3]]
    runs.open.set()
    await asyncio.gather(*tasks)


async def test_one_that_breaks_its_batch_breaks_for_itself_alone(runs: Runs) -> None:
    runs.open.set()
    gather = Gather(runs)

    results = await asyncio.gather(
        *(gather.put(item) for item in (1, 2, -3, 4)), return_exceptions=True
    )

    assert [results[0], results[1], results[3]] == [2, 4, 8]
    assert isinstance(results[2], ValueError)


async def test_a_database_that_is_away_is_asked_once_for_all(runs: Runs) -> None:
    runs.error = StorageUnavailable("away")
    gather = Gather(runs)
    tasks = await put(gather, 1, 2, 3)
    runs.open.set()

    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [str(result) for result in results] == ["away"] * 3
    assert runs.batches == [[1], [2, 3]]


async def test_an_item_waits_for_a_bounded_time(runs: Runs) -> None:
    gather = Gather(runs, lanes=1, wait=0.05)
    tasks = await put(gather, 1, 2)

    with pytest.raises(StorageUnavailable, match="too busy"):
        await asyncio.wait_for(tasks[1], 5)

    runs.open.set()
    assert await tasks[0] == 2
    assert runs.batches == [[1]]


async def test_who_goes_away_takes_nobody_along(runs: Runs) -> None:
    gather = Gather(runs)
    tasks = await put(gather, 1, 2, 3)
    await asyncio.sleep(0)

    tasks[0].cancel()
    tasks[1].cancel()
    await asyncio.sleep(0)
    runs.open.set()

    assert await tasks[2] == 6
    assert runs.batches == [[1], [3]]
    assert tasks[0].cancelled()
    assert tasks[1].cancelled()
