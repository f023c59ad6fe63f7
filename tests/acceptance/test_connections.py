"""Connections that are slow or silent are closed at their time, and no sooner."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.harness.gateway_process import Gateway, closed, exchange

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    """A gateway that waits 0.3 s for a head, and 1 s for a next request."""
    folder = tmp_path_factory.mktemp("timed")
    with Gateway(folder, "tests.acceptance.apps.handlers:gateway") as gateway:
        yield gateway


def test_a_slow_head_is_closed_at_its_time(timed: Gateway) -> None:
    with timed.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost:")
        started = time.monotonic()
        assert closed(connection)
        spent = time.monotonic() - started

    assert 0.2 <= spent < 2


def test_a_head_that_drips_is_closed_at_its_time(timed: Gateway) -> None:
    started = time.monotonic()
    with timed.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nX-Drip: ")
        connection.settimeout(0.02)
        while time.monotonic() < started + 2:
            try:
                connection.sendall(b"x")
                if connection.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                break

    assert 0.2 <= time.monotonic() - started < 0.7


def test_a_silent_connection_is_closed_at_its_time(timed: Gateway) -> None:
    with timed.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.recv(65536)
        started = time.monotonic()
        assert closed(connection)

    assert 0.8 <= time.monotonic() - started < 1.5


def test_a_request_that_takes_long_is_not_a_silent_connection(timed: Gateway) -> None:
    answer = exchange(timed, b"GET /sleep/1.2 HTTP/1.1\r\nHost: x\r\n\r\n")

    assert (answer.status, answer.body) == (200, b"slept")
