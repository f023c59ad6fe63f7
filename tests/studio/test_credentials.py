"""Credentials in settings, commands and URLs: what is wrong with them is said without them."""

from __future__ import annotations

import threading
import traceback
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from nexus_gateway import Routes
from nexus_gateway.cli import app
from nexus_gateway.server import Application
from nexus_gateway.server.settings import SettingsError, load
from nexus_gateway.studio.demo.errors import DemoError
from nexus_gateway.studio.demo.existing import ENTITIES, foreign_ids
from nexus_gateway.studio.demo.loader import Sender
from nexus_gateway.studio.intelligence.embedding.provider import Provider
from nexus_gateway.studio.storage.urls import check_neo4j_url, check_redis_url, postgres_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECRET = "s3cr3t9f8e7d6c"
MALFORMED = [f"{SECRET}\n", f"{SECRET}\r\nx: y", f" {SECRET}", f"{SECRET}é", f"Bearer {SECRET}"]


class _Echo(BaseHTTPRequestHandler):
    """Refuses, and quotes what it was sent."""

    def do_POST(self) -> None:
        self._refuse()

    def do_GET(self) -> None:
        self._refuse()

    def _refuse(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        quoted = f"no: {self.headers['authorization']}".encode()
        self.send_response(403)
        self.send_header("content-length", str(len(quoted)))
        self.end_headers()
        self.wfile.write(quoted)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def echo() -> Iterator[str]:
    """A server that repeats the token in its refusal."""
    server = HTTPServer(("127.0.0.1", 0), _Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def _message(call: Callable[[], object]) -> str:
    with pytest.raises((DemoError, ValueError)) as caught:
        call()
    return "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("token", MALFORMED)
@pytest.mark.parametrize("command", [["import", "FILE"], ["demo", "load", "python"]])
def test_a_command_refuses_a_malformed_token_in_a_sentence(
    token: str, command: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "entities.ndjson"
    file.write_bytes(b'{"entity_id": "x", "entity_type": "thing"}\n')
    arguments = [str(file) if word == "FILE" else word for word in command]

    done = CliRunner().invoke(
        app, [*arguments, f"--token={token}", "--limit=1"][: len(command) + 1]
    )

    assert done.exit_code == 2, done.output
    assert "--token: the token has a character" in done.output
    assert isinstance(done.exception, SystemExit)
    assert SECRET not in done.output


def test_what_the_server_quotes_of_a_token_is_not_message(echo: str) -> None:
    sender = Sender(echo, SECRET)
    posting = _message(lambda: sender.deliver(b"{}", "application/json"))
    sender.close()
    listing = _message(lambda: foreign_ids(ENTITIES, (), url=echo, token=SECRET))

    assert SECRET not in posting + listing
    assert "403 no: Bearer [redacted]" in posting


@pytest.mark.parametrize(
    "url", [f"http://user:{SECRET}@h", f"http://user:{SECRET}@h:port", f"ftp://u:{SECRET}@h/"]
)
def test_a_url_with_a_password_is_refused_without_it(url: str) -> None:
    assert SECRET not in _message(lambda: Sender(url, "token"))
    assert SECRET not in _message(lambda: Provider(url, "model"))


@pytest.mark.parametrize("key", [f"{SECRET}\n", f"{SECRET}é", ""])
def test_a_key_that_no_header_can_carry_is_refused_at_start(key: str) -> None:
    assert SECRET not in _message(lambda: Provider("http://h/v1", "model", key=key))
    if key:
        message = _message(lambda: load(environ={"NEXUS_EMBEDDINGS_KEY": key}))
        assert "NEXUS_EMBEDDINGS_KEY" in message
        assert SECRET not in message


@pytest.mark.parametrize(
    "rest",
    [
        f"user:{SECRET}/x@host/db", f"user:12/{SECRET}@host/db", f"user:1?{SECRET}=1@host/db",
        f"user:{SECRET}#x@host/db", f"user:{SECRET}%zz@host/db", f"user:{SECRET} x@host/db",
        f"user:{SECRET}@host:99999x/db", f"user:{SECRET}@[host/db", f"user:{SECRET}@ho\u2100st/db",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    ("scheme", "check"),
    [("postgresql", postgres_address), ("redis", check_redis_url), ("bolt", check_neo4j_url)],
)
def test_the_url_of_a_server_that_cannot_be_used_is_not_quoted(
    rest: str, scheme: str, check: Callable[[str], object]
) -> None:
    assert SECRET not in _message(lambda: check(f"{scheme}://{rest}"))


@pytest.mark.parametrize("name", ["REDIS_URL", "NEO4J_URL", "EMBEDDINGS_URL"])
@pytest.mark.parametrize("text", [f"user:{SECRET}@host", f"user:{SECRET}@x://host"])
def test_a_setting_that_is_no_url_is_not_quoted(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=name) as caught:
        load(environ={f"NEXUS_{name}": text})

    assert SECRET not in str(caught.value)


def test_urls_of_another_type_and_representations_have_no_password(tmp_path: Path) -> None:
    file = tmp_path / "nexus.toml"
    file.write_text(f'database_url = ["postgresql://u:{SECRET}@h/d"]\n')
    with pytest.raises(SettingsError, match="database_url") as caught:
        load(file)
    settings = load(environ={
        "NEXUS_DATABASE_URL": f"postgresql://u:{SECRET}@h/d",
        "NEXUS_REDIS_URL": f"redis://u:{SECRET}@h",
        "NEXUS_EMBEDDINGS_URL": f"https://h/v1?key={SECRET}",
        "NEXUS_EMBEDDINGS_KEY": SECRET,
        "NEXUS_JWT_SECRET": SECRET * 4,
    })  # fmt: skip
    application = Application(Routes(), secrets={"jwt": SECRET.encode()})

    shown = f"{caught.value}{settings!r}{application!r}"
    shown += repr(postgres_address(f"postgresql://u:{SECRET}@h/d"))
    assert SECRET not in shown
