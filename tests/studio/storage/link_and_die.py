"""Write nodes into an embedded graph, say which were acknowledged, and die without a farewell."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from nexus_gateway.studio.storage.graph import Statement
from nexus_gateway.studio.storage.graph_embedded import EmbeddedGraph

CREATE = Statement("CREATE (n:Entity {tenant: 'acme', entity_id: $first}) RETURN n.entity_id")


async def main(path: Path) -> None:
    """Write until 100 are acknowledged; each is two nodes or none."""
    acknowledged = 0

    async def write(number: int) -> None:
        nonlocal acknowledged
        pair = [Statement(CREATE.text, {"first": f"{side}{number}"}) for side in ("l", "r")]
        await graph.write(pair, seconds=10)
        os.write(sys.stdout.fileno(), f"{number}\n".encode())
        acknowledged += 1
        if acknowledged == 100:
            os.kill(os.getpid(), signal.SIGKILL)

    async with EmbeddedGraph(path) as graph:
        await asyncio.gather(*(write(number) for number in range(500)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
