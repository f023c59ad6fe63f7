"""Slow readers: each policy does what it says, memory stays flat, and the others notice nothing."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tests.harness.hub_socket import Socket, opened

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.harness.gateway_process import Gateway

BLOCK = "x" * 10_000
MANY = 2000


@asynccontextmanager
async def slow(hub: Gateway, channel: str) -> AsyncGenerator[Socket]:
    """Subscribe, and read nothing until told to; not deflated, or all would fit into buffers."""
    async with opened(hub, max_queue=1, compression=None) as socket:
        await socket.subscribe(channel)
        socket.connection.transport.pause_reading()
        yield socket


async def flood(hub: Gateway, channel: str) -> None:
    """Publish far more than a queue and the buffers of the system hold."""
    async with opened(hub) as publisher:
        for number in range(MANY):
            data = {"number": number, "block": BLOCK}
            await publisher.publish(channel, data, key=f"k{number % 3}")


def number_of(frame: dict[str, object]) -> int:
    return int(str(msgspec.convert(frame["data"], dict[str, object])["number"]))


async def read_to_the_newest(socket: Socket) -> tuple[list[int], int]:
    """Read until the last message; which came, and how many were told to be dropped."""
    socket.connection.transport.resume_reading()
    numbers: list[int] = []
    dropped = 0
    while not numbers or numbers[-1] != MANY - 1:
        frame = await socket.next()
        if frame["type"] == "dropped":
            dropped += int(str(frame["count"]))
        elif frame["type"] == "message":
            numbers.append(number_of(frame))
    return numbers, dropped


async def test_the_oldest_are_dropped_and_told(hub: Gateway) -> None:
    async with slow(hub, "oldest:x") as socket:
        await flood(hub, "oldest:x")
        numbers, dropped = await read_to_the_newest(socket)

    assert numbers == sorted(set(numbers))
    assert dropped > 0
    assert len(numbers) + dropped == MANY


async def test_the_newest_of_each_key_are_kept(hub: Gateway) -> None:
    async with slow(hub, "newest:x") as socket:
        await flood(hub, "newest:x")
        numbers, dropped = await read_to_the_newest(socket)

    assert numbers == sorted(set(numbers))
    assert numbers[-3:] == [MANY - 3, MANY - 2, MANY - 1]
    assert len(numbers) + dropped == MANY


async def test_a_slow_reader_is_closed_where_the_channel_wants_it(hub: Gateway) -> None:
    async with slow(hub, "closes:x") as socket:
        await flood(hub, "closes:x")
        socket.connection.transport.resume_reading()
        code, _ = await socket.closed()

    assert code == 4008


async def test_a_slow_reader_costs_its_own_queue_and_nobody_s_time(hub: Gateway) -> None:
    channel = "oldest:memory"
    async with slow(hub, channel), slow(hub, channel), opened(hub) as quick:
        await quick.subscribe(channel)
        before = resident(hub)
        reading = asyncio.create_task(read_to_the_newest(quick))
        await flood(hub, channel)
        numbers, dropped = await reading
        grown = resident(hub) - before

    assert (numbers, dropped) == (list(range(MANY)), 0)
    assert grown < 15_000_000


def resident(hub: Gateway) -> int:
    """Read how many bytes the gateway holds."""
    status = Path(f"/proc/{hub.process.pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024
