"""Types as JSON schemas: short unique names, and what each kind of type is in JSON."""

from __future__ import annotations

import enum
import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import (
    Annotated,
    Any,
    ClassVar,
    Generic,
    Literal,
    NewType,
    TypeAlias,
    TypedDict,
    TypeVar,
)

import msgspec
import pytest
from jsonschema import Draft202012Validator
from msgspec import Meta
from openapi_spec_validator import validate

from nexus_gateway import (
    Routes,
    body,
    body_bytes,
    get,
    method,
    param,
    path,
    post,
    public,
    put,
    query,
    query_method,
    tail,
)
from nexus_gateway.document.openapi import Specification, openapi
from nexus_gateway.values.schema import Schema, Schemas, at_least, either

T = TypeVar("T")
UserId = NewType("UserId", int)


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Page(msgspec.Struct, Generic[T]):
    items: list[T]


class Cat(msgspec.Struct, tag="cat"):
    lives: int = 9


class Dog(msgspec.Struct, tag="dog"):
    name: str


class Tree(msgspec.Struct):
    children: list[Tree] = []


class Options(TypedDict, total=False):
    color: str


class Contact(msgspec.Struct):
    mail: str | None = None
    phone: str | None = None

    json_schema_extra: ClassVar[dict[str, object]] = either("mail", "phone")


class Everything(msgspec.Struct, kw_only=True):
    """All kinds of fields."""

    at: datetime
    local: Annotated[datetime, Meta(tz=False)]
    day: date
    hour: time
    span: timedelta
    price: Decimal
    raw: bytes
    key: uuid.UUID
    user: UserId
    size: Size
    pet: Cat | Dog | None
    tree: Tree
    options: Options
    counts: dict[int, str]
    by_day: dict[date, int]
    word: Literal["a", 1] | None
    code: Annotated[str, Meta(pattern="^[a-z]+$", min_length=2, max_length=4, examples=["ab"])]
    share: Annotated[float, Meta(gt=0, le=1)] = 0.5
    pair: tuple[int, str] = (1, "a")
    nothing: Annotated[str, Meta(min_length=1)] = ""


def written(kind: object) -> Schema:
    return Schemas([kind]).components


def struct_of(name: str, module: str) -> type[msgspec.Struct]:
    return msgspec.defstruct(name, [("id", int)], module=module)


def test_types_of_one_name_are_told_apart_by_what_their_modules_do_not_share() -> None:
    kinds: list[object] = [
        struct_of("Draft", "shop.orders.models"),
        struct_of("Draft", "shop.mail.models"),
        struct_of("Other", "shop.mail.models"),
    ]

    names = sorted(Schemas(kinds).components)

    assert names == ["MailDraft", "OrdersDraft", "Other"]
    assert sorted(Schemas(kinds[::-1]).components) == names


def test_types_of_one_name_and_module_are_numbered() -> None:
    kinds = [struct_of("Draft", "shop"), struct_of("Draft", "shop")]

    assert sorted(Schemas(kinds).components) == ["Draft", "Draft2"]


def test_a_name_of_the_document_s_own_is_not_taken_by_a_type() -> None:
    taken = Schemas([struct_of("Error", "shop.models")], taken=["Error"])

    assert len(taken.components) == 1
    assert "Error" not in taken.components


def test_a_generic_has_a_key_that_documents_may_have() -> None:
    assert sorted(written(Page[Cat])) == ["Cat", "Page_Cat"]
    assert "Page_int" in written(Page[int])


def test_each_kind_of_field_is_what_it_is_in_json() -> None:
    components = written(Everything)
    everything = components["Everything"]
    found = msgspec.convert(everything, dict[str, Any])["properties"]

    assert found["at"] == {"type": "string", "format": "date-time"}
    assert found["local"] == {"type": "string", "format": "date-time-local"}
    assert found["raw"] == {"type": "string", "contentEncoding": "base64"}
    assert found["price"] == {"type": "string", "format": "decimal"}
    assert found["user"] == {"type": "integer", "format": "int64"}
    assert found["counts"]["propertyNames"] == {"pattern": "^-?[0-9]+$"}
    assert found["by_day"]["propertyNames"] == {"format": "date"}
    assert found["word"]["anyOf"] == [
        {"type": ["integer", "string"], "enum": [1, "a"]},
        {"type": "null"},
    ]
    assert found["pet"]["anyOf"][0]["discriminator"]["mapping"] == {
        "cat": "#/components/schemas/Cat",
        "dog": "#/components/schemas/Dog",
    }
    assert "default" not in found["nothing"]  # what its own schema refuses is not offered
    size = components["Size"]
    assert isinstance(size, dict)
    assert (size["type"], size["enum"]) == ("integer", [1, 2])
    for schema in components.values():
        Draft202012Validator.check_schema(msgspec.convert(schema, Schema))


def test_either_of_two_fields_is_in_the_schema() -> None:
    contact: Any = Draft202012Validator(msgspec.convert(written(Contact)["Contact"], Schema))

    assert contact.is_valid({"mail": "a"})
    assert contact.is_valid({"mail": None, "phone": "1"})
    assert not contact.is_valid({})
    assert not contact.is_valid({"mail": "a", "phone": "1"})
    some: Any = Draft202012Validator(at_least("a", "b"))
    assert some.is_valid({"a": 1, "b": 2})


async def show(id: int, content: bytes) -> bytes:
    return content


async def store(name: str, content: Everything) -> Page[Cat]:
    raise NotImplementedError


async def purge(id: int) -> None: ...


async def ask(content: Contact, depth: int) -> Page[Dog]:
    raise NotImplementedError


async def rest(name: str) -> str:
    return name


VERSIONS: tuple[Specification, ...] = ("3.1", "3.2")
PICTURES = body_bytes(content_types={"image/png": bytes, "application/x-ndjson": Cat})
things = path("things")
ROUTES = Routes(
    (things / param("id", int) & post() & public() & PICTURES).then(show),
    (things / param("name", str) & put() & public() & body(Everything)).then(store),
    (things / param("id", int) & method("PURGE") & public()).then(purge),
    (things & query_method() & public() & body(Contact) & query("depth", int)).then(ask),
    (path("other") / tail("name") & get() & public()).then(rest),
    (path("other") / param("name", str) & get() & public()).then(rest, name="one"),
    (things & get() & public()).answer({"a": 1}, name="404 <found>"),
)


Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | bool | None"


def at(node: Json, *keys: str | int) -> Json:
    """Follow keys."""
    for key in keys:
        if isinstance(node, dict):
            node = node[str(key)]
        else:
            assert isinstance(node, list)
            node = node[int(key)]
    return node


def document(specification: Specification) -> dict[str, Json]:
    made = openapi(ROUTES, title="T", version="1", specification=specification)
    found: Json = msgspec.json.decode(msgspec.json.encode(made["paths"]))
    assert isinstance(found, dict)
    return found


def keys(node: Json) -> set[str]:
    assert isinstance(node, dict)
    return set(node)


@pytest.mark.parametrize("specification", ["3.1", "3.2"])
def test_an_application_of_every_kind_is_a_valid_document(specification: Specification) -> None:
    validate(openapi(ROUTES, title="T", version="1", specification=specification))


def test_methods_without_a_place_of_their_own_stand_where_their_version_has_one() -> None:
    old, new = document("3.1"), document("3.2")

    assert keys(at(old, "/things/{id}", "x-additionalOperations")) == {"PURGE"}
    assert keys(at(new, "/things/{id}", "additionalOperations")) == {"PURGE"}
    assert "x-query" in keys(old["/things"])
    assert "query" in keys(new["/things"])


def test_templates_that_differ_in_names_only_are_one_path() -> None:
    found = document("3.1")

    assert {"put", "post", "x-additionalOperations"} <= keys(found["/things/{id}"])
    assert "/things/{name}" not in found
    assert at(found, "/things/{id}", "put", "parameters", 0, "name") == "id"
    assert {"/other/{name}", "/other/{name_rest}"} <= found.keys()


def test_every_operation_has_an_id_that_is_a_name_in_every_language() -> None:
    ids = [
        str(at(item, key, "operationId"))
        for item in document("3.1").values()
        for key in keys(item) - {"x-additionalOperations"}
    ]

    assert "operation_404_found" in ids
    assert len(set(ids)) == len(ids)
    assert all(name.isidentifier() and name.isascii() for name in ids)


def test_bodies_of_bytes_are_binary_and_those_of_lines_have_their_item() -> None:
    place = ("/things/{id}", "post", "requestBody", "content")
    old, new = (at(document(one), *place) for one in VERSIONS)

    assert at(old, "image/png", "schema") == {
        "type": "string",
        "format": "binary",
        "contentMediaType": "image/png",
    }
    item: Json = {"$ref": "#/components/schemas/Cat"}
    assert new == {"image/png": at(old, "image/png"), "application/x-ndjson": {"itemSchema": item}}
