"""Another's client: the package `ws` of Node."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tests.harness.gateway_process import PATIENCE, ROOT, Gateway
from tests.harness.hub_socket import token_of
from tests.harness.servers import lacking

if TYPE_CHECKING:
    from collections.abc import Sequence

Line = dict[str, object]
PROGRAM = Path(__file__).parent / "node.mjs"


async def node(gateway: Gateway, **said: object) -> Sequence[Line]:
    """Run the client to its end; what it said."""
    if shutil.which("node") is None or not (ROOT / "node_modules/ws").exists():
        lacking("ws of Node")
    told = {
        "url": f"ws://127.0.0.1:{gateway.port}/ws/realtime",
        "protocols": ["nexus.json"],
        "send": [],
        "until": "none",
    }
    process = await asyncio.create_subprocess_exec(
        "node", str(PROGRAM), msgspec.json.encode(told | said).decode(),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(PATIENCE):
        written, _ = await process.communicate()
    return [msgspec.json.decode(line, type=Line) for line in written.splitlines()]


async def test_node_subscribes_publishes_and_hears_with_deflate(hub: Gateway) -> None:
    lines = await node(
        hub,
        token=token_of(subject="node"),
        send=[
            {"type": "subscribe", "channel": "room:node", "id": "s"},
            {"type": "publish", "channel": "room:node", "data": "ä" * 500, "id": "p"},
        ],
        until="message",
    )

    frames = [msgspec.convert(line["frame"], Line) for line in lines if "frame" in line]
    assert lines[0] == {"open": "nexus.json", "extensions": "permessage-deflate"}
    assert {"welcome", "ack", "message"} <= {str(frame["type"]) for frame in frames}
    message = next(frame for frame in frames if frame["type"] == "message")
    assert (message["data"], message["publisher"]) == ("ä" * 500, "node")
    assert lines[-1] == {"close": 1000}


async def test_node_is_refused_before_the_101(hub: Gateway) -> None:
    assert await node(hub) == [{"refused": 401}]
