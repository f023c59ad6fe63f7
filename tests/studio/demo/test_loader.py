"""Loading: through a real gateway, and past refusals and broken connections."""

from __future__ import annotations

import asyncio
import base64
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import msgspec
import pytest

from nexus_gateway.server import Server
from nexus_gateway.server.settings import Secret, Settings
from nexus_gateway.server.tokens import mint
from nexus_gateway.studio.app import compose
from nexus_gateway.studio.demo import DemoError, command, load, load_source, python
from nexus_gateway.studio.demo.loader import Sender, check_loaded
from nexus_gateway.studio.demo.sources import Source
from nexus_gateway.studio.intelligence.models import Draft, Imported
from tests.harness.tokens import TOKEN_LIFETIME_S

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

Script = list[tuple[int, str] | None]


def drafts(count: int) -> list[Draft]:
    return [Draft(entity_id=f"e{n}", entity_type="tool", name=f"tool {n}") for n in range(count)]


@contextmanager
def scripted(script: Script) -> Generator[str]:
    """Answer each request with a status and `Retry-After`, or with a closed connection."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            items = msgspec.json.decode(content)["items"]
            step = script.pop(0) if script else (200, "")
            if step is None:
                self.close_connection = True
                return
            body = msgspec.json.encode(Imported(len(items), 0, 0, ()))
            self.send_response(step[0])
            if step[1]:
                self.send_header("retry-after", step[1])
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send(url: str, count: int = 3) -> tuple[Imported, list[float]]:
    waits: list[float] = []
    sender = Sender(url, "token", sleep=waits.append)
    try:
        return sender.send(drafts(count)), waits
    finally:
        sender.close()


async def test_everything_is_loaded_and_a_second_time_changes_nothing(settings: Settings) -> None:
    token = mint(settings.secret() or b"", "demo", ["intelligence:write"], TOKEN_LIFETIME_S)
    told: list[int] = []

    async with Server(compose(settings), listen=[("127.0.0.1", 0)]) as server:
        url = f"http://127.0.0.1:{server.addresses[0][1]}"
        first = await asyncio.to_thread(
            load, drafts(1200), url=url, token=token, progress=told.append
        )
        second = await asyncio.to_thread(load, drafts(1200), url=url, token=token)

    assert (first.created, first.updated, first.unchanged) == (1200, 0, 0)
    assert (second.created, second.updated, second.unchanged) == (0, 0, 1200)
    assert told == [500, 1000, 1200]
    assert first.total == 1200


async def test_the_command_loads_with_a_token_of_its_own(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Server(compose(settings), listen=[("127.0.0.1", 0)]) as server:
        url = f"http://127.0.0.1:{server.addresses[0][1]}"
        await asyncio.to_thread(
            load_source, "python", url=url, token=None, limit=5, settings=settings
        )

    assert "5 created, 0 updated, 0 unchanged" in capsys.readouterr().out


async def test_what_is_there_with_another_type_is_left_as_it_is(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(lambda: iter(drafts(5)), lambda: 5, frozenset({"tool"}))
    monkeypatch.setattr(command, "SOURCES", {"tools": source})
    mine = Draft(entity_id="e3", entity_type="drink", name="tea", attributes={"leaf": "green"})
    token = mint(settings.secret() or b"", "me", ["intelligence:*", "*"], TOKEN_LIFETIME_S)

    async with Server(compose(settings), listen=[("127.0.0.1", 0)]) as server:
        url = f"http://127.0.0.1:{server.addresses[0][1]}"
        await asyncio.to_thread(load, [mine], url=url, token=token)
        for _ in range(2):
            await asyncio.to_thread(
                load_source, "tools", url=url, token=token, limit=None, settings=settings
            )
        again = await asyncio.to_thread(load, [mine], url=url, token=token)

    said = capsys.readouterr().out
    assert again.unchanged == 1
    assert "4 created, 0 updated, 0 unchanged" in said
    assert "0 created, 0 updated, 4 unchanged" in said
    assert "1 left as they are, since they are entities of another type here: e3" in said


async def test_a_source_that_yields_less_than_it_counted_is_a_failure(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(lambda: iter(drafts(4)), lambda: 5, frozenset({"tool"}))
    monkeypatch.setattr(command, "SOURCES", {"tools": source})

    async with Server(compose(settings), listen=[("127.0.0.1", 0)]) as server:
        url = f"http://127.0.0.1:{server.addresses[0][1]}"
        with pytest.raises(DemoError, match="tools had 5 entities and then 4"):
            await asyncio.to_thread(
                load_source, "tools", url=url, token=None, limit=None, settings=settings
            )


def test_a_batch_that_the_gateway_confirms_in_part_is_a_failure() -> None:
    with pytest.raises(DemoError, match="3 entities were sent, and the gateway confirmed 2"):
        check_loaded("entities", 3, 2)


async def test_a_token_without_the_scope_is_told(settings: Settings) -> None:
    token = mint(settings.secret() or b"", "demo", ["intelligence:read"], TOKEN_LIFETIME_S)

    async with Server(compose(settings), listen=[("127.0.0.1", 0)]) as server:
        url = f"http://127.0.0.1:{server.addresses[0][1]}"
        with pytest.raises(DemoError, match="403"):
            await asyncio.to_thread(load, drafts(1), url=url, token=token)


def test_refusals_for_now_are_waited_out() -> None:
    with scripted([(429, "7"), (503, ""), (503, "100000"), (200, "")]) as url:
        done, waits = send(url)

    assert done.created == 3
    assert waits == [7.0, 1.0, 60.0]


def test_a_broken_connection_is_made_again() -> None:
    with scripted([None, (200, "")]) as url:
        done, waits = send(url)

    assert done.created == 3
    assert waits == [0.1]


def test_a_gateway_that_never_takes_a_batch_is_given_up() -> None:
    with scripted([(503, "1")] * 30) as url, pytest.raises(DemoError, match="20 tries: 503"):
        send(url)


def test_a_gateway_that_is_not_there_is_told_at_once() -> None:
    with scripted([]) as url:
        pass

    with pytest.raises(DemoError, match="start one first"):
        send(url)


@pytest.mark.parametrize("url", ["ftp://host", "host:8000", "http://"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(DemoError, match="expected a URL"):
        Sender(url, "token")


def test_the_path_of_a_url_stays_before_ours() -> None:
    sender = Sender("https://gateway.example/base/", "token")

    assert sender.target == "/base/api/intelligence/entities:batch"


def test_an_unknown_source_is_refused(settings: Settings) -> None:
    with pytest.raises(DemoError, match="expected one of debian, python"):
        load_source("rpm", url="http://127.0.0.1:1", token="t", limit=1, settings=settings)


def test_a_source_with_nothing_in_it_is_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = Source(lambda: iter(()), lambda: 0, frozenset())
    monkeypatch.setattr(command, "SOURCES", {"empty": empty})

    with pytest.raises(DemoError, match="nothing to load"):
        load_source("empty", url="http://127.0.0.1:1", token="t", limit=1, settings=settings)


def test_a_gateway_with_a_public_key_needs_a_token(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, jwt_public_key_file=tmp_path / "key.pem")

    with pytest.raises(DemoError, match="--token"):
        load_source("python", url="http://127.0.0.1:1", token=None, limit=1, settings=settings)


def test_issuer_and_audience_are_in_the_token(tmp_path: Path) -> None:
    secret = Secret("s" * 32)
    settings = Settings(data_dir=tmp_path, jwt_secret=secret, jwt_issuer="i", jwt_audience="a")

    payload = command.own_token(settings).split(".")[1]

    assert b'"iss":"i","aud":"a"' in base64.urlsafe_b64decode(payload + "==")


def test_installed_distributions_fit_the_api() -> None:
    found = list(python.distributions())

    assert len(found) == python.count()
    assert "python:msgspec" in {draft.entity_id for draft in found}
    for draft in found:
        msgspec.json.decode(msgspec.json.encode(draft), type=Draft)
