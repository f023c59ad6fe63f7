"""Waiting for what another process or task will do, with a deadline that a busy machine meets.

No test waits for a fixed time: it waits for an event, or polls with these.
`tests/test_no_sleep.py` checks it.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

DEADLINE_S = 30.0
_POLL_S = 0.02


class Polling:
    """The bound of a loop that asks again and again, which fails with what it waited for.

    ```python
    polling = Polling("the outbox is empty")
    while await outbox.records():
        await polling.turn()
    ```
    """

    def __init__(self, what: str, *, deadline_s: float = DEADLINE_S) -> None:
        self._what = what
        self._deadline_s = deadline_s
        self._end = time.monotonic() + deadline_s

    async def turn(self) -> None:
        """Let other tasks run before the next question."""
        self._check()
        await asyncio.sleep(_POLL_S)

    def pause(self) -> None:
        """Let other threads and processes run before the next question."""
        self._check()
        time.sleep(_POLL_S)

    def _check(self) -> None:
        assert time.monotonic() < self._end, f"{self._what}: not within {self._deadline_s:g} s"


def wait_until(holds: Callable[[], bool], what: str, *, deadline_s: float = DEADLINE_S) -> None:
    """Ask until something holds."""
    polling = Polling(what, deadline_s=deadline_s)
    while not holds():
        polling.pause()


async def never() -> None:
    """Wait until cancelled."""
    await asyncio.Event().wait()
