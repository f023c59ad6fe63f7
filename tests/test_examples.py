"""The examples: each answers what its first lines promise, and can be served by the command."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nexus_gateway import Routes
from nexus_gateway.lint import lint
from nexus_gateway.testing import Client, Request, request

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def routes_of(file: Path) -> Routes:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Annotations are evaluated where the module can be found by its name.
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    routes: object = module.routes
    assert isinstance(routes, Routes)
    return routes


@pytest.fixture
def basic() -> Iterator[Client]:
    with Client(routes_of(ROOT / "examples" / "basic_server.py")) as client:
        yield client


@pytest.fixture
def orders() -> Iterator[Client]:
    with Client(routes_of(ROOT / "examples" / "own_filter.py")) as client:
        yield client


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_has_nothing_that_a_lint_would_name(file: Path) -> None:
    assert lint(routes_of(file)) == []


def test_the_basic_server_has_less_than_thirty_lines() -> None:
    text = (ROOT / "examples" / "basic_server.py").read_text(encoding="utf-8")

    assert len(text.splitlines()) < 30


def test_the_basic_server_greets_squares_and_keeps(basic: Client) -> None:
    hello = request("GET /hello").reply(basic)
    square = request("GET /squares/12").reply(basic)
    note = request("POST /notes").json({"title": "tea", "tags": ["hot"]}).reply(basic)

    assert hello.json() == {"message": "hello"}
    assert square.json() == {"number": 12, "square": 144}
    assert (note.status, note.json()) == (201, {"title": "tea", "tags": ["hot"]})


def test_the_basic_server_refuses_what_does_not_fit(basic: Client) -> None:
    assert request("GET /squares/twelve").reply(basic).status == 400
    assert request("POST /notes").json({"tags": [1]}).reply(basic).status == 422
    assert request("PUT /hello").reply(basic).status == 405


def from_acme(what: Request, key: str = "acme-key-1") -> Request:
    return what.header("x-tenant", "acme").header("x-api-key", key)


def test_a_tenant_sees_its_orders(orders: Client) -> None:
    listed = from_acme(request("GET /orders?limit=1")).reply(orders)
    one = from_acme(request("GET /orders/8")).reply(orders)

    assert listed.json() == [{"number": 7, "article": "anvil"}]
    assert one.json() == {"number": 8, "article": "rocket skates"}


@pytest.mark.parametrize(
    ("what", "status"),
    [
        (request("GET /orders"), 400),
        (request("GET /orders").header("x-tenant", "ACME").header("x-api-key", "k"), 400),
        (from_acme(request("GET /orders"), "wrong"), 401),
        (from_acme(request("GET /orders/9")), 404),
        (from_acme(request("GET /orders?limit=0")), 400),
    ],
)
def test_whoever_is_no_tenant_is_refused(orders: Client, what: Request, status: int) -> None:
    assert what.reply(orders).status == status


def test_an_example_serves_until_it_is_ended() -> None:
    code = "import basic_server as b; b.serve(b.routes, port=0)"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'examples'}"}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
    ) as server:
        assert server.stdout is not None
        address = server.stdout.readline().split()[-1]
        with urllib.request.urlopen(f"{address}/hello", timeout=10) as answer:
            assert answer.status == 200
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0
