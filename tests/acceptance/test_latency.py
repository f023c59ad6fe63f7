"""How soon a change reaches those who listen: the best of ten, as others may use the machine."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from nexus_gateway.client import Message, Position, Realtime
from nexus_gateway.server.settings import Settings
from tests.harness.studio_server import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.harness.studio_server import Serving

GRAPH = "/api/knowledge-graph"
LATENCY_MAX_S = 0.1


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Serving]:
    async with serving(Settings(data_dir=tmp_path, log_level="error")) as opened:
        yield opened


async def put(gateway: Serving, name: str, size: int) -> None:
    node = {"entity_type": "thing", "attributes": {"size": size}}
    await gateway.done(f"PUT {GRAPH}/nodes/{name}", node)


async def test_a_change_of_a_node_is_received_within_a_tenth_of_a_second(gateway: Serving) -> None:
    times: list[float] = []
    async with Realtime(gateway.socket, token=gateway.token()) as client:
        changes = client.subscribe("graph:acme:changes")
        await changes.ready()
        for number in range(10):
            started = time.monotonic()
            await put(gateway, f"n{number}", number)
            async with asyncio.timeout(10):
                message = await anext(changes)
            times.append(time.monotonic() - started)
            assert isinstance(message, Message)
            data = msgspec.convert(message.data, dict[str, object])
            assert msgspec.convert(data["node"], dict[str, object])["entity_id"] == f"n{number}"

    assert min(times) < LATENCY_MAX_S


async def test_a_live_query_reports_its_new_answer_within_a_tenth_of_a_second(
    gateway: Serving,
) -> None:
    await put(gateway, "a", 1)
    query = {"query": "MATCH (n:thing) RETURN n.entity_id AS id, n.size ORDER BY id"}
    answer = await gateway.done(f"POST {GRAPH}/live-queries", query)
    begun = msgspec.json.decode(answer.body, type=dict[str, object])
    channel = msgspec.convert(begun["live_query"], dict[str, object])["channel"]
    times: list[float] = []
    async with Realtime(gateway.socket, token=gateway.token()) as client:
        position = msgspec.convert(begun["position"], Position)
        answers = client.subscribe(str(channel), position=position)
        for size in range(2, 12):
            started = time.monotonic()
            await put(gateway, "a", size)
            async with asyncio.timeout(10):
                message = await anext(answers)
            times.append(time.monotonic() - started)
            assert isinstance(message, Message)
            assert msgspec.convert(message.data, dict[str, object])["rows"] == [["a", size]]

    assert min(times) < LATENCY_MAX_S
