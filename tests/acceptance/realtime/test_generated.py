"""A client made of `/asyncapi.json` talks to the server: the document tells what is spoken."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from tests.acceptance.realtime.generated import Json, connected
from tests.harness.gateway_process import PATIENCE
from tests.harness.hub_socket import token_of

if TYPE_CHECKING:
    from tests.harness.gateway_process import Gateway


async def test_a_generated_client_talks_to_the_server(hub: Gateway) -> None:
    with hub.client() as client:
        document = msgspec.json.decode(client.get("/asyncapi.json").content, type=Json)
    host = hub.url.removeprefix("http://")
    async with (
        asyncio.timeout(PATIENCE),
        connected(document, "ws_realtime", host, token_of()) as spoken,
    ):
        welcome = await spoken.receive()
        subscribed = await spoken.call("subscribe", channel="room:generated", presence=True)
        published = await spoken.call("publish", channel="room:generated", data={"x": 1})
        message = await spoken.receive()
        while message["type"] != "message":
            message = await spoken.receive()
        history = await spoken.call("historyRequest", channel="room:generated")
        presence = await spoken.call("presenceRequest", channel="room:generated")
        pong = await spoken.call("ping")
        refused = await spoken.call("subscribe", channel="nowhere")
        left = await spoken.call("unsubscribe", channel="room:generated")

    kinds = [one["type"] for one in (welcome, subscribed, published, history, presence, pong)]
    assert kinds == ["welcome", "ack", "ack", "history", "presence", "pong"]
    assert (message["data"], message["offset"]) == ({"x": 1}, published["offset"])
    assert (refused["type"], refused["code"], left["type"]) == ("error", "not_found", "ack")
