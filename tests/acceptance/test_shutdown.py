"""SIGTERM: what is in progress gets the grace, everything else ends at once.

Nothing that a peer or a reader of the log leaves undone keeps the process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.test_protocol import Certificate
from tests.harness import http2_frames as h2
from tests.harness.gateway_process import (
    PATIENCE,
    Gateway,
    closed,
    command_line,
    environment_of,
    read_answer,
)

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

APPLICATION = "tests.acceptance.apps.exhaustion:gateway"
GRACE = 8.0
SOON = 2.0
"""Seconds that an end at once may take: most of them the interpreter's own."""


@pytest.fixture
def gateway(tmp_path: Path) -> Generator[Gateway]:
    settings = {"NEXUS_SHUTDOWN_GRACE": str(GRACE)}
    with Gateway(tmp_path, APPLICATION, environment=settings) as gateway:
        yield gateway


def test_connections_without_a_request_in_progress_end_at_once(gateway: Gateway) -> None:
    parts = [
        b"",
        b"GET /hea",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX-Half",
        b"PR",
        h2.PREFACE[:20],
        h2.window(65_535),
        h2.window(65_535) + h2.request(1, "/health"),
        h2.window(65_535) + h2.frame(h2.HEADERS, b"\0\x07:method", stream=1),
        b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /heal",
    ]
    with contextlib.ExitStack() as opened:
        connections = [opened.enter_context(gateway.connect()) for _ in parts]
        for connection, part in zip(connections, parts, strict=True):
            connection.sendall(part)
        while gateway.metric("nexus_connections_open") <= len(parts):
            pass
        started = time.monotonic()

        assert gateway.stop() == 0

        assert time.monotonic() - started < SOON


def test_handshakes_in_progress_end_at_once(tmp_path: Path) -> None:
    settings = {"NEXUS_SHUTDOWN_GRACE": str(GRACE)} | Certificate(tmp_path).settings
    with (
        Gateway(tmp_path, APPLICATION, environment=settings) as gateway,
        gateway.connect() as silent,
        gateway.connect() as half,
    ):
        half.sendall(b"\x16\x03\x01\x02\x00\x01")
        started = time.monotonic()

        assert gateway.stop() == 0

        assert time.monotonic() - started < SOON
        assert closed(silent)


def test_half_a_body_gets_the_grace(gateway: Gateway) -> None:
    head = b"POST /count HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n"
    with gateway.connect() as connection, gateway.connect() as silent:
        connection.sendall(head + b"12345")
        while gateway.metric("nexus_connections_open") < 3:
            pass
        gateway.process.send_signal(signal.SIGTERM)
        assert closed(silent)
        connection.sendall(b"67890")

        assert read_answer(connection).body == b"10"
        assert gateway.process.wait(SOON) == 0


def test_clients_that_do_not_read_do_not_keep_it(tmp_path: Path) -> None:
    settings = {"NEXUS_SHUTDOWN_GRACE": "0.5"}
    with (
        Gateway(tmp_path, APPLICATION, environment=settings) as gateway,
        contextlib.ExitStack() as opened,
    ):
        for sent in (
            b"GET /endless/one HTTP/1.1\r\nhost: x\r\n\r\n",
            b"GET /channels/room HTTP/1.1\r\nhost: x\r\n\r\n",
            h2.window(0) + h2.request(1, "/endless/two"),
            h2.window(0) + h2.request(1, "/large"),
        ):
            opened.enter_context(gateway.connect()).sendall(sent)
        while gateway.metric("nexus_connections_open") < 5:
            pass
        started = time.monotonic()

        assert gateway.stop() == 0

        assert time.monotonic() - started < 0.5 + SOON


def test_a_log_that_nobody_reads_does_not_keep_it(tmp_path: Path) -> None:
    read, write = os.pipe()
    process = subprocess.Popen(
        command_line("serve", APPLICATION, "--port", "0"),
        cwd=tmp_path,
        env=environment_of(tmp_path, {}),
        stdout=subprocess.PIPE,
        stderr=write,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(":")[2])
        gateway = Gateway.__new__(Gateway)
        gateway.process, gateway.port = process, port
        with gateway.connect() as connection:
            for _ in range(20):
                connection.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n" * 50)
                for _ in range(50):
                    assert read_answer(connection).status == 200
        process.send_signal(signal.SIGTERM)

        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.communicate()
        os.close(read)
        os.close(write)


def test_what_was_logged_is_written_before_the_end(gateway: Gateway) -> None:
    with gateway.client() as client:
        for _ in range(500):
            client.get("/health")

    assert sum(line.get("path") == "/health" for line in gateway.lines()) == 500
