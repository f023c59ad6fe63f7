"""The examples: each is started as a process of its own, on a free port, and called."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import msgspec
import pytest

from tests.harness.servers import running_postgres
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
ACME = {"x-tenant": "acme", "x-api-key": "acme-key-1"}
TEA = {"id": 1, "title": "tea"}
ANVIL = {"number": 7, "article": "anvil"}


class Exchange(msgspec.Struct, frozen=True):
    """A request of an example's reader, and what must come back."""

    method: str
    path: str
    status: int
    answer: object
    body: object = None
    headers: dict[str, str] = {}


SAID: dict[str, list[Exchange]] = {
    "basic_server": [
        Exchange("GET", "/hello", 200, {"message": "hello"}),
        Exchange("GET", "/squares/7", 200, {"number": 7, "square": 49}),
        Exchange("GET", "/squares/seven", 400, "validation_error"),
        Exchange("POST", "/notes", 201, {"title": "tea", "tags": []}, {"title": "tea"}),
        Exchange("POST", "/notes", 422, "validation_error", {"title": 7}),
        Exchange("DELETE", "/notes", 405, "method_not_allowed"),
        Exchange("GET", "/nowhere", 404, "not_found"),
    ],
    "websocket_demo": [
        Exchange(
            "POST", "/say/hall", 201, {"text": "hi", "from": "me"}, {"text": "hi", "from": "me"}
        ),
        Exchange("POST", "/say/hall", 422, "validation_error", {"text": 7}),
        Exchange("GET", "/history/nowhere", 404, "not_found"),
        Exchange("GET", "/ws/realtime", 426, "upgrade_required"),
    ],
    "own_filter": [
        Exchange("GET", "/orders?limit=1", 200, [ANVIL], headers=ACME),
        Exchange("GET", "/orders/7", 200, ANVIL, headers=ACME),
        Exchange("GET", "/orders/9", 404, "not_found", headers=ACME),
        Exchange("GET", "/orders", 400, "validation_error"),
        Exchange(
            "GET", "/orders", 401, "authentication_failed", headers={**ACME, "x-api-key": "no"}
        ),
    ],
}
WITH_DATABASE: dict[str, list[Exchange]] = {
    "with_db": [
        Exchange("POST", "/notes", 201, TEA, {"title": "tea"}),
        Exchange("POST", "/notes", 201, {"id": 2, "title": "'; DROP"}, {"title": "'; DROP"}),
        Exchange("POST", "/notes", 422, "validation_error", {"title": ""}),
        Exchange("GET", "/notes?limit=1", 200, [TEA]),
        Exchange("GET", "/notes/1", 200, TEA),
        Exchange("DELETE", "/notes/2", 204, None),
        Exchange("GET", "/notes/2", 404, "not_found"),
        Exchange("GET", "/notes/99999999999", 400, "validation_error"),
    ],
}

ATTRIBUTES = {"websocket_demo": "application"}
"""What is served of a file, where it is not `routes`."""


@contextmanager
def served(target: str, **settings: str) -> Generator[httpx.Client]:
    """Start an example and give a client for it; it must end well when told to."""
    command = [sys.executable, "-m", "nexus_gateway", "serve", target, "--port", "0"]
    process = subprocess.Popen(
        command,
        cwd=EXAMPLES,
        env={**os.environ, "PYTHONPATH": str(ROOT), **settings},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        address = re.search(r"http://\S+", process.stdout.readline())
        assert address is not None
        with httpx.Client(base_url=address[0], timeout=10) as client:
            yield client
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def test_every_example_is_tested() -> None:
    assert {file.stem for file in EXAMPLES.glob("*.py")} == {*SAID, *WITH_DATABASE}


@pytest.mark.parametrize("name", SAID)
def test_an_example_answers_as_it_says(name: str) -> None:
    with served(f"{name}:{ATTRIBUTES.get(name, 'routes')}") as client:
        converse(client, SAID[name])


@pytest.mark.parametrize("name", WITH_DATABASE)
def test_an_example_with_a_database_answers_as_it_says(name: str, empty_postgres: str) -> None:
    with served(f"{name}:application", NEXUS_DATABASE_URL=empty_postgres) as client:
        converse(client, WITH_DATABASE[name])


def test_an_example_says_when_its_database_is_away_and_goes_on_when_it_is_back() -> None:
    with (
        running_postgres() as server,
        served("with_db:application", NEXUS_DATABASE_URL=server.url()) as client,
    ):
        client.post("/notes", json={"title": "tea"})
        server.kill()
        away = client.get("/notes/1")
        server.start()
        wait_until(lambda: client.get("/notes/1").status_code == 200, "the database is back")

    assert (away.status_code, away.json()["code"]) == (503, "database_error")
    assert int(away.headers["retry-after"]) > 0


def converse(client: httpx.Client, exchanges: list[Exchange]) -> None:
    """Say what an example's reader says, and look at what comes back."""
    for said in exchanges:
        answer = client.request(said.method, said.path, json=said.body, headers=said.headers)

        assert answer.status_code == said.status, answer.text
        found = msgspec.json.decode(answer.content or b"null")
        assert (found["code"] if said.status >= 400 else found) == said.answer
        assert answer.headers["x-request-id"]


def test_the_chat_hears_itself_and_whoever_joins() -> None:
    process = subprocess.Popen(
        [sys.executable, "websocket_demo.py", "0"],
        cwd=EXAMPLES,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        address = re.search(r"http://\S+", process.stdout.readline())
        assert address is not None
        heard = [process.stdout.readline().strip() for _ in range(2)]
        with (
            httpx.Client(base_url=address[0], timeout=10) as client,
            client.stream("GET", "/events/ticks") as ticks,
        ):
            tick = next(line for line in ticks.iter_lines() if line.startswith("data:"))
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.stdout.close()
        process.wait()

    assert heard == ["ada hears ada: hello", "ada hears ada: is anybody there?"]
    assert '"number":' in tick
