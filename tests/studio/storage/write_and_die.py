"""Write rows, say which were acknowledged, and die without a farewell."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nexus_gateway.studio.storage.sqlite import Database

if TYPE_CHECKING:
    import sqlite3


async def main(path: Path) -> None:
    """Write until 200 are acknowledged; others are under way then."""
    acknowledged = 0

    def add(connection: sqlite3.Connection, number: int) -> None:
        connection.execute("INSERT INTO note VALUES (?)", (number,))

    async def write(number: int) -> None:
        nonlocal acknowledged
        await database.write(lambda connection: add(connection, number))
        os.write(sys.stdout.fileno(), f"{number}\n".encode())
        acknowledged += 1
        if acknowledged == 200:
            os.kill(os.getpid(), signal.SIGKILL)

    async with Database(path) as database:
        await database.write(lambda c: c.execute("CREATE TABLE note (id INTEGER)"))
        await asyncio.gather(*(write(number) for number in range(1000)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
