"""Gateways as processes of their own, and the clients that tests speak to them with."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx
import msgspec

from nexus_gateway.server.tokens import mint
from tests.harness.tokens import TOKEN_LIFETIME_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

ROOT = Path(__file__).parents[2]
SECRET = "a secret of the acceptance tests, long enough for every HMAC, also the 64 bytes of HS512"
ORIGIN = "https://app.example.com"
PATIENCE = 10.0
"""Seconds that a test waits for what should come at once."""


class Gateway:
    """A `nexus-gateway serve` that listens on a free port; a context manager that ends it."""

    def __init__(
        self,
        folder: Path,
        target: str | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        port: int = 0,
    ) -> None:
        """Start the studio, or `target`, with its data and its log in `folder`.

        Port 0 is a free one.
        """
        self.folder = folder
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command_line("serve", *([] if target is None else [target]), "--port", str(port)),
                cwd=folder,
                env=environment_of(folder, environment or {}),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()
        address = re.fullmatch(r"listening on ((https?)://127\.0\.0\.1:(\d+))\n", self.said)
        assert address is not None, self._log.read_text()
        self.url, self.scheme, self.port = address[1], address[2], int(address[3])
        self.hint = self.process.stdout.readline()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process, if the test did not."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(2)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def client(self, **options: object) -> httpx.Client:
        """Make a client; the caller closes it."""
        return httpx.Client(base_url=self.url, timeout=PATIENCE, **options)  # type: ignore[arg-type]

    def connect(self) -> socket.socket:
        """Open a connection; the caller closes it."""
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def stop(self) -> int:
        """Tell the gateway to end, and wait until it did; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def lines(self) -> list[dict[str, object]]:
        """Stop the gateway and read its log; each line must be JSON."""
        assert self.stop() == 0
        return [msgspec.json.decode(line, type=dict[str, object]) for line in self.text()]

    def text(self) -> list[str]:
        """Read the lines of the log as they are."""
        return self._log.read_text().splitlines()

    def metric(self, name: str) -> float:
        """Read a counter or gauge without labels."""
        with self.client() as client:
            found = re.search(rf"^{name} (\S+)$", client.get("/metrics").text, re.MULTILINE)
        assert found is not None
        return float(found[1])


class Answer(msgspec.Struct):
    """What came back on a plain socket."""

    status: int
    headers: dict[str, str]
    body: bytes


def command_line(*arguments: str) -> list[str]:
    """Spell a call of the command line."""
    return [sys.executable, "-m", "nexus_gateway", *arguments]


def environment_of(folder: Path, added: Mapping[str, str]) -> dict[str, str]:
    """Make an environment with no settings but those of the test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("NEXUS_")}
    own = {"PYTHONPATH": str(ROOT), "NEXUS_DATA_DIR": str(folder / "data"), "COLUMNS": "200"}
    return {**kept, **own, **added}


def run(
    folder: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command_line(*arguments),
        cwd=folder,
        env=environment_of(folder, environment or {}),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def bearer(*scopes: str, subject: str = "alice") -> dict[str, str]:
    """Make the header of a token that `SECRET` signed."""
    return {"authorization": f"Bearer {mint(SECRET.encode(), subject, scopes, TOKEN_LIFETIME_S)}"}


def exchange(gateway: Gateway, sent: bytes) -> Answer:
    """Send bytes on a connection of their own and read the one answer, until its end."""
    with gateway.connect() as connection:
        connection.sendall(sent)
        return read_answer(connection)


def read_answer(connection: socket.socket) -> Answer:
    """Read one HTTP/1.1 answer with a `Content-Length`, and no byte more."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        assert byte, f"the connection was closed after {head!r}"
        head += byte
    status, *lines = head.decode("latin-1").split("\r\n")[:-2]
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body, length = b"", int(headers.get("content-length", "0"))
    while len(body) < length:
        body += connection.recv(length - len(body))
    return Answer(int(status.split(" ")[1]), headers, body)


def closed(connection: socket.socket) -> bool:
    """Wait for the peer to close the connection; tell whether it sent nothing before."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def code_of(answer: httpx.Response) -> str:
    """Read the code of a refusal."""
    code = answer.json()["code"]
    assert isinstance(code, str)
    return code


def members(header: str) -> Sequence[str]:
    """Split a header that is a list, in lower case."""
    return [part.strip().lower() for part in header.split(",") if part.strip()]


def decoded(text: str | bytes) -> dict[str, object]:
    """Read a JSON object."""
    found: object = json.loads(text)
    assert isinstance(found, dict)
    return msgspec.convert(found, dict[str, object])
