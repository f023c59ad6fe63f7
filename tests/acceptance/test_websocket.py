"""WebSockets as clients that others wrote see them: Python's `websockets` and Node's `ws`."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from tests.harness.gateway_process import PATIENCE, ROOT, Gateway, bearer, code_of
from tests.harness.servers import lacking

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Iterator

LARGE = 8 << 20


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    """A gateway with sockets that send back what they get."""
    with Gateway(tmp_path_factory.mktemp("echo"), "tests.acceptance.apps.echo:gateway") as gateway:
        yield gateway


@asynccontextmanager
async def opened(
    gateway: Gateway, path: str = "/ws/echo", *, deflate: bool = True
) -> AsyncGenerator[ClientConnection]:
    """Open a socket, and close it."""
    async with connect(
        f"ws://127.0.0.1:{gateway.port}{path}",
        compression="deflate" if deflate else None,
        max_size=None,
        open_timeout=PATIENCE,
        ping_interval=None,
    ) as client:
        yield client


@pytest.mark.parametrize("deflate", [True, False], ids=["deflated", "plain"])
@pytest.mark.parametrize("length", [0, 1, 125, 126, 65_535, 65_536, LARGE])
async def test_messages_of_every_length_come_back(
    echo: Gateway, length: int, *, deflate: bool
) -> None:
    text = ("größe" * (length // 5 + 1))[:length]
    data = bytes(range(256)) * (length // 256) + bytes(length % 256)

    async with opened(echo, deflate=deflate) as client:
        await client.send(text)
        await client.send(data)

        assert await client.recv() == text
        assert await client.recv() == data
        assert (client.protocol.extensions != []) == deflate


async def test_fragments_are_joined_also_where_pings_come_between_them(echo: Gateway) -> None:
    parts = ["one ", "two ", "three ", "", "fo", "ur"]

    async with opened(echo) as client:

        def fragments() -> Iterator[str]:
            for part in parts:
                client.protocol.send_ping(part.encode())
                yield part

        await client.send(fragments())

        assert await client.recv() == "".join(parts)


async def test_a_ping_is_answered_with_its_payload(echo: Gateway) -> None:
    async with opened(echo) as client:
        answered = await client.ping(b"are you there")

        assert await answered >= 0


async def test_messages_come_back_in_their_order(echo: Gateway) -> None:
    async with opened(echo) as client:
        for number in range(1000):
            await client.send(f"{number}")

        assert [await client.recv() for _ in range(1000)] == [f"{n}" for n in range(1000)]


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1011, 3000, 4999])
async def test_a_close_is_answered_with_its_code(echo: Gateway, code: int) -> None:
    async with opened(echo) as client:
        await client.close(code, "done")

        received = client.protocol.close_rcvd
        assert received is not None
        assert received.code == code


async def test_a_message_beyond_the_limit_closes_with_1009(echo: Gateway) -> None:
    async with opened(echo, "/ws/short") as client:
        await client.send("x" * 1000)
        assert len(await client.recv()) == 1000
        await client.send("x" * 1001)

        with pytest.raises(ConnectionClosedError) as ended:
            await client.recv()

    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 1009


async def test_a_bomb_of_compression_closes_with_1009(echo: Gateway) -> None:
    async with opened(echo, "/ws/short") as client:
        await client.send("x" * 1_000_000)

        with pytest.raises(ConnectionClosedError) as ended:
            await client.recv()

    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 1009


async def test_a_handshake_without_identity_is_refused_before_the_101(echo: Gateway) -> None:
    url = f"ws://127.0.0.1:{echo.port}/ws/secret"

    with pytest.raises(InvalidStatus) as refused:
        await connect(url)
    async with connect(url, additional_headers=bearer("echo:write")) as client:
        await client.send("let in")
        assert await client.recv() == "let in"

    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body or b"")["code"] == "authentication_failed"


async def test_the_limit_of_a_route_counts_handshakes(echo: Gateway) -> None:
    url = f"ws://127.0.0.1:{echo.port}/ws/once"

    async with connect(url) as client:
        await client.send("first")
        assert await client.recv() == "first"
    with pytest.raises(InvalidStatus) as refused:
        await connect(url)

    assert refused.value.response.status_code == 429


def test_a_request_that_is_no_handshake_is_told_to_upgrade(echo: Gateway) -> None:
    with echo.client() as client:
        answer = client.get("/ws/echo")

    assert (answer.status_code, code_of(answer)) == (426, "upgrade_required")
    assert answer.headers["upgrade"] == "websocket"


async def test_a_silent_client_is_asked_then_closed(tmp_path: Path) -> None:
    handshake = (
        b"GET /ws/echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )

    with Gateway(tmp_path, "tests.acceptance.apps.echo:impatient") as gateway:
        with gateway.connect() as connection:
            connection.sendall(handshake)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += connection.recv(1)
            assert connection.recv(2) == b"\x89\x00"
            assert connection.recv(4)[2:] == (1001).to_bytes(2, "big")
        async with opened(gateway) as client:  # its library answers pings
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.recv(), 2.5)
            await client.send("still there")
            assert await client.recv() == "still there"


async def test_a_gateway_that_ends_says_so(tmp_path: Path) -> None:
    with Gateway(tmp_path, "tests.acceptance.apps.echo:gateway") as gateway:
        async with opened(gateway) as client:
            gateway.process.terminate()

            with pytest.raises(ConnectionClosed) as ended:
                await client.recv()

        assert gateway.process.wait(PATIENCE) == 0
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 1001


def test_the_client_of_node_gets_what_it_sends(echo: Gateway) -> None:
    node = shutil.which("node")
    if node is None or not (ROOT / "node_modules" / "ws").exists():
        lacking("Node.js with its package ws")
    script = Path(__file__).with_name("ws_client.mjs")

    done = subprocess.run(
        [node, str(script), f"ws://127.0.0.1:{echo.port}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stderr == ""
    assert json.loads(done.stdout) == {
        "text": "grüße",
        "binary": [0, 1, 255],
        "fragments": "one two three",
        "pong": "there?",
        "large": [LARGE, True],
        "deflated": "permessage-deflate",
        "plain": "",
        "closed": [4321, ""],
        "tooBig": 1009,
    }
