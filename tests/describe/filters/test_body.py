"""`body`, `body_bytes` and `body_text`: content types, sizes, and what is extracted."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING

import msgspec
import pytest

from nexus_gateway import body, body_bytes, body_text, path, post
from nexus_gateway.testing import request
from tests.harness.in_process import refused

if TYPE_CHECKING:
    from collections.abc import Callable


class Entity(msgspec.Struct):
    id: int


async def show(value: object) -> None: ...


chain = path("x") & post()


def test_a_json_body_is_a_struct_or_whatever_msgspec_decodes() -> None:
    sent = request("POST /x")

    assert sent.json({"id": 1}).extract(body(Entity)) == (Entity(1),)
    assert sent.json([{"id": 1}]).extract(body(list[Entity])) == ([Entity(1)],)
    assert sent.json({"a": 1}).extract(body(dict[str, int])) == ({"a": 1},)
    assert sent.json([None, 1]).extract(body(object)) == ([None, 1],)


def test_bytes_come_as_they_are() -> None:
    assert request("POST /x").body(b"\x00\xff").extract(body_bytes()) == (b"\x00\xff",)


def test_text_is_decoded() -> None:
    sent = request("POST /x").body("grün".encode(), "text/plain; charset=utf-8")

    assert sent.extract(body_text()) == ("grün",)


def test_text_that_is_not_utf_8_is_malformed() -> None:
    sent = request("POST /x").body(b"\xff", "text/plain")

    status, error = refused(sent.reply((chain & body_text()).then(show)))

    assert (status, error.code) == (400, "malformed_body")


@pytest.mark.parametrize(
    ("read", "content_type"), [(body(Entity), "text/plain"), (body_text(), "application/json")]
)
def test_another_content_type_is_a_415(read: object, content_type: str) -> None:
    sent = request("POST /x").body(b"{}", content_type)

    status, error = refused(sent.reply((chain & read).then(show)))  # type: ignore[operator]

    assert (status, error.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize(("size", "expected"), [(10, 204), (11, 413)])
def test_one_byte_too_many_is_a_413(size: int, expected: int) -> None:
    sent = request("POST /x").body(b"x" * size)

    assert sent.reply((chain & body_bytes(max_bytes=10)).then(show)).status == expected


def test_a_body_that_is_not_json_is_a_400() -> None:
    sent = request("POST /x").body(b'{"id": 1,}', "application/json")

    status, error = refused(sent.reply((chain & body(Entity)).then(show)))

    assert (status, error.code) == (400, "malformed_body")
    assert "byte 9" in error.error


def test_a_limit_is_not_negative() -> None:
    with pytest.raises(ValueError, match="found -1"):
        body(Entity, max_bytes=-1)


def deflated(text: bytes) -> bytes:
    """Compress without zlib's head and checksum, as some clients do for `deflate`."""
    encoder = zlib.compressobj(wbits=-15)
    return encoder.compress(text) + encoder.flush()


def zipped(text: bytes) -> bytes:
    """Compress with zlib's head and checksum."""
    return zlib.compress(text)


CODINGS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("DEFLATE", zipped),
    ("deflate", deflated),
]


@pytest.mark.parametrize(("coding", "encode"), CODINGS)
def test_a_coded_body_is_decoded_for_every_filter(
    coding: str, encode: Callable[[bytes], bytes]
) -> None:
    sent = request("POST /x").header("content-encoding", coding)
    coded = encode(b'{"id":1}')

    assert sent.body(coded, "application/json").extract(body(Entity)) == (Entity(1),)
    assert sent.body(coded, "text/plain").extract(body_text()) == ('{"id":1}',)
    assert sent.body(coded, "image/png").extract(body_bytes()) == (b'{"id":1}',)


def test_codings_on_top_of_each_other_are_taken_off_from_the_last() -> None:
    coded = zlib.compress(gzip.compress(b"both"))
    sent = request("POST /x").header("content-encoding", "identity, gzip, deflate")

    assert sent.body(coded).extract(body_bytes()) == (b"both",)


def test_the_limit_is_that_of_the_decoded_body_and_text_is_checked_after_it() -> None:
    route = (chain & body_bytes(max_bytes=1000)).then(show, name="show")
    text = (chain & body_text()).then(show, name="show")
    sent = request("POST /x").header("content-encoding", "gzip")
    bomb = gzip.compress(b"\0" * 500_000)
    assert len(bomb) <= 1000

    assert sent.body(gzip.compress(b"x" * 1000)).reply(route).status == 204
    for large in (gzip.compress(b"x" * 1001), bomb):
        assert refused(sent.body(large).reply(route))[1].code == "payload_too_large"
    status, said = refused(sent.body(gzip.compress(b"\xff"), "text/plain").reply(text))
    assert (status, said.code) == (400, "malformed_body")


@pytest.mark.parametrize(
    "coded",
    [
        b"",
        b"plain",
        gzip.compress(b"x" * 100, mtime=0)[:-1],
        gzip.compress(b"x" * 100, mtime=0)[:12],
        gzip.compress(b"x" * 100, mtime=0) + b"more",
    ],
)
def test_a_body_that_is_not_what_it_says_is_malformed(coded: bytes) -> None:
    route = (chain & body_bytes()).then(show, name="show")

    sent = request("POST /x").header("content-encoding", "gzip").body(coded)
    status, said = refused(sent.reply(route))

    assert (status, said.code) == (400, "malformed_body")
    assert "not valid gzip" in said.error


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, zstd", "gzip;q=1"])
def test_a_coding_that_is_not_supported_names_those_that_are(coding: str) -> None:
    route = (chain & body(Entity)).then(show, name="show")

    found = request("POST /x").json({"id": 1}).header("content-encoding", coding).reply(route)
    status, said = refused(found)

    assert (status, said.code) == (415, "unsupported_media_type")
    assert found.header("accept-encoding") == "gzip, deflate"
    assert "gzip and deflate" in said.error


PICTURES = body_bytes(content_types=["image/png", "Image/JPEG"])


@pytest.mark.parametrize("content_type", ["image/png", "IMAGE/jpeg; q=1"])
def test_bytes_of_a_listed_content_type_are_extracted(content_type: str) -> None:
    assert request("POST /x").body(b"\x89", content_type).extract(PICTURES) == (b"\x89",)


@pytest.mark.parametrize("content_type", ["image/gif", "image/pngx", "text/plain", ""])
def test_bytes_of_no_listed_content_type_are_a_415(content_type: str) -> None:
    sent = request("POST /x").body(b"\x89", content_type)

    status, error = refused(sent.reply((chain & PICTURES).then(show)))

    assert (status, error.code) == (415, "unsupported_media_type")
    assert error.error.startswith("expected a body of type image/png or image/jpeg, got ")


@pytest.mark.parametrize("wrong", ["image", "image/png; q=1", "", "*/*"])
def test_what_is_no_content_type_is_refused_at_import(wrong: str) -> None:
    with pytest.raises(ValueError, match="a content type is two names"):
        body_bytes(content_types=[wrong])


def test_a_number_without_a_fraction_is_an_integer() -> None:
    sent = request("POST /x").body(b'{"id": 1.0}', "application/json")

    assert sent.extract(body(Entity)) == (Entity(1),)
    half = request("POST /x").body(b'{"id": 1.5}', "application/json")
    assert refused(half.reply((chain & body(Entity)).then(show)))[0] == 422
