"""`path`, `param` and `tail`: literal text, typed segments, and the rest."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from typing import Literal, NewType

import pytest

from nexus_gateway import get, param, path, tail
from nexus_gateway.compile.lower import lower
from nexus_gateway.testing import request
from tests.harness.in_process import refused

EntityId = NewType("EntityId", int)


class Color(enum.IntEnum):
    RED = 1


async def show(id: int) -> str:
    return str(id)


shown = (path("api") / "entities" / param("id", int) & get()).then(show)


def test_segments_may_be_written_in_one_text() -> None:
    spelt = (path("/api/entities/") / param("id", int) & get()).then(show)

    for route in (shown, spelt):
        assert request("GET /api/entities/7").reply(route).body == b"7"


@pytest.mark.parametrize(
    "target", ["/api", "/api/entities", "/api/entities/7/x", "/API/entities/7"]
)
def test_the_match_reaches_the_paths_end(target: str) -> None:
    assert request(f"GET {target}").reply(shown).status == 404


def test_the_root_is_an_empty_path() -> None:
    root = (path("") & get()).answer("root")

    assert request("GET /").reply(root).body == b"root"
    assert request("GET /x").reply(root).status == 404


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (int, "-5", -5),
        (EntityId, "7", 7),
        (float, "0.5", 0.5),
        (bool, "true", True),
        (str, "a%2Fb%20c", "a/b c"),
        (Literal["a", "b"], "b", "b"),
        (Literal[1, 2], "2", 2),
        (Color, "1", Color.RED),
        (
            uuid.UUID,
            "12345678-1234-1234-1234-1234567890ab",
            uuid.UUID("12345678-1234-1234-1234-1234567890ab"),
        ),
        (dt.date, "2026-02-28", dt.date(2026, 2, 28)),
        (
            dt.datetime,
            "2026-02-28T12:00:00Z",
            dt.datetime(2026, 2, 28, 12, tzinfo=dt.UTC),
        ),
    ],
)
def test_a_segment_becomes_what_its_type_says(kind: type[object], text: str, value: object) -> None:
    chain = path("x") / param("value", kind)

    (found,) = request(f"GET /x/{text}").extract(chain)

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (int, "a"),
        (int, "9223372036854775808"),
        (bool, "yes"),
        (Color, "2"),
        (uuid.UUID, "1234"),
        (dt.date, "2026-02-30"),
        (dt.datetime, "2026-02-28"),
    ],
)
def test_a_wrong_segment_is_a_400_that_names_it(kind: type[object], text: str) -> None:
    async def handler(value: object) -> str:
        return str(value)

    route = (path("x") / param("value", kind) & get()).then(handler)

    status, error = refused(request(f"GET /x/{text}").reply(route))

    assert (status, error.code) == (400, "validation_error")
    assert [(each["location"], each["field"]) for each in error.details] == [("path", "value")]


def test_a_second_that_no_clock_shows_is_a_400_too() -> None:
    chain = path("x") / param("at", dt.datetime)

    with pytest.raises(LookupError, match=r"400: .*path at"):
        request("GET /x/2016-12-31T23:59:60Z").extract(chain)


def test_a_tail_is_the_rest_with_its_slashes() -> None:
    chain = path("files") / tail("rest")

    assert request("GET /files/a/b%20c.txt").extract(chain) == ("a/b c.txt",)


def test_nothing_follows_a_tail() -> None:
    with pytest.raises(TypeError, match=r"nothing can follow the path's tail '\{\*rest\}'"):
        lower((path("files") / tail("rest") / "x").node)


@pytest.mark.parametrize("text", ["a b", "a?b", "a#b", "{id}", "ä", "a%20b", "a\nb"])
def test_a_literal_segment_is_plain(text: str) -> None:
    with pytest.raises(ValueError, match="is not a literal path segment"):
        path(text)
    with pytest.raises(ValueError, match="is not a literal path segment"):
        _ = path("x") / text


@pytest.mark.parametrize("name", ["", "a-b", "1a", "*"])
def test_a_parameter_is_named_by_an_identifier(name: str) -> None:
    with pytest.raises(ValueError, match="must be an identifier"):
        param(name, int)
    with pytest.raises(ValueError, match="must be an identifier"):
        tail(name)
