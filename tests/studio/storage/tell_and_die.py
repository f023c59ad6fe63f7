"""Commit entities, say which were acknowledged, and die before any change was carried."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from nexus_gateway.studio.engines import entity_store
from nexus_gateway.studio.intelligence.models import Draft
from nexus_gateway.studio.intelligence.service import Entities
from nexus_gateway.studio.storage.relational import relational


async def main(where: Path | str) -> None:
    """Create entities until 50 are acknowledged; others are under way then."""
    acknowledged = 0
    engine = relational(where, pool=4, wait=5, timeout=5)

    async def create(number: int) -> None:
        nonlocal acknowledged
        entity = await entities.create("acme", Draft(entity_id=f"e{number}", entity_type="tool"))
        os.write(sys.stdout.fileno(), f"{entity.entity_id}\n".encode())
        acknowledged += 1
        if acknowledged == 50:
            os.kill(os.getpid(), signal.SIGKILL)

    async with engine:
        entities = Entities(entity_store(engine))
        await asyncio.gather(*(create(number) for number in range(200)))


if __name__ == "__main__":
    named = sys.argv[1]
    asyncio.run(main(named if "://" in named else Path(named)))
