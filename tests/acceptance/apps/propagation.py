"""A service that calls others: the harness of Trace Context posts what it is to call to `/test`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import msgspec

from nexus_gateway import Routes, Trace, body, path, post, public, trace
from nexus_gateway.server import Application
from tests.harness.gateway_process import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class Call(msgspec.Struct):
    """A URL, and what it is sent."""

    url: str
    arguments: list[object] = []


class Caller:
    """Calls others within the trace of its caller."""

    client: httpx.AsyncClient

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """Hold connections to those that are called."""
        async with httpx.AsyncClient(timeout=PATIENCE) as self.client:
            yield

    async def call(self, ids: Trace, calls: list[Call]) -> list[int]:
        """Call each URL; the status of each answer."""
        statuses: list[int] = []
        for call in calls:
            answer = await self.client.post(call.url, json=call.arguments, headers=ids.outgoing())
            statuses.append(answer.status_code)
        return statuses


caller = Caller()
gateway = Application(
    Routes((path("test") & post() & public() & trace() & body(list[Call])).then(caller.call)),
    lifespan=caller.opened,
)
