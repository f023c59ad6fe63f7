"""`body`, `body_bytes` and `body_text`: content types, sizes, and what is extracted."""

from __future__ import annotations

import msgspec
import pytest

from nexus_gateway import body, body_bytes, body_text, path, post
from nexus_gateway.testing import request
from tests.gateway import refused


class Entity(msgspec.Struct):
    id: int


async def show(value: object) -> None: ...


chain = path("x") & post()


def test_a_json_body_is_a_struct_or_whatever_msgspec_decodes() -> None:
    sent = request("POST /x")

    assert sent.json({"id": 1}).extract(body(Entity)) == (Entity(1),)
    assert sent.json([{"id": 1}]).extract(body(list[Entity])) == ([Entity(1)],)
    assert sent.json({"a": 1}).extract(body(dict[str, int])) == ({"a": 1},)


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
