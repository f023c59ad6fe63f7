"""`header`: one header, as text or as a scalar."""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec
import pytest

from nexus_gateway import get, header, path
from nexus_gateway.testing import request
from tests.harness.in_process import refused


class Level(enum.Enum):
    LOW = "low"


async def show(value: object) -> None: ...


def test_a_header_is_text_whatever_the_case_of_its_name() -> None:
    assert request("GET /x").header("x-name", "value").extract(header("X-Name")) == ("value",)


def test_a_header_may_be_a_scalar() -> None:
    chain = header("x-depth", int) & header("x-level", Level)

    values = request("GET /x").header("x-depth", "3").header("x-level", "low").extract(chain)

    assert values == (3, Level.LOW)


def test_a_wrong_header_is_a_400_naming_field_kind_and_limit() -> None:
    depth = Annotated[int, msgspec.Meta(ge=1, le=5)]
    route = (path("x") & get() & header("x-depth", depth)).then(show)

    status, error = refused(request("GET /x").header("x-depth", "9").reply(route))

    assert (status, error.code) == (400, "validation_error")
    (detail,) = error.details
    assert (detail["location"], detail["field"], detail["kind"]) == ("header", "x-depth", "int")
    assert "5" in detail["limit"]


def test_a_missing_header_is_a_400() -> None:
    route = (path("x") & get() & header("x-depth", int)).then(show)

    status, error = refused(request("GET /x").reply(route))

    assert (status, error.details[0]["field"]) == (400, "x-depth")


@pytest.mark.parametrize("name", ["", "a b", "a:b", "ä", "a\r\n"])
def test_a_name_is_that_of_a_field(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a header"):
        header(name)
