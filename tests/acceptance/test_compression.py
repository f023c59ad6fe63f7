"""Answers come in the coding that the client prefers, and decode to the same bytes."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import brotli
import pytest

from tests.acceptance.apps.sample import TEXT
from tests.harness.gateway_process import Gateway, bearer, exchange, members

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from tests.harness.gateway_process import Answer

MATRIX = [
    ("gzip", "gzip"),
    ("br", "br"),
    ("gzip, br", "br"),
    ("br;q=0.5, gzip", "gzip"),
    ("gzip;q=0.5, br;q=0.4", "gzip"),
    ("gzip;q=0, br", "br"),
    ("gzip;q=0, br;q=0", None),
    ("gzip;q=0.000", None),
    ("GZIP", "gzip"),
    ("gzip ; q=1", "gzip"),
    ("identity", None),
    ("identity;q=1, gzip;q=0.5", None),
    ("identity;q=0.5, gzip;q=0.7", "gzip"),
    ("identity;q=0, gzip;q=0.1", "gzip"),
    ("*", "br"),
    ("*;q=0", None),
    ("*;q=0, gzip", "gzip"),
    ("br;q=0, *", "gzip"),
    ("deflate, zstd", None),
    ("deflate, gzip;q=0.3", "gzip"),
    ("x-gzip", "gzip"),
    ("gzip;q=nonsense", None),
    ("", None),
    (None, None),
]


def ask(gateway: Gateway, path: str, accepted: str | None, method: str = "GET") -> Answer:
    """Ask on a plain socket: a client would decode the answer."""
    line = "" if accepted is None else f"Accept-Encoding: {accepted}\r\n"
    return exchange(gateway, f"{method} {path} HTTP/1.1\r\nHost: x\r\n{line}\r\n".encode())


# The package has no types.
_brotli: Callable[[bytes], bytes] = brotli.decompress  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


def plain(answer: Answer) -> bytes:
    match answer.headers.get("content-encoding"):
        case "br":
            return _brotli(answer.body)
        case "gzip":
            return gzip.decompress(answer.body)
        case None:
            return answer.body
        case other:
            raise AssertionError(other)


@pytest.mark.parametrize(("accepted", "coding"), MATRIX)
def test_the_coding_is_what_the_client_prefers(
    sample: Gateway, accepted: str | None, coding: str | None
) -> None:
    answer = ask(sample, "/text", accepted)

    assert answer.headers.get("content-encoding") == coding
    assert plain(answer) == TEXT.encode()
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert "accept-encoding" in members(answer.headers["vary"])
    assert coding is None or len(answer.body) < len(TEXT) / 10


def test_what_python_answers_is_compressed_too(sample: Gateway) -> None:
    answer = ask(sample, "/python", "gzip")

    assert answer.headers["content-encoding"] == "gzip"
    assert plain(answer) == b"made in Python " * 200


def test_a_small_answer_stays_as_it_is(sample: Gateway) -> None:
    assert "content-encoding" not in ask(sample, "/free", "gzip, br").headers


def test_a_type_that_is_not_listed_stays_as_it_is(sample: Gateway) -> None:
    answer = ask(sample, "/image", "gzip, br")

    assert "content-encoding" not in answer.headers
    assert "accept-encoding" not in members(answer.headers.get("vary", ""))


def test_what_is_compressed_already_is_not_again(sample: Gateway) -> None:
    answer = ask(sample, "/zipped", "br, gzip;q=0.5")

    assert answer.headers["content-encoding"] == "gzip"
    assert plain(answer) == b"zipped by the handler " * 100


def test_clients_decode_what_they_asked_for(client: httpx.Client) -> None:
    answer = client.get("/text", headers={"accept-encoding": "gzip, deflate, br"})

    assert answer.headers["content-encoding"] in {"gzip", "br"}
    assert answer.text == TEXT


def test_the_entity_tag_of_a_compressed_answer_is_weak_and_still_works(studio: Gateway) -> None:
    place = "/api/intelligence/entities/compressed"
    entity = {"entity_type": "tool", "attributes": {"text": "long " * 500}}
    token = bearer("*")
    with studio.client(headers=token) as client:
        made = client.put(place, json=entity, headers={"accept-encoding": "identity"})
        strong = made.headers["etag"]
        zipped = client.get(place, headers={"accept-encoding": "gzip"})
        weak = zipped.headers["etag"]
        unchanged = client.get(place, headers={"if-none-match": weak})
        changed = client.put(place, json=entity, headers={"if-match": weak})

    assert (zipped.headers["content-encoding"], weak) == ("gzip", f"W/{strong}")
    assert (unchanged.status_code, changed.status_code) == (304, 200)


def head_of(gateway: Gateway, method: str) -> tuple[set[str], bytes]:
    """Ask for `/text` on a connection that ends; the header lines that count, and what follows."""
    with gateway.connect() as connection:
        connection.sendall(f"{method} /text HTTP/1.1\r\nHost: x\r\n".encode())
        connection.sendall(b"Accept-Encoding: gzip\r\nConnection: close\r\n\r\n")
        found = b""
        while chunk := connection.recv(65536):
            found += chunk
    head, _, body = found.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    counted = ("http/", "content-type", "content-length", "content-encoding", "vary")
    return {line for line in lines if line.startswith(counted)}, body


def test_head_has_no_body(sample: Gateway) -> None:
    head, body = head_of(sample, "HEAD")

    assert "http/1.1 200 ok" in head
    assert body == b""


def test_head_has_the_headers_of_get(sample: Gateway) -> None:
    # RFC 9110, sections 8.6 and 9.3.2: a length that GET would not have must not be sent.
    head, _ = head_of(sample, "HEAD")
    get, _ = head_of(sample, "GET")

    assert head <= get
    assert any("accept-encoding" in line for line in head)
