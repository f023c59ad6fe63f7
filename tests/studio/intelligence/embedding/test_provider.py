"""The provider of embeddings over real HTTP: a small server that speaks OpenAI's API."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, cast

import msgspec
import numpy as np
import pytest

from nexus_gateway.server.settings import Secret, Settings
from nexus_gateway.studio.app import compose
from nexus_gateway.studio.intelligence.embedding import provider as providing
from nexus_gateway.studio.intelligence.embedding.hashing import vectors
from nexus_gateway.studio.intelligence.embedding.models import EmbeddingUnavailable
from nexus_gateway.studio.intelligence.embedding.provider import Provider
from nexus_gateway.testing import Client
from tests.harness.entity_caller import ENTITIES, Caller, document, ids, tool
from tests.harness.waiting import Polling

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path


class Asked(msgspec.Struct):
    """A request as the server got it."""

    model: str
    input: list[str]


class Server(ThreadingHTTPServer):
    """Answers as a provider does, or in a way that a test sets."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.asked: list[Asked] = []
        self.keys: list[str | None] = []
        self.connections: set[object] = set()
        self.status = 200
        self.body: bytes | None = None
        self.answering = threading.Event()
        self.answering.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    """`POST /v1/embeddings`."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = cast("Server", self.server)
        asked = msgspec.json.decode(
            self.rfile.read(int(self.headers["content-length"])), type=Asked
        )
        server.asked.append(asked)
        server.keys.append(self.headers["authorization"])
        server.connections.add(self.client_address)
        server.answering.wait()
        status, body = server.status, server.body
        if self.path != "/v1/embeddings":
            status, body = 404, b"{}"
        elif any("forbidden" in text for text in asked.input):
            status, body = 400, b'{"error": {"message": "not this"}}'
        elif body is None:
            made = vectors(asked.input).tolist()
            data = [{"index": at, "embedding": one} for at, one in enumerate(made)]
            body = msgspec.json.encode({"object": "list", "data": data[::-1], "model": asked.model})
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


@contextlib.contextmanager
def serving(port: int = 0) -> Generator[Server]:
    with Server(port) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as opened:
        yield opened


async def test_texts_become_vectors_in_their_order_over_one_connection(server: Server) -> None:
    with contextlib.closing(Provider(server.url, "small", key="k")) as provider:
        first = await provider.embed(["a hammer", "a needle"])
        second = await provider.embed(["a needle", "a hammer"])

    assert first == second[::-1]
    assert {int(np.abs(np.frombuffer(one, np.int8)).max()) for one in first} == {127}
    assert [asked.input for asked in server.asked] == [
        ["a hammer", "a needle"],
        ["a needle", "a hammer"],
    ]
    assert {asked.model for asked in server.asked} == {"small"}
    assert set(server.keys) == {"Bearer k"}
    assert len(server.connections) == 1


async def test_a_text_that_is_refused_keeps_back_no_other(server: Server) -> None:
    with contextlib.closing(Provider(server.url, "small")) as provider:
        good, refused, other = await provider.embed(["a hammer", "forbidden", "a needle"])

    assert any(good)
    assert any(other)
    assert (any(refused), len(refused)) == (False, len(good))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"{}"),
        (401, b"{}"),
        (200, b"<html>"),
        (200, b'{"data": []}'),
        (200, b'{"data": [{"index": 0, "embedding": []}]}'),
        (200, b'{"data": [{"index": 1, "embedding": [1.0]}]}'),
        (200, b'{"data": [{"index": 0, "embedding": ["x"]}]}'),
        (302, b""),
    ],
)
async def test_what_is_no_answer_is_not_taken_for_one(
    server: Server, status: int, body: bytes
) -> None:
    server.status, server.body = status, body

    with (
        contextlib.closing(Provider(server.url, "small")) as provider,
        pytest.raises(EmbeddingUnavailable),
    ):
        await provider.embed(["a"])


async def test_a_provider_that_hangs_is_given_up_in_time_and_left_alone(server: Server) -> None:
    server.answering.clear()
    provider = Provider(server.url, "small", timeout=0.1)

    for _ in range(3):
        with pytest.raises(EmbeddingUnavailable):
            await provider.embed(["a"])

    server.answering.set()
    assert len(server.asked) == 1


async def test_a_connection_that_the_provider_closed_is_made_again() -> None:
    with serving() as first:
        provider = Provider(first.url, "small")
        before = await provider.embed(["a", "b"])
        port = first.server_port
    with serving(port), contextlib.closing(provider):
        after = await provider.embed(["a", "b"])

    assert before == after


async def test_no_provider_is_unavailable() -> None:
    with pytest.raises(EmbeddingUnavailable):
        await Provider("http://127.0.0.1:9/v1", "small").embed(["a"])


def test_a_gateway_searches_by_the_vectors_of_its_provider(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providing, "REST", 0.0)
    settings = Settings(
        data_dir=tmp_path,
        log_level="error",
        embeddings_url=server.url,
        embeddings_model="small",
        embeddings_key=Secret("k"),
        embeddings_batch=2,
    )
    with Client(compose(settings)) as opened:
        alice = Caller(opened, settings, "intelligence:read intelligence:write", None)
        names = ("rotary hammer", "sewing needle", "garden hose")
        batch = [tool(f"e{at}", name=name) for at, name in enumerate(names)]
        alice.post(f"{ENTITIES}:batch", {"items": batch})
        polling = Polling("everything is indexed")
        while document(alice.get(f"{ENTITIES}/search"))["pending"]:
            polling.pause()

        found = alice.get(f"{ENTITIES}/search?q=rotarry+hamer")
        server.status, server.body = 503, b"{}"
        without = alice.get(f"{ENTITIES}/search?q=garden")

    assert ids(found) == ["e0"]
    assert document(found)["degraded"] == []
    assert (ids(without), document(without)["degraded"]) == (["e2"], ["vector"])
    assert max(len(asked.input) for asked in server.asked) == 2
    assert set(server.keys) == {"Bearer k"}
