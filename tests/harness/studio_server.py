"""A studio that listens on a free port, and somebody of a tenant who calls it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from nexus_gateway.server import Server
from nexus_gateway.server.tokens import mint
from nexus_gateway.studio.app import compose
from nexus_gateway.testing import request
from tests.harness.tokens import TOKEN_LIFETIME_S

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from nexus_gateway.server.settings import Settings
    from nexus_gateway.testing import Answer


class Serving:
    """A server of the studio; without another token alice of the tenant acme calls."""

    def __init__(self, server: Server, settings: Settings) -> None:
        self.server = server
        self.socket = f"ws://127.0.0.1:{server.addresses[0][1]}/ws/realtime"
        self._secret = settings.secret() or b""

    def token(self, tenant: str | None = "acme", *scopes: str, subject: str = "alice") -> str:
        """Make a token, for everything unless scopes are named."""
        return mint(self._secret, subject, scopes or ("*",), TOKEN_LIFETIME_S, tenant=tenant)

    async def call(self, line: str, value: object = None, *, token: str | None = None) -> Answer:
        """Send a request, with a body where there is a value."""
        asked = request(line).bearer(token or self.token())
        return await (asked if value is None else asked.json(value)).send(self.server)

    async def done(self, line: str, value: object = None) -> Answer:
        """Send a request that succeeds."""
        answer = await self.call(line, value)
        assert answer.status < 300, answer.body
        return answer


@asynccontextmanager
async def serving(settings: Settings) -> AsyncGenerator[Serving]:
    """Serve the studio, as its settings say."""
    async with Server(compose(settings), listen=[("127.0.0.1", 0)]) as server:
        yield Serving(server, settings)
