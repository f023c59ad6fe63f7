"""A gateway that is killed in the middle of an ingest and started again loses nothing of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import msgspec
import pytest

from nexus_gateway.server.settings import Settings
from nexus_gateway.server.tokens import mint
from tests.harness.tokens import TOKEN_LIFETIME_S
from tests.harness.waiting import Polling

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = Path(__file__).parents[4]
INGEST = "/api/knowledge-graph/ingest"
PATIENCE = 60.0
NODES = 4000


@contextmanager
def gateway(folder: Path) -> Generator[tuple[httpx.Client, subprocess.Popen[str]]]:
    """Start a gateway over a folder, and give a client of the tenant acme."""
    process = subprocess.Popen(
        [sys.executable, "-m", "nexus_gateway", "serve", "--port", "0"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "NEXUS_DATA_DIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        address = re.search(r"http://\S+", process.stdout.readline())
        assert address is not None
        secret = Settings(data_dir=folder).secret() or b""
        token = mint(secret, "alice", ["*"], TOKEN_LIFETIME_S, tenant="acme")
        headers = {"authorization": f"Bearer {token}"}
        with httpx.Client(base_url=address[0], timeout=30, headers=headers) as client:
            yield client, process
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def done(client: httpx.Client, place: str) -> dict[str, object]:
    polling = Polling("the ingest is done", deadline_s=PATIENCE)
    while True:
        told = msgspec.json.decode(client.get(place).content, type=dict[str, object])
        if told["state"] == "done":
            return told
        polling.pause()


@pytest.mark.slow
def test_what_was_accepted_is_in_the_graph_after_a_kill_and_once(tmp_path: Path) -> None:
    nodes = [{"entity_id": f"n{number}", "entity_type": "thing"} for number in range(NODES)]
    edges = [
        {"source": f"n{number}", "target": f"n{(number * 7) % NODES}", "type": "to"}
        for number in range(NODES)
    ]
    lines = msgspec.json.Encoder().encode_lines([*edges, *nodes])

    with gateway(tmp_path) as (client, process):
        headers = {"content-type": "application/x-ndjson"}
        accepted = client.post(INGEST, content=lines, headers=headers)
        place = accepted.headers["location"]
        polling = Polling("a part is done", deadline_s=PATIENCE)
        while not msgspec.json.decode(client.get(place).content)["progress"].get("done"):
            polling.pause()
        process.kill()
    with gateway(tmp_path) as (client, process):
        told = done(client, place)
        stats = client.get("/api/knowledge-graph/stats").json()

    assert accepted.status_code == 202
    assert told["progress"].get("refused", 0) == 0  # type: ignore[attr-defined]  # a document
    assert (stats["nodes"], stats["edges"], stats["versions"]) == (NODES, NODES, 0)
