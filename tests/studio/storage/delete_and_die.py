"""Delete and create nodes in an embedded graph, and stop, or die by SIGKILL."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from nexus_gateway.studio.storage.graph import Statement
from nexus_gateway.studio.storage.graph_embedded import EmbeddedGraph

CREATE = "CREATE (n:Entity {tenant: 'acme', entity_id: $id})"
DELETE = "MATCH (n:Entity {tenant: 'acme', entity_id: $id}) DETACH DELETE n"


async def main(path: Path, run: str, ending: str) -> None:
    """Create three nodes, delete the first two, create one more."""
    async with EmbeddedGraph(path) as graph:
        for text, number in ((CREATE, 0), (CREATE, 1), (CREATE, 2), (DELETE, 0), (DELETE, 1)):
            await graph.write([Statement(text, {"id": f"{run}.{number}"})], seconds=10)
        await graph.write([Statement(CREATE, {"id": f"{run}.3"})], seconds=10)
        if ending == "kill":
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
