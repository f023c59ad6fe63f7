"""The end of background tasks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


_AGAIN_S = 0.2
"""After how many seconds a task that has not ended is cancelled again."""


async def cancel(tasks: Iterable[asyncio.Task[object] | None]) -> None:
    """Cancel tasks and wait until each has ended; what they raise is dropped.

    `None` stands for a task that was never started.
    """
    pending = {task for task in tasks if task is not None}
    while pending:
        # More than once: `asyncio.wait_for` of Python 3.11 loses a cancellation that comes in the
        # same iteration of the loop as what it waits for.
        for task in pending:
            task.cancel()
        ended, pending = await asyncio.wait(pending, timeout=_AGAIN_S)
        for task in ended:
            if not task.cancelled():
                task.exception()  # retrieved, so that nothing is logged about it
