"""The examples: each is started as a process of its own, on a free port, and called."""

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

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
ACME = {"x-tenant": "acme", "x-api-key": "acme-key-1"}
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


@contextmanager
def served(name: str) -> Generator[httpx.Client]:
    """Start an example and give a client for it; it must end well when told to."""
    command = [sys.executable, "-m", "nexus_gateway", "serve", f"{name}:routes", "--port", "0"]
    process = subprocess.Popen(
        command,
        cwd=EXAMPLES,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
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
    assert {file.stem for file in EXAMPLES.glob("*.py")} == set(SAID)


@pytest.mark.parametrize("name", SAID)
def test_an_example_answers_as_it_says(name: str) -> None:
    with served(name) as client:
        for said in SAID[name]:
            answer = client.request(said.method, said.path, json=said.body, headers=said.headers)

            assert answer.status_code == said.status, answer.text
            found = answer.json()
            assert (found["code"] if said.status >= 400 else found) == said.answer
            assert answer.headers["x-request-id"]
