"""A handler cannot break the framing of a connection, whatever its answers say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.gateway_process import PATIENCE, Gateway, read_answer

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator

GET = b"%b %b HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n"


@pytest.fixture(scope="module")
def framed(tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    """Handlers that say what is not theirs to say."""
    folder = tmp_path_factory.mktemp("framed")
    with Gateway(folder, "tests.acceptance.apps.response_head:gateway") as gateway:
        yield gateway


def ask(connection: socket.socket, path: bytes, method: bytes = b"GET") -> int:
    """Ask on a connection that others follow on; the status."""
    connection.sendall(GET % (method, path))
    return read_answer(connection).status


@pytest.mark.parametrize(
    "path", [b"/length/3000", b"/length/1", b"/length/90000", b"/chunked", b"/close"]
)
def test_the_next_answer_on_a_connection_is_the_next_one(framed: Gateway, path: bytes) -> None:
    with framed.connect() as connection:
        for _ in range(3):
            assert ask(connection, path) == 200
            assert ask(connection, b"/health") == 200


@pytest.mark.parametrize("status", [204, 205, 304])
def test_an_answer_without_content_leaves_no_byte_behind(framed: Gateway, status: int) -> None:
    with framed.connect() as connection:
        for path in (b"/status/%d", b"/streamed/%d"):
            assert ask(connection, path % status) == status
            assert ask(connection, b"/health") == 200


def test_the_log_names_the_handler_of_an_answer_that_cannot_be_sent(framed: Gateway) -> None:
    with framed.connect() as connection:
        for status in (100, 101, 103, 600):
            assert ask(connection, b"/status/%d" % status) == 500
        assert ask(connection, b"/health") == 200


def test_head_ends_the_generator_of_a_stream(framed: Gateway) -> None:
    with framed.connect() as connection, framed.client() as client:
        connection.sendall(GET % (b"HEAD", b"/endless"))
        connection.settimeout(PATIENCE)
        assert connection.recv(12) == b"HTTP/1.1 200"
        assert client.get("/ended", timeout=PATIENCE).text == "ended"
