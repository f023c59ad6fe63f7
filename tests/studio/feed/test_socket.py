"""What REST changes, as a WebSocket hears it: soon, once, and only within the tenant."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest
from websockets.asyncio.client import connect

from nexus_gateway.realtime.hub import HubError
from tests.harness.studio_server import serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from websockets.asyncio.client import ClientConnection

    from nexus_gateway.server.settings import Settings
    from tests.harness.studio_server import Serving

GRAPH = "/api/knowledge-graph"
ENTITIES = "/api/intelligence/entities"
READ = ("knowledge-graph:read", "intelligence:read")


@asynccontextmanager
async def listening(
    gateway: Serving, *channels: str, tenant: str = "acme"
) -> AsyncGenerator[ClientConnection]:
    """Subscribe to channels; frames other than messages are passed over."""
    token = gateway.token(tenant, *READ, subject="bob")
    headers = {"authorization": f"Bearer {token}"}
    async with connect(gateway.socket, additional_headers=headers) as socket:
        for channel in channels:
            frame = {"type": "subscribe", "channel": channel, "id": channel}
            await socket.send(msgspec.json.encode(frame).decode())
            await heard(socket, "ack")
        yield socket


async def heard(socket: ClientConnection, kind: str = "message") -> dict[str, object]:
    async with asyncio.timeout(10):
        while True:
            frame = msgspec.json.decode(await socket.recv(), type=dict[str, object])
            if frame["type"] in (kind, "error"):
                return frame


@pytest.fixture
async def gateway(settings: Settings) -> AsyncIterator[Serving]:
    async with serving(settings) as opened:
        yield opened


async def test_a_neighbourhood_is_heard_and_what_is_further_away_is_not(gateway: Serving) -> None:
    for name in "abc":
        await gateway.done(f"PUT {GRAPH}/nodes/{name}", {"entity_type": "thing"})
    for ends in ("ab", "bc"):
        edge = {"source": ends[0], "target": ends[1], "type": "to"}
        await gateway.done(f"POST {GRAPH}/edges", edge)

    async with listening(gateway, "graph:acme:near:a") as socket:
        for name in "cba":
            await gateway.done(f"PATCH {GRAPH}/nodes/{name}", {"name": name.upper()})
        frames = [await heard(socket) for _ in range(2)]

    assert [node_of(frame) for frame in frames] == ["b", "a"]


async def test_a_change_of_an_entity_is_heard_on_its_own_channel_and_at_its_node(
    gateway: Serving,
) -> None:
    async with listening(gateway, "entities:acme:entity:a", "graph:acme:node:a") as socket:
        await gateway.done(f"POST {ENTITIES}", {"entity_id": "a", "entity_type": "tool"})
        frames = [await heard(socket) for _ in range(2)]

    by_channel = {frame["channel"]: frame for frame in frames}
    data = msgspec.convert(by_channel["entities:acme:entity:a"]["data"], dict[str, object])
    assert (data["change"], data["entity_id"]) == ("created", "a")
    assert node_of(by_channel["graph:acme:node:a"]) == "a"


@pytest.mark.parametrize(
    "channel", ["graph:acme:changes", "graph:acme:near:a", "entities:acme:changes"]
)
async def test_another_tenant_hears_nothing(gateway: Serving, channel: str) -> None:
    async with listening(gateway, tenant="evil") as socket:
        await socket.send(msgspec.json.encode({"type": "subscribe", "channel": channel}).decode())
        frame = await heard(socket, "ack")

    assert (frame["type"], frame["code"]) == ("error", "permission_denied")


async def test_what_the_hub_refuses_a_program_is_an_error_of_the_hub(gateway: Serving) -> None:
    with pytest.raises(HubError) as refused:
        await gateway.server.publish("nowhere", 1)

    assert refused.value.code == "not_found"


def node_of(frame: dict[str, object]) -> object:
    data = msgspec.convert(frame["data"], dict[str, object])
    return msgspec.convert(data["node"], dict[str, object])["entity_id"]
