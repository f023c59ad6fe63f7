"""Background tasks end when they are told to."""

from __future__ import annotations

import asyncio
import contextlib

from nexus_gateway.studio.storage import tasks
from tests.harness.waiting import never


async def test_a_task_that_loses_a_cancellation_is_cancelled_again() -> None:
    lost = 0

    async def lose() -> None:
        nonlocal lost
        while True:
            try:
                await never()
            except asyncio.CancelledError:
                lost += 1
                if lost == 2:
                    raise

    task = asyncio.create_task(lose())
    await asyncio.sleep(0)

    async with asyncio.timeout(10):
        await tasks.cancel([task, None])

    assert task.cancelled()
    assert lost == 2


async def test_what_a_task_raises_at_its_end_is_dropped() -> None:
    async def fail() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await never()
        raise ValueError

    task = asyncio.create_task(fail())
    await asyncio.sleep(0)

    await tasks.cancel([task])

    assert isinstance(task.exception(), ValueError)
