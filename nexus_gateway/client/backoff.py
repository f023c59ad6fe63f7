"""When to try again: exponential back-off with full jitter.

Clients that lost one server at the same moment do not come back at the same moment.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Backoff:
    """Counts failures and draws delays; all times are seconds."""

    def __init__(
        self,
        base: float = 0.5,
        cap: float = 30.0,
        stable: float = 5.0,
        *,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Begin without a failure.

        Args:
            base: what the first delay is at most.
            cap: what any delay is at most.
            stable: a connection that lasted so long was a good one, the next delay is short again.
            draw: gives the part of the ceiling, 0 to 1.
        """
        self._base = base
        self._cap = cap
        self._stable = stable
        self._draw = draw
        self._failures = 0

    def next(self) -> float:
        """Draw the next delay, between nothing and a ceiling that doubles with each failure."""
        ceiling = min(self._cap, self._base * 2.0**self._failures)
        self._failures = min(self._failures + 1, 30)
        return self._draw() * ceiling

    def part(self, whole: float) -> float:
        """Draw a part of a time."""
        return self._draw() * max(0.0, whole)

    def lasted(self, seconds: float) -> None:
        """Tell how long a connection lasted."""
        if seconds >= self._stable:
            self._failures = 0
