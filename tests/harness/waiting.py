"""Waiting for what another process or task will do, with a deadline that a busy machine meets."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

DEADLINE_S = 30.0
_POLL_S = 0.02


def wait_until(holds: Callable[[], bool], what: str, *, deadline_s: float = DEADLINE_S) -> None:
    """Ask until something holds; fail with its name once the deadline has passed."""
    end = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end, f"{what}: not within {deadline_s:g} s"
        time.sleep(_POLL_S)


async def until(
    holds: Callable[[], bool | Awaitable[bool]], what: str, *, deadline_s: float = DEADLINE_S
) -> None:
    """Ask until something holds, as `wait_until`, while other tasks run."""
    end = time.monotonic() + deadline_s
    while True:
        found = holds()
        if found if isinstance(found, bool) else await found:
            return
        assert time.monotonic() < end, f"{what}: not within {deadline_s:g} s"
        await asyncio.sleep(_POLL_S)


async def never() -> None:
    """Wait until cancelled."""
    await asyncio.Event().wait()
