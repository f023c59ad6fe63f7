"""Requests that wait for an answer: each has an id, and there are never more than a bound."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nexus_gateway.client.errors import RealtimeError

if TYPE_CHECKING:
    from collections.abc import Generator

    from nexus_gateway.frames import Id, ServerFrame


class Requests:
    """The requests of one client."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._places = 0
        self._last = 0
        self._sent: dict[int, asyncio.Future[ServerFrame]] = {}

    def number(self) -> int:
        """Make an id that was not used before."""
        self._last += 1
        return self._last

    @contextmanager
    def place(self) -> Generator[None]:
        """Take one of the places of requests that are under way.

        Raises:
            RealtimeError: `queue_full`.
        """
        if self._places >= self._bound:
            message = f"{self._bound} requests wait for an answer already"
            raise RealtimeError("queue_full", message)
        self._places += 1
        try:
            yield
        finally:
            self._places -= 1

    @contextmanager
    def sent(self, number: int) -> Generator[asyncio.Future[ServerFrame]]:
        """Expect the answer to a request that is sent now."""
        answer: asyncio.Future[ServerFrame] = asyncio.get_running_loop().create_future()
        self._sent[number] = answer
        try:
            yield answer
        finally:
            self._sent.pop(number, None)
            if answer.done() and not answer.cancelled():
                answer.exception()  # seen: who waited may have been cancelled

    def answer(self, number: Id | None, outcome: ServerFrame | RealtimeError) -> bool:
        """Give an answer to its request; whether there is one."""
        answer = self._sent.get(number) if isinstance(number, int) else None
        if answer is None or answer.done():
            return False
        if isinstance(outcome, RealtimeError):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
        return True

    def lost(self) -> None:
        """Tell that the connection is lost: what was sent may have been done, or not."""
        message = "the answer was lost with the connection"
        for number in list(self._sent):
            self.answer(number, RealtimeError("connection_lost", message))
