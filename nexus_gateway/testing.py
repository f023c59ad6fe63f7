"""Tests without a socket: requests that go through the same core, plan and handlers as production.

    answer = request("POST /api/entities").bearer(token).json({"entity_id": "a"}).reply(application)
    assert answer.status == 201
    assert request("GET /users/7").extract(path("users") / param("id", int)) == (7,)

Within a running loop, open a `Server` and `await request(...).send(server)`.
"""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING, Self, TypeVar, TypeVarTuple

import msgspec

from nexus_gateway import plan
from nexus_gateway.describe.filter import Filter, literal
from nexus_gateway.describe.node import (
    Awaited,
    Both,
    Either,
    Mapped,
    Maybe,
    Native,
    Node,
    Segment,
    Spread,
)
from nexus_gateway.describe.route import Route, Routes
from nexus_gateway.server import Application, Servable, Server, as_application, complete

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Answer(msgspec.Struct, frozen=True):
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The header's values joined by commas, or None."""
        values = [value for key, value in self.headers if key == name.lower()]
        return ", ".join(values) if values else None

    def json(self) -> object:
        """The body, decoded."""
        decoded: object = msgspec.json.decode(self.body)
        return decoded


class Client:
    """An application that answers several requests of one test; a context manager."""

    def __init__(self, served: Servable) -> None:
        """Compile what is served."""
        self._server = Server(served, grace=1.0)
        self._runner = asyncio.Runner()
        # One for all that is run, so that a lifespan may reset what it has set.
        self._context = contextvars.copy_context()

    def __enter__(self) -> Self:
        """Open what the handlers use."""
        self._runner.__enter__()
        try:
            self._run(self._server.__aenter__())
        except BaseException:
            self._runner.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        try:
            self._run(self._server.__aexit__(kind, error, traceback))
        finally:
            self._runner.close()

    def send(self, request: Request) -> Answer:
        """Send one request and wait for its answer."""
        return self._run(request.send(self._server))

    def replace(self, served: Servable) -> None:
        """Replace the application while it is open, as `Server.replace` does."""
        self._run(self._server.replace(served))

    def _run(self, coroutine: Coroutine[object, object, T]) -> T:
        loop = self._runner.get_loop()
        return complete(loop, loop.create_task(coroutine, context=self._context))


class Request(msgspec.Struct, frozen=True):
    """A request that is built step by step; each step is a new one."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    content: bytes = b""

    def header(self, name: str, value: str) -> Request:
        """Add a header."""
        return msgspec.structs.replace(self, headers=(*self.headers, (name, value)))

    def bearer(self, token: str) -> Request:
        """Add a bearer token."""
        return self.header("authorization", f"Bearer {token}")

    def body(self, content: bytes, content_type: str = "application/octet-stream") -> Request:
        """Set the body and its type."""
        others = tuple(one for one in self.headers if one[0].lower() != "content-type")
        headers = (*others, ("content-type", content_type))
        return msgspec.structs.replace(self, headers=headers, content=content)

    def json(self, value: object) -> Request:
        """Set the body to JSON."""
        return self.body(msgspec.json.encode(value), "application/json")

    async def send(self, server: Server) -> Answer:
        """Send it to an open server."""
        status, headers, body = await server.request(
            self.method, self.target, self.headers, self.content
        )
        return Answer(status, headers, body)

    def reply(self, served: Servable | Client) -> Answer:
        """Send it and wait; what is no open `Client` is served for this one request."""
        if isinstance(served, Client):
            return served.send(self)
        with Client(served) as client:
            return client.send(self)

    def extract(self, chain: Filter[*Ts], *, within: Application | None = None) -> tuple[*Ts]:
        """Run a filter on the request; what it extracts.

        Args:
            chain: a filter; one that says nothing of the path is tried at the request's.
            within: whose tokens, secrets, state and bounds the filter needs.

        Raises:
            LookupError: the filter refused; the message is the refusal.
        """
        seen: list[tuple[*Ts]] = []

        async def keep(*values: *Ts) -> None:
            seen.append(values)

        node = chain.node
        if not _says_path(node):
            node = Both(literal(self.target.partition("?")[0]), node)
        alone = Routes(Route(node, chain.slots, keep))
        application = msgspec.structs.replace(as_application(within or alone), routes=alone)
        answer = self.reply(application)
        if not seen:
            raise LookupError(f"{answer.status}: {answer.body.decode(errors='replace')}")
        return seen[0]

    def matches(self, chain: Filter[*Ts], *, within: Application | None = None) -> bool:
        """Say whether a filter lets the request pass; arguments as of `extract`."""
        try:
            self.extract(chain, within=within)
        except LookupError:
            return False
        return True


def request(line: str) -> Request:
    """Begin a request with its line, `"GET /api/entities?limit=5"`.

    Raises:
        ValueError: the line is not a method and a target.
    """
    method, _, target = line.partition(" ")
    if not target.startswith("/"):
        raise ValueError(f"a request line is a method and a path, like 'GET /x', found {line!r}")
    return Request(method, target)


def _says_path(node: Node) -> bool:
    match node:
        case Segment():
            return True
        case Native(step=plan.Param()):
            return True
        case Both(left=left, right=right) | Either(left=left, right=right):
            return _says_path(left) or _says_path(right)
        case Maybe(inner=inner) | Mapped(inner=inner) | Awaited(inner=inner) | Spread(inner=inner):
            return _says_path(inner)
        case _:
            return False
