"""Many subscribers in one process: `core/examples/crowd.rs`, which is built in seconds and started.

A listener follows one channel whose messages are the numbers 1, 2, 3, ... It comes back where it
was when its server dies, and keeps account: what came twice, what is missing, and whether it was
told so. It is no client for use: `nexus_gateway.client` is.
"""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

SOURCE = Path(__file__).parents[3] / "core/examples/crowd.rs"
ARRIVED = 60.0
"""Seconds until all are subscribed."""
_LINE = 64 << 20


class Listener(msgspec.Struct):
    """What became of one subscriber, over all its connections.

    missing: numbers that did not come, and whether it was told that something did not.
    """

    place: str
    subscribed: bool
    last: int | None
    twice: list[int]
    recoveries: list[bool]
    missing: list[tuple[int, bool]]


class Crowd:
    """The subscribers."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def arrived(self) -> None:
        """Wait until all are subscribed."""
        async with asyncio.timeout(ARRIVED):
            assert await self._line() == b"READY\n"

    async def listeners(self) -> list[Listener]:
        """Ask for the account of each."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"?\n")
        return msgspec.json.decode(await self._line(), type=list[Listener])

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        return await self._process.stdout.readline()


def build(folder: Path) -> Path:
    """Build the program."""
    program = folder / "crowd"
    command = ["rustc", "-O", "--edition", "2024", "-o", str(program), str(SOURCE)]
    subprocess.run(command, check=True, timeout=120)
    return program


@asynccontextmanager
async def gathered(
    program: Path, channel: str, tokens: Sequence[str], places: Sequence[str]
) -> AsyncGenerator[Crowd]:
    """Bring a listener for each token to a channel, in turns to each of the places first."""
    process = await asyncio.create_subprocess_exec(
        program,
        channel,
        *places,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE,
    )
    try:
        assert process.stdin is not None
        process.stdin.write("\n".join([*tokens, "", ""]).encode())
        crowd = Crowd(process)
        await crowd.arrived()
        yield crowd
    finally:
        process.kill()
        await process.wait()
