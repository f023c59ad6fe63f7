"""Bodies that do not fit: every wrong field is listed, wherever it is."""

from __future__ import annotations

import enum
import uuid
from typing import Annotated, Generic, Literal, NewType, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_gateway import Reject, body, path, post
from nexus_gateway.compile.validation import MOST_DETAILS, decoder, explain
from nexus_gateway.testing import request
from nexus_gateway.values.field_error import within_sentence
from tests.harness.in_process import refused

T = TypeVar("T")
Size = NewType("Size", int)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Tag(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(max_length=3)]


class Circle(msgspec.Struct, tag=True):
    radius: float


class Square(msgspec.Struct, tag=True):
    side: float


class Entity(msgspec.Struct, rename="camel"):
    id: Annotated[int, msgspec.Meta(ge=1)]
    tags: list[Tag] = []
    attributes: dict[str, int] = {}
    color: Color = Color.RED
    side: Literal["left", "right"] = "left"
    parent_id: uuid.UUID | None = None
    shape: Circle | Square | None = None
    pair: tuple[int, str] | None = None
    size: Annotated[Size, msgspec.Meta(le=10)] = Size(1)
    inner: Entity | None = None


class Page(msgspec.Struct, Generic[T]):
    items: list[T]


async def show(entity: object) -> None: ...


chain = path("x") & post()


def wrong(value: object, kind: object = Entity) -> dict[str, str]:
    return {detail.field: detail.message for detail in explain(value, kind)}


@pytest.mark.parametrize(
    ("value", "field", "kind", "message", "limit"),
    [
        ({"id": "a"}, "id", "int", "expected `int`, got `str`", None),
        ({"id": 0}, "id", "int", "expected `int` >= 1", ">= 1"),
        ({}, "id", "int", "expected `int`, but it is missing", None),
        ({"id": 1, "tags": 3}, "tags", "array", "expected `array`, got `int`", None),
        (
            {"id": 1, "tags": [{"name": "long"}]},
            "tags[0].name",
            "str",
            "expected `str` of length <= 3",
            "of length <= 3",
        ),
        (
            {"id": 1, "tags": [{"name": "a", "x": 1}]},
            "tags[0].x",
            "absent",
            "there is no such field",
            None,
        ),
        (
            {"id": 1, "attributes": {"size": None}},
            "attributes.size",
            "int",
            "expected `int`, got `null`",
            None,
        ),
        (
            {"id": 1, "color": "green"},
            "color",
            "enum",
            "invalid enum value 'green'",
            "one of red, blue",
        ),
        (
            {"id": 1, "side": "up"},
            "side",
            "enum",
            "invalid enum value 'up'",
            "one of left, right",
        ),
        ({"id": 1, "parentId": "x"}, "parentId", "uuid | null", "invalid UUID", None),
        (
            {"id": 1, "shape": {"type": "Circle"}},
            "shape.radius",
            "float",
            "expected `float`, but it is missing",
            None,
        ),
        ({"id": 1, "pair": [1, 2]}, "pair[1]", "str", "expected `str`, got `int`", None),
        ({"id": 1, "size": 11}, "size", "int", "expected `int` <= 10", "<= 10"),
        ({"id": 1, "inner": {"id": 0}}, "inner.id", "int", "expected `int` >= 1", ">= 1"),
    ],
)
def test_a_wrong_field_is_named(
    value: object, field: str, kind: str, message: str, limit: str | None
) -> None:
    (detail,) = explain(value, Entity)

    assert (detail.location, detail.field, detail.message) == ("body", field, message)
    assert (detail.kind, detail.limit) == (kind, limit)


def test_all_wrong_fields_are_listed() -> None:
    value = {"id": "a", "tags": [{"name": 1}, {"name": "ok"}, {}], "inner": {"id": 0, "side": 3}}

    assert list(wrong(value)) == ["id", "tags[0].name", "tags[2].name", "inner.id", "inner.side"]


def test_a_list_begins_with_its_index() -> None:
    assert list(wrong([{"id": 1}, {"id": 0}, 5], list[Entity])) == ["[1].id", "[2]"]


def test_a_generic_struct_is_walked_with_its_arguments() -> None:
    assert list(wrong({"items": [1, "x", None]}, Page[int])) == ["items[1]", "items[2]"]


def test_a_body_that_is_wrong_as_a_whole_has_no_path() -> None:
    assert wrong(3) == {"$": "expected `object`, got `int`"}


def test_a_union_that_nothing_tells_apart_is_one_error() -> None:
    assert list(wrong({"shape": {"type": "Oval"}, "id": 1})) == ["shape.type"]
    assert list(wrong("x", int | list[int])) == ["$"]


def test_a_hundred_are_enough() -> None:
    assert len(explain(["x"] * 1000, list[int])) == MOST_DETAILS


def test_a_body_off_its_schema_is_a_422_listing_each_field() -> None:
    sent = request("POST /x").json({"tags": [{"name": 1}]})

    status, error = refused(sent.reply((chain & body(Entity)).then(show)))

    assert (status, error.code) == (422, "validation_error")
    assert error.error == "2 fields of the body are wrong: id, tags[0].name"
    assert [detail["field"] for detail in error.details] == ["id", "tags[0].name"]


def test_one_wrong_field_is_named_in_the_sentence() -> None:
    sent = request("POST /x").json({"id": "a"})

    _, error = refused(sent.reply((chain & body(Entity)).then(show)))

    assert error.error == "body id: expected `int`, got `str`"


def test_of_alternatives_the_nearest_is_explained() -> None:
    sent = request("POST /x").json({"id": 0})

    _, error = refused(sent.reply((chain & (body(Tag) | body(Entity))).then(show)))

    assert [detail["field"] for detail in error.details] == ["id"]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"{", "the body is not JSON: it ends too early (byte 1)"),
        (b"", "the body is not JSON: it ends too early (byte 0)"),
        (b'{"id": "a", ', "the body is not JSON: it ends too early (byte 12)"),
        (b'"\xff"', "the body is not JSON: the text is not UTF-8 (byte 1)"),
        (b"[" * 100_000, "the body is not JSON: it is nested more than 100 levels deep"),
    ],
)
def test_what_is_not_json_is_a_400_that_says_where(raw: bytes, message: str) -> None:
    for kind in (Entity, object):
        with pytest.raises(Reject) as caught:
            decoder([kind])(raw)

        assert (caught.value.code, caught.value.status) == ("malformed_body", 400)
        assert caught.value.message.startswith(message)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-20, 20)
    | st.floats(allow_nan=False)
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "tags", "name", "attributes", "color", "shape", "type", "inner"]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_something_is_wrong_exactly_where_msgspec_refuses(value: object) -> None:
    raw = msgspec.json.encode(value)
    try:
        msgspec.json.decode(raw, type=Entity)
    except msgspec.ValidationError:
        refuses = True
    else:
        refuses = False

    details = explain(msgspec.json.decode(raw), Entity)

    assert bool(details) is refuses
    assert all(detail.field and detail.message for detail in details)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("JSON is malformed: invalid character", "JSON is malformed: invalid character"),
        ("Expected `int`, got `str`", "expected `int`, got `str`"),
        ("Invalid enum value 'x'", "invalid enum value 'x'"),
        ("UUID is wrong", "UUID is wrong"),
        ("", ""),
    ],
)
def test_a_library_s_sentence_begins_in_lower_case_unless_with_a_name(
    text: str, message: str
) -> None:
    assert within_sentence(text) == message
