"""No status, error, log or `repr` of the client contains a token."""

from __future__ import annotations

import asyncio
import io
import logging
import traceback
from typing import TYPE_CHECKING

import pytest

from nexus_gateway.client import Realtime, RealtimeError, Status
from nexus_gateway.realtime.frames import Auth
from tests.harness.scripted_hub import PATIENCE, Hub

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request, Response

    from nexus_gateway.client.options import AuthMethod

SECRET = "s3cr3t-9f8e7d6c"
MALFORMED = [f"{SECRET}\n", f" {SECRET}", f"{SECRET}\0", f"{SECRET}é", ""]
AUTH_METHODS: list[AuthMethod] = ["header", "subprotocol", "message"]


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Everything that the client's side logs, of every level and library."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    # The scripted server is in the same process.
    handler.addFilter(lambda record: record.name != "websockets.server")
    root, sockets = logging.getLogger(), logging.getLogger("nexus_gateway.client.websockets")
    before, before_of_sockets = root.level, sockets.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    sockets.setLevel(logging.DEBUG)
    yield written
    root.removeHandler(handler)
    root.setLevel(before)
    sockets.setLevel(before_of_sockets)


def _direct(token: str) -> Callable[[], str]:
    return lambda: token


def _later(token: str) -> Callable[[], Awaitable[str]]:
    async def fresh() -> str:
        await asyncio.sleep(0)
        return token

    return fresh


async def _closed(client: Realtime) -> Status:
    async with asyncio.timeout(PATIENCE):
        return await client.wait_closed()


@pytest.mark.parametrize("token", MALFORMED)
@pytest.mark.parametrize("auth", AUTH_METHODS)
def test_a_malformed_token_is_refused_where_it_is_given(token: str, auth: AuthMethod) -> None:
    with pytest.raises(ValueError, match="the token") as caught:
        Realtime("ws://localhost", token=token, auth=auth)

    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("token", MALFORMED)
@pytest.mark.parametrize("source", [_direct, _later])
@pytest.mark.parametrize("auth", AUTH_METHODS)
async def test_a_source_of_malformed_tokens_is_given_up_and_not_quoted(
    hub: Hub,
    token: str,
    source: Callable[[str], Callable[[], str | Awaitable[str]]],
    auth: AuthMethod,
    logged: io.StringIO,
) -> None:
    statuses: list[Status] = []

    async with hub.client(token=source(token), auth=auth, statuses=statuses) as client:
        subscription = client.subscribe("c")
        closed = await _closed(client)
        with pytest.raises(RealtimeError) as caught:
            await subscription.ready()

    assert (closed.code, "the token" in closed.reason) == (4003, True)
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in f"{statuses}{shown}{logged.getvalue()}"


@pytest.mark.parametrize("auth", AUTH_METHODS)
async def test_tokens_at_work_are_not_logged_nor_told_when_the_server_quotes_them(
    hub: Hub, auth: AuthMethod, logged: io.StringIO
) -> None:
    statuses: list[Status] = []
    tokens = iter([f"{SECRET}.1", f"{SECRET}.2", f"{SECRET}.2\n", f"{SECRET}.3"])

    async with hub.client(token=lambda: next(tokens), auth=auth, statuses=statuses) as client:
        subscription = client.subscribe("c")
        peer = await hub.peer(welcome=False)
        if auth == "message":
            await peer.next("auth")
        await peer.welcome()
        asked = await peer.next("subscribe")
        await peer.send({"type": "expiring", "seconds": 1})
        await peer.next("auth")
        await peer.send({"type": "expiring", "seconds": 1})
        error = {"type": "error", "id": asked["id"], "code": "permission_denied"}
        await peer.send({**error, "error": f"no: {SECRET}.2"})
        with pytest.raises(RealtimeError) as caught:
            await subscription.ready()
        publishing = asyncio.create_task(client.publish("c", 1))
        await peer.next("publish")
        await peer.socket.close(4002, f"revoked: {SECRET}.1")
        closed = await _closed(client)
        with pytest.raises(RealtimeError) as lost:
            await publishing

    assert caught.value.message == "no: [redacted]"
    assert closed.reason == "revoked: [redacted]"
    shown = [*traceback.format_exception(caught.value), *traceback.format_exception(lost.value)]
    assert "s3cr3t" not in f"{statuses}{shown}{logged.getvalue()}{client!r}"
    assert "no fresh token" in logged.getvalue()


async def test_what_a_source_of_tokens_raises_is_not_quoted(hub: Hub, logged: io.StringIO) -> None:
    statuses: list[Status] = []
    asked: list[int] = []

    def fresh() -> str:
        asked.append(1)
        if len(asked) == 1:
            raise OSError(f"https://issuer?client_secret={SECRET}")
        return SECRET

    async with hub.client(token=fresh, statuses=statuses):
        await hub.peer()

    waiting = next(status for status in statuses if status.state == "waiting")
    assert waiting.reason == "no token: its source has raised OSError"
    assert SECRET not in f"{statuses}{logged.getvalue()}"


@pytest.mark.parametrize(
    "url",
    [f"wss://user:{SECRET}@host:port", f"ftp://h/?access_token={SECRET}", f"//{SECRET}@", SECRET],
)
async def test_a_url_that_cannot_be_used_is_not_quoted(url: str, logged: io.StringIO) -> None:
    async with Realtime(url) as client:
        closed = await _closed(client)

    assert "the URL cannot be used" in closed.reason
    assert SECRET not in f"{closed}{logged.getvalue()}"


async def test_a_token_in_the_url_is_not_told_by_a_server_that_quotes_it(
    hub: Hub, logged: io.StringIO
) -> None:
    def refuse(socket: ServerConnection, request: Request) -> Response:
        quoting = f'{{"code": "no", "error": "{request.path} is wrong"}}'
        return socket.respond(403, quoting)

    hub.refuse = refuse
    async with Realtime(f"{hub.url}/?access_token={SECRET}&x=1") as client:
        closed = await _closed(client)

    assert closed.reason == "403 no: /?access_token=[redacted]&x=1 is wrong"
    assert SECRET not in logged.getvalue()


async def test_a_redirection_is_not_followed_with_the_token(hub: Hub) -> None:
    asked: list[str] = []

    def redirect(socket: ServerConnection, request: Request) -> Response:
        asked.append(request.path)
        response = socket.respond(302, "")
        response.headers["location"] = f"{hub.url}/elsewhere"
        return response

    hub.refuse = redirect
    async with hub.client(token=SECRET, auth="subprotocol") as client:
        closed = await _closed(client)

    assert (closed.reason, asked) == ("HTTP 302", ["/"])


def test_a_frame_with_a_token_is_shown_without_it() -> None:
    assert SECRET not in f"{Auth(SECRET)!r}{Auth(SECRET)}"
