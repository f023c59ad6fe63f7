"""How requests are understood: paths, hosts and header fields, the same on both protocols."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events
import pytest

from tests.harness.gateway_process import Answer, Gateway, exchange

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    folder = tmp_path_factory.mktemp("http")
    with Gateway(folder, "tests.acceptance.apps.http:gateway") as gateway:
        yield gateway


def ask(
    gateway: Gateway, target: str, *fields: str, method: str = "GET", host: str = "h"
) -> Answer:
    """Send a request without a body."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields, "", ""]
    return exchange(gateway, "\r\n".join(lines).encode("latin-1"))


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/%68ello", b"hello"),
        ("/%68%65%6C%6c%6F?x=%zz", b"hello"),
        ("/users/m%65", b"me"),
        ("/users/me%20", b'{"user":"me "}'),
        ("/users/a%2Fb", b'{"user":"a/b"}'),
        ("/users/a%252Fb", b'{"user":"a%2Fb"}'),
        ("/users/50%25", b'{"user":"50%"}'),
        ("/users/a;b=c", b'{"user":"a;b=c"}'),
        ("/users/a.b", b'{"user":"a.b"}'),
        ("/users/%C3%A4", '{"user":"ä"}'.encode()),
        ("/rest/a//b/%20c", b'{"rest":"a//b/ c"}'),
        ("/rest/private/x", b"private"),
        ("/rest/%70rivate/x", b"private"),
        ("http://h/hello", b"hello"),
    ],
)
def test_a_path_is_decoded_once_before_it_is_compared(
    http: Gateway, target: str, body: bytes
) -> None:
    answer = ask(http, target)

    assert (answer.status, answer.body) == (200, body)


def test_a_literal_with_reserved_characters_is_reached_encoded(http: Gateway) -> None:
    for target in ("/entities:batch", "/entities%3Abatch", "/entities%3abatch"):
        assert ask(http, target, "Content-Length: 0", method="POST").status == 200


@pytest.mark.parametrize(
    "target",
    [
        "/a/../hello", "/./hello", "/users/..", "/%2e%2e/hello", "/users/.%2E/hello",
        "/users/%252e%252e", "/users/a%2f..%2fme", "/users/..%5cme", "/users/..;x", "/rest/a/../b",
        "/users/%", "/users/%zz", "/users/%2", "/nowhere/%zz", "/users/%00", "/users/%ff",
        "/users/%c0%af", "/users/%ed%a0%80", "/rest/private%2Fx", "/rest/a%2fb", "*",
        "hello", "h:80", "ftp://h/hello", "http://u@h/hello", "http:///hello",
    ],
)  # fmt: skip
def test_an_ambiguous_target_is_refused(http: Gateway, target: str) -> None:
    answer = ask(http, target)

    assert answer.status == 400, answer
    assert b'"code":"malformed_request"' in answer.body


def test_slashes_are_not_normalised(http: Gateway) -> None:
    for target in ("//hello", "/hello/", "/hello//", "/users//me", "/hello\\", "/%2Fhello"):
        assert ask(http, target).status == 404, target


def test_a_path_means_the_same_over_http_2(http: Gateway) -> None:
    with http.client(http1=False, http2=True) as client:
        found = {
            path: client.get(path).status_code
            for path in ("/%68ello", "/users/%252e%252e", "/users/%zz", "/rest/a%2Fb", "//hello")
        }

    assert list(found.values()) == [200, 400, 400, 400, 404]


@pytest.mark.parametrize(
    "host",
    [
        "", "user@h", "u:p@h", "h/path", "a, b", "a,b", "a b", "h:port", "h:99999", "h:-1", "::1",
        "[::1", "[::g]", "http://h", "h?x", "h#x", "h\\x", "[::1%25lo]",
    ],
)  # fmt: skip
def test_a_host_that_is_none_is_refused(http: Gateway, host: str) -> None:
    for target in ("/hello", "/nowhere", "/late"):
        answer = ask(http, target, host=host)
        assert (answer.status, b"malformed_request" in answer.body) == (400, True)


@pytest.mark.parametrize("host", ["h", "h:80", "a.b.", "127.0.0.1:1", "[::1]", "[::1]:80", "A_b"])
def test_a_host_is_a_name_or_address_with_a_port(http: Gateway, host: str) -> None:
    assert ask(http, "/host", host=host).body == host.encode()


def test_an_absolute_target_overrides_the_host(http: Gateway) -> None:
    assert ask(http, "http://other:81/host").body == b"other:81"


def test_two_hosts_are_refused(http: Gateway) -> None:
    assert ask(http, "/hello", "Host: h").status == 400
    assert exchange(http, b"GET /hello HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n").status == 400
    assert exchange(http, b"GET /hello HTTP/1.0\r\n\r\n").status == 200
    assert exchange(http, b"GET /hello HTTP/1.1\r\n\r\n").status == 400


def test_connect_is_not_implemented(http: Gateway) -> None:
    assert ask(http, "h:80", method="CONNECT").status == 501


def test_options_of_the_whole_server_lists_its_methods(http: Gateway) -> None:
    answer = ask(http, "*", method="OPTIONS")

    assert (answer.status, answer.headers["allow"]) == (204, "GET, HEAD, POST, QUERY, OPTIONS")


def test_lines_of_a_list_are_combined(http: Gateway) -> None:
    cookie = ask(http, "/cookie", "Cookie: a=1", "Cookie: b=2")
    accept = ask(http, "/accept", "Accept: text/html", "Accept: */*;q=0.1")

    assert (cookie.body, accept.body) == (b"a=1; b=2", b"text/html, */*;q=0.1")
    with http.client(http1=False, http2=True) as client:
        fields = [("cookie", "a=1"), ("cookie", "b=2")]
        assert client.get("/cookie", headers=fields).text == "a=1; b=2"


@pytest.mark.parametrize(
    "field",
    ["Content-Type: text/css", "Authorization: Bearer a", "Origin: null", "Range: bytes=0-"],
)
def test_a_single_value_in_two_lines_is_refused(http: Gateway, field: str) -> None:
    assert ask(http, "/hello", field).status == 200
    assert ask(http, "/hello", field, field).status == 400


@pytest.mark.parametrize(("count", "status"), [(99, 200), (100, 200), (101, 431), (300, 431)])
def test_the_number_of_fields_has_one_limit_on_both_protocols(
    http: Gateway, count: int, status: int
) -> None:
    fields = [(f"x-{number:02}", "1") for number in range(count)]
    over_1 = ask(http, "/hello", *(f"{name}: {value}" for name, value in fields), "Connection: x")
    with http.client(http1=False, http2=True) as client:
        client.headers.clear()
        over_2 = client.get("/hello", headers=fields)

    assert (over_1.status, over_2.status_code) == (status, status)
    if status == 431:
        assert b'"code":"headers_too_large"' in over_1.body
        assert over_2.json()["code"] == "headers_too_large"


PSEUDO = [(":method", "GET"), (":scheme", "http"), (":path", "/hello"), (":authority", "h")]


def test_a_client_of_http_2_that_closes_its_side_gets_the_whole_answers(http: Gateway) -> None:
    client = h2.connection.H2Connection(h2.config.H2Configuration())
    client.initiate_connection()
    paths = {1: "/late", 3: "/hello", 5: "/numbers", 7: "/late"}
    for stream, path in paths.items():
        fields = [*PSEUDO[:2], (":path", path), PSEUDO[3]]
        client.send_headers(stream, fields, end_stream=True)
    client.send_headers(9, [(":method", "POST"), PSEUDO[1], (":path", "/echo"), PSEUDO[3]])
    client.send_data(9, b"abc", end_stream=True)
    bodies = dict.fromkeys([*paths, 9], b"")
    ended: set[int] = set()
    with http.connect() as connection:
        connection.sendall(client.data_to_send())
        connection.shutdown(socket.SHUT_WR)
        while received := connection.recv(65536):
            for event in client.receive_data(received):
                if isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] += event.data
                if isinstance(event, h2.events.StreamEnded):
                    ended.add(event.stream_id)

    assert bodies == {1: b"late", 3: b"hello", 5: b"0 1 2 ", 7: b"late", 9: b"abc"}
    assert ended == set(bodies)


def over_http_2(gateway: Gateway, fields: list[tuple[str, str]]) -> int | None:
    """Send fields as they are; the status, or `None` where the stream or connection is reset."""
    config = h2.config.H2Configuration(
        validate_outbound_headers=False, normalize_outbound_headers=False
    )
    client = h2.connection.H2Connection(config)
    client.initiate_connection()
    client.send_headers(1, fields, end_stream=True)
    with gateway.connect() as connection:
        connection.sendall(client.data_to_send())
        while received := connection.recv(65536):
            for event in client.receive_data(received):
                if isinstance(event, h2.events.ResponseReceived):
                    return int(dict(event.headers or [])[b":status"])
                if isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                    return None
    return None


@pytest.mark.parametrize(
    "fields",
    [
        [*PSEUDO, ("x", " a")],
        [*PSEUDO, ("x", "a\t")],
        [*PSEUDO[:3], (":authority", "u@h")],
        [*PSEUDO, ("host", "other")],
        [*PSEUDO, ("host", "h:81")],
        [*PSEUDO, ("host", "h"), ("host", "h")],
        [*PSEUDO[:3], ("host", "h"), ("host", "h")],
        PSEUDO[:3],
        [*PSEUDO[:2], (":path", "hello"), PSEUDO[3]],
        [*PSEUDO[:2], (":path", ""), PSEUDO[3]],
        [*PSEUDO, ("connection", "close")],
        [*PSEUDO, ("te", "gzip")],
        [*PSEUDO, ("X", "a")],
        [*PSEUDO, ("content-length", "5")],
    ],
)
def test_a_malformed_request_of_http_2_is_refused(
    http: Gateway, fields: list[tuple[str, str]]
) -> None:
    assert over_http_2(http, fields) in {400, None}


def test_a_host_that_is_the_authority_is_accepted_over_http_2(http: Gateway) -> None:
    assert over_http_2(http, PSEUDO) == 200
    assert over_http_2(http, [*PSEUDO, ("host", "H:80")]) == 200
    assert over_http_2(http, [*PSEUDO[:3], ("host", "h")]) == 200
    options = [(":method", "OPTIONS"), PSEUDO[1], (":path", "*"), PSEUDO[3]]
    assert over_http_2(http, options) == 204
