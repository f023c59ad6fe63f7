"""Delays between attempts: exponential backoff with full jitter.

Jitter spreads the clients that lost one server at the same moment.
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
        """Start without failures.

        Args:
            base: upper bound of the first delay.
            cap: upper bound of every delay.
            stable: after a connection of this length the bound starts again at `base`.
            draw: returns the fraction of the bound to wait, 0 to 1.
        """
        self._base = base
        self._cap = cap
        self._stable = stable
        self._draw = draw
        self._failures = 0

    def next(self) -> float:
        """Draw the next delay: between 0 and a bound that doubles with each failure."""
        ceiling = min(self._cap, self._base * 2.0**self._failures)
        self._failures = min(self._failures + 1, 30)
        return self._draw() * ceiling

    def part(self, whole: float) -> float:
        """Draw a random part of a delay."""
        return self._draw() * max(0.0, whole)

    def lasted(self, seconds: float) -> None:
        """Record how long a connection lasted."""
        if seconds >= self._stable:
            self._failures = 0
