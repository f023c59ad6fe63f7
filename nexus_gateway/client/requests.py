"""Pending requests: each has an id, and their number is bounded."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nexus_gateway.client.errors import RealtimeError

if TYPE_CHECKING:
    from collections.abc import Generator

    from nexus_gateway.realtime.frames import Id, ServerFrame


class Requests:
    """The requests of one client."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._in_flight = 0
        self._last = 0
        self._sent: dict[int, asyncio.Future[ServerFrame]] = {}

    def number(self) -> int:
        """Make a new id."""
        self._last += 1
        return self._last

    @contextmanager
    def slot(self) -> Generator[None]:
        """Occupy one of the slots for pending requests.

        Raises:
            RealtimeError: `queue_full`.
        """
        if self._in_flight >= self._bound:
            message = f"{self._bound} requests wait for an answer already"
            raise RealtimeError("queue_full", message)
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1

    @contextmanager
    def sent(self, number: int) -> Generator[asyncio.Future[ServerFrame]]:
        """Wait for the answer to a request that is being sent."""
        answer: asyncio.Future[ServerFrame] = asyncio.get_running_loop().create_future()
        self._sent[number] = answer
        try:
            yield answer
        finally:
            self._sent.pop(number, None)
            if answer.done() and not answer.cancelled():
                answer.exception()  # retrieved: the waiting task may have been cancelled

    def answer(self, number: Id | None, outcome: ServerFrame | RealtimeError) -> bool:
        """Complete a request; False if no request with this id is pending."""
        answer = self._sent.get(number) if isinstance(number, int) else None
        if answer is None or answer.done():
            return False
        if isinstance(outcome, RealtimeError):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
        return True

    def lost(self) -> None:
        """Fail all pending requests with `connection_lost`; the hub may have carried them out."""
        message = "the answer was lost with the connection"
        for number in list(self._sent):
            self.answer(number, RealtimeError("connection_lost", message))
