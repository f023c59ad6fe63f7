"""Requests whose framing can be understood in two ways are refused, whatever the route."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from tests.harness.gateway_process import Gateway, closed, read_answer

if TYPE_CHECKING:
    from collections.abc import Generator

HEAD = b"POST %b HTTP/1.1\r\nHost: h\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
ROUTES = (b"/echo", b"/ignore", b"/nowhere")
"""One that reads the body, one that does not, and none."""


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    folder = tmp_path_factory.mktemp("framing")
    with Gateway(folder, "tests.acceptance.apps.http:gateway") as gateway:
        yield gateway


def refused(gateway: Gateway, *parts: bytes, status: int = 400) -> None:
    """Send parts and expect one refusal in the standard form, then the end of the connection."""
    with gateway.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connection.sendall(part)
        answer = read_answer(connection)
        assert answer.status == status, (parts, answer)
        assert set(json.loads(answer.body)) == {"error", "code", "timestamp", "request_id"}
        assert answer.headers["connection"] == "close"
        assert closed(connection)


@pytest.mark.parametrize(
    "body",
    [
        b"5;\r\n", b"5 \r\n", b"5;\0ext\r\n", b"5;a[b]=1\r\n", b"+5\r\n", b"0x5\r\n", b"5_0\r\n",
        b"-1\r\n", b"\r\n", b"ffffffffffffffff\r\n", b"5\n", b"5;a\n", b"5\r\nabcdeX", b"0\r\n\n",
        b"5\r\nabcde\n", b"0\r\nX : y\r\n", b"0\r\nContent-Length: 3\r\n", b"0\r\nX: \0\r\n",
    ],
)  # fmt: skip
def test_malformed_chunks_are_refused_at_once(http: Gateway, body: bytes) -> None:
    for route in ROUTES:
        refused(http, CHUNKED % route + body)
    for route in ROUTES[:2]:
        refused(http, CHUNKED % route, b"3\r\nabc\r\n", body)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5", 400),
        (b"Transfer-Encoding: chunked, chunked", 400),
        (b"Transfer-Encoding: chunked, gzip", 400),
        (b"Transfer-Encoding: identity", 400),
        (b"Transfer-Encoding: \x0bchunked", 400),
        (b"Transfer-Encoding: gzip, chunked", 501),
        (b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", 501),
        (b"Content-Length: +5", 400),
        (b"Content-Length: 5, 5", 400),
        (b"Content-Length: 5\r\nContent-Length: 5", 400),
        (b"Content-Length: 99999999999999999999", 400),
        (b"Content-Length : 5", 400),
        (b"X: a\r\n b", 400),
        (b"X: a\nY: b", 400),
        (b"X: a\rY: b", 400),
        (b"X: \0", 400),
        (b"X: \x01", 400),
        (b"X y: z", 400),
    ],
)
def test_ambiguous_heads_are_refused(http: Gateway, fields: bytes, status: int) -> None:
    for route in ROUTES:
        refused(http, HEAD % route + fields + b"\r\n\r\n", status=status)
    refused(http, HEAD % b"/echo" + fields[:9], fields[9:] + b"\r\n\r\n", status=status)


def test_a_refusal_comes_behind_the_answers_to_earlier_requests(http: Gateway) -> None:
    first = b"GET /late HTTP/1.1\r\nHost: h\r\n\r\n"
    body = b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
    for bad in (b"GET / HTTP/1.1\nHost: h\n\n", CHUNKED % b"/ignore" + b"5;\r\n"):
        with http.connect() as connection:
            connection.sendall(first + body + bad)
            statuses = [read_answer(connection).status for _ in range(3)]
            assert closed(connection)
        assert statuses == [200, 200, 400]


def test_the_refusal_is_read_although_more_was_sent(http: Gateway) -> None:
    refused(http, HEAD % b"/echo" + b"X : y\r\n\r\n" + b"x" * 200_000)


def test_valid_framing_is_understood(http: Gateway) -> None:
    bodies = {
        b'5;a=b;c="d\\""\r\nabcde\r\n00\r\nX-T: 1\r\n\r\n': b"abcde",
        b"5 ; a\r\nabcde\r\n1\r\nf\r\n0\r\n\r\n": b"abcdef",
        b"0\r\n\r\n": b"",
    }
    with http.connect() as connection:
        for sent, body in bodies.items():
            for byte in CHUNKED % b"/echo" + sent:
                connection.send(bytes([byte]))
            assert read_answer(connection).body == body
        connection.sendall(b"\r\n" + CHUNKED % b"/ignore" + b"3\r\nabc\r\n0\r\n\r\n")
        assert read_answer(connection).body == b"ignored"
        connection.sendall(HEAD % b"/echo" + b"Content-Length: 003\r\n\r\nabc")
        assert read_answer(connection).body == b"abc"


@pytest.mark.parametrize(
    ("path", "body"),
    [(b"/late", b"late"), (b"/hello", b"hello"), (b"/numbers", b"0 1 2 "), (b"/echo", b"abc")],
)
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_a_client_that_closes_its_side_gets_the_whole_answer(
    http: Gateway, path: bytes, body: bytes, version: bytes
) -> None:
    head = b"%b %b HTTP/%b\r\nHost: h\r\n" % (b"POST" if body == b"abc" else b"GET", path, version)
    sent = head + (b"Content-Length: 3\r\n\r\nabc" if body == b"abc" else b"\r\n")
    with http.connect() as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        found = b"".join(iter(lambda: connection.recv(65536), b""))

    assert found.startswith(b"HTTP/%b 200" % version)
    shown = found.partition(b"\r\n\r\n")[2]
    if b"transfer-encoding: chunked" in found:
        shown = b"".join(shown.split(b"\r\n")[1::2])
    assert shown == body


def test_a_body_that_ends_too_soon_is_refused(http: Gateway) -> None:
    with http.connect() as connection:
        connection.sendall(HEAD % b"/echo" + b"Content-Length: 9\r\n\r\nabc")
        connection.shutdown(socket.SHUT_WR)
        assert read_answer(connection).status == 400


def test_one_date_is_sent(http: Gateway) -> None:
    with http.client() as client:
        assert len(client.get("/hello").headers.get_list("date")) == 1
    with http.client(http1=False, http2=True) as client:
        assert len(client.get("/hello").headers.get_list("date")) == 1
