"""OpenAPI from the chains: valid, complete, and with every refusal."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated, TypeAlias

import msgspec
import pytest
from openapi_spec_validator import validate

from nexus_gateway import (
    Chunks,
    Claims,
    Response,
    Route,
    Routes,
    auth,
    body,
    body_bytes,
    body_text,
    delete,
    get,
    header,
    limit,
    param,
    path,
    plan,
    post,
    public,
    put,
    query,
    query_method,
    rate_limit,
    require,
    tail,
)
from nexus_gateway.compile.lint import DescriptionError
from nexus_gateway.describe.reject import KINDS
from nexus_gateway.document.openapi import openapi

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | bool | None"


class Color(enum.Enum):
    RED = "red"


class Entity(msgspec.Struct):
    """Something that is known."""

    id: Annotated[int, msgspec.Meta(ge=1, description="Its number.")]
    color: Color = Color.RED


class Note(msgspec.Struct):
    text: str


class Page(msgspec.Struct, rename="camel"):
    limit: Annotated[int, msgspec.Meta(ge=1, le=100, description="How many.")] = 20
    page_cursor: str | None = None
    tag: list[Color] = []


class Service:
    async def index(self, page: Page) -> list[Entity]:
        """List entities.

        The newest first.
        """
        return []

    async def show(self, id: int) -> Entity | None: ...

    async def create(self, claims: Claims, entity: Entity | Note) -> Response[Entity]:
        return Response(Entity(1), 201)

    async def replace(self, id: int, text: str | None) -> None: ...

    async def remove(self, id: int, claims: Claims | None) -> Response[None]:
        return Response(None, 204)

    async def search(self, note: Note, depth: int) -> dict[str, object]:
        return {}

    async def upload(self, content: bytes, rest: str) -> bytes:
        return content

    async def events(self, id: int) -> AsyncIterator[str]:
        yield ""

    async def odd(self, a: int, b: int | None) -> str:
        return ""


service = Service()
entities = path("api") / "entities"
ID = param("id", int)
writer = auth(scope="entities:write") & rate_limit("1/s") & (body(Entity) | body(Note))
searched = (query_method() | post()) & public() & body(Note) & header("x-depth", int)
ROUTES = (
    (entities & get() & query(Page)).then(service.index)
    | (entities & post() & writer).then(service.create, status=201, raises=("conflict",))
    | (entities / ID & get()).then(service.show)
    | (entities / ID & put() & require() & body_text().optional()).then(service.replace)
    | (entities / ID & delete() & auth(scope="a").optional()).then(service.remove, status=204)
    | (entities / "search" & searched).then(service.search)
    | (path("files") & post() & public() & body_bytes() & path("") / tail("rest")).then(
        service.upload
    )
    | (entities / ID / "events" & get()).stream(service.events)
    | (path("odd") & get() & query("a", int, default=3) & query("b", int).optional()).then(
        service.odd
    )
    | (path("health") & get()).answer({"status": "ok"})
    | (path("metrics") & get()).metrics("prometheus")
    | (path("api/metrics") & get()).metrics("summary")
    | (path("") & get()).answer("<p>", content_type="text/html")
)


def described(routes: Route | Routes = ROUTES, layers: plan.Layers | None = None) -> Json:
    written = openapi(routes, title="Test", version="1.0", description="A test.", layers=layers)
    decoded: Json = msgspec.json.decode(msgspec.json.encode(written))
    return decoded


def at(node: Json, *keys: str | int) -> Json:
    """Follow keys; None where one is missing."""
    for key in keys:
        if isinstance(node, dict):
            node = node.get(str(key))
        elif isinstance(node, list) and isinstance(key, int):
            node = node[key]
        else:
            return None
    return node


def keys(node: Json) -> list[str]:
    assert isinstance(node, dict)
    return list(node)


DOCUMENT = described()


def operation(path: str, method: str) -> Json:
    found = at(DOCUMENT, "paths", path, method)
    assert found is not None
    return found


def parameters(path: str, method: str) -> dict[str, Json]:
    listed = at(operation(path, method), "parameters")
    assert isinstance(listed, list)
    return {str(at(each, "name")): each for each in listed}


def test_the_document_is_valid_openapi() -> None:
    assert isinstance(DOCUMENT, dict)
    validate(DOCUMENT)


def test_the_document_is_the_same_whatever_the_order() -> None:
    backwards = Routes(*reversed(ROUTES.routes))

    assert described(backwards) == DOCUMENT


def test_pages_are_left_out() -> None:
    assert "/" not in keys(at(DOCUMENT, "paths"))


def test_an_operation_is_named_and_described_by_its_handler() -> None:
    index = operation("/api/entities", "get")

    assert at(index, "operationId") == "service_index"
    assert at(index, "summary") == "List entities"
    assert at(index, "description") == "The newest first."
    assert at(index, "tags") == ["entities"]


def test_what_may_be_streamed_is_described_beside_what_is_given_at_once() -> None:
    async def rows() -> Response[Chunks]:
        raise NotImplementedError

    async def either() -> Response[Entity | Chunks]:
        raise NotImplementedError

    streams = ["application/x-ndjson"]
    routes = (path("rows") & get()).then(rows, streams=streams) | (path("either") & get()).then(
        either, streams=streams
    )

    document = described(routes)

    assert keys(at(document, "paths", "/rows", "get", "responses", "200", "content")) == streams
    content = at(document, "paths", "/either", "get", "responses", "200", "content")
    assert keys(content) == ["application/json", *streams]
    assert at(content, "application/json", "schema", "$ref") == "#/components/schemas/Entity"


def test_operation_ids_are_unique() -> None:
    again = (path("again") & (get() | post()) & public()).answer("x", name="Service.index")

    document = described(ROUTES | again)

    ids = [at(document, "paths", "/again", method, "operationId") for method in ("get", "post")]
    assert (
        sorted(map(str, ids)) == ["service_index", "service_index_post"]
        or len(set(map(str, ids))) == 2
    )
    assert isinstance(document, dict)
    validate(document)


def test_query_fields_are_parameters_with_their_limits() -> None:
    found = parameters("/api/entities", "get")

    assert found["limit"] == {
        "name": "limit",
        "in": "query",
        "required": False,
        "description": "How many.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
    }
    assert at(found["pageCursor"], "schema") == {"type": "string"}
    assert at(found["tag"], "schema", "items") == {"$ref": "#/components/schemas/Color"}


def test_path_header_and_single_query_values_are_parameters() -> None:
    assert at(parameters("/api/entities/{id}", "get")["id"], "required") is True
    assert at(parameters("/api/entities/search", "post")["x-depth"], "in") == "header"
    assert at(parameters("/files/{rest}", "post")["rest"], "in") == "path"
    odd = parameters("/odd", "get")
    assert at(odd["a"], "schema") == {"type": "integer", "format": "int64", "default": 3}
    assert at(odd["b"], "required") is False


def test_alternative_bodies_are_any_of() -> None:
    content = at(operation("/api/entities", "post"), "requestBody", "content", "application/json")

    assert at(content, "schema", "anyOf") == [
        {"$ref": "#/components/schemas/Entity"},
        {"$ref": "#/components/schemas/Note"},
    ]
    assert at(operation("/api/entities", "post"), "requestBody", "required") is True


def test_bodies_of_text_and_bytes_have_their_content_type() -> None:
    replaced = at(operation("/api/entities/{id}", "put"), "requestBody")

    assert keys(at(replaced, "content")) == ["text/plain"]
    assert at(replaced, "required") is False
    assert keys(at(operation("/files/{rest}", "post"), "requestBody", "content")) == [
        "application/octet-stream"
    ]


@pytest.mark.parametrize(
    ("path", "method", "statuses"),
    [
        ("/api/entities", "get", "200 400 414 431 500 503 504"),
        (
            "/api/entities",
            "post",
            "201 400 401 403 408 409 413 414 415 422 429 431 500 503 504",
        ),
        ("/api/entities/{id}", "get", "200 204 400 404 414 431 500 503 504"),
        ("/api/entities/{id}", "put", "204 400 401 404 408 413 414 415 431 500 503 504"),
        ("/api/entities/{id}", "delete", "204 400 401 403 404 414 431 500 503 504"),
        ("/api/entities/search", "x-query", "200 400 408 413 414 415 422 431 500 503 504"),
        ("/files/{rest}", "post", "200 400 404 408 413 414 431 500 503 504"),
        ("/health", "get", "200 400 414 431 500"),
    ],
)
def test_an_operation_lists_what_it_may_answer(path: str, method: str, statuses: str) -> None:
    assert keys(at(operation(path, method), "responses")) == statuses.split()


def test_answers_have_the_type_that_the_handler_returns() -> None:
    def content(path: str, method: str, status: str) -> Json:
        return at(operation(path, method), "responses", status, "content")

    assert at(content("/api/entities", "get", "200"), "application/json", "schema", "items") == {
        "$ref": "#/components/schemas/Entity"
    }
    assert at(content("/api/entities", "post", "201"), "application/json", "schema") == {
        "$ref": "#/components/schemas/Entity"
    }
    assert keys(content("/api/entities/{id}/events", "get", "200")) == ["text/event-stream"]
    assert keys(content("/files/{rest}", "post", "200")) == ["application/octet-stream"]
    assert keys(content("/odd", "get", "200")) == ["text/plain"]
    assert keys(content("/metrics", "get", "200")) == ["text/plain"]
    assert keys(content("/api/metrics", "get", "200")) == ["application/json"]
    assert content("/api/entities/{id}", "get", "204") is None


def test_security_names_the_scopes() -> None:
    assert at(operation("/api/entities", "post"), "security") == [{"bearer": ["entities:write"]}]
    assert at(operation("/api/entities/{id}", "delete"), "security") == [{"bearer": ["a"]}, {}]
    assert at(operation("/api/entities", "get"), "security") is None


def test_limited_routes_carry_the_limits_headers() -> None:
    headers = at(operation("/api/entities", "post"), "responses", "201", "headers")

    assert keys(headers) == ["x-request-id", "ratelimit", "ratelimit-policy"]
    refused = at(DOCUMENT, "components", "responses", "Refused429", "headers")
    assert "retry-after" in keys(refused)
    assert "www-authenticate" in keys(
        at(DOCUMENT, "components", "responses", "Refused401", "headers")
    )


@pytest.mark.parametrize("way", ["layers", "wrap"])
def test_a_limit_by_address_can_refuse_every_request(way: str) -> None:
    layer = limit("1/s")
    routes = ROUTES.wrap(layer) if way == "wrap" else ROUTES
    layers = plan.Layers(limit=layer) if way == "layers" else None

    document = described(routes, layers)

    assert "429" in keys(at(document, "paths", "/health", "get", "responses"))


def test_the_error_has_every_code() -> None:
    error = at(DOCUMENT, "components", "schemas", "Error")

    codes = at(error, "properties", "code", "enum")
    assert isinstance(codes, list)
    assert set(map(str, codes)) == {kind.code for kind in KINDS}
    assert at(error, "required") == ["error", "code", "timestamp", "request_id"]
    assert at(DOCUMENT, "components", "schemas", "Detail", "required") == [
        "location",
        "field",
        "kind",
        "message",
    ]


def test_a_refusal_links_the_pages_of_its_codes() -> None:
    text = str(at(DOCUMENT, "components", "responses", "Refused401", "description"))

    assert "[`token_expired`](/errors/token_expired): the token has expired" in text


class Odd:
    """No type of JSON."""


async def odd() -> Odd:
    return Odd()


# Imported for the checkers only, as far as the program can see.
MISSING: dict[str, Callable[[], Awaitable[str]]] = {}
exec("async def missing() -> 'Missing': ...", MISSING)


@pytest.mark.parametrize("handler", [odd, MISSING["missing"]])
def test_a_type_that_json_schema_cannot_say_is_anything(
    handler: Callable[[], Awaitable[str]],
) -> None:
    document = described((path("x") & get()).then(handler))

    content = at(document, "paths", "/x", "get", "responses", "200", "content")
    assert at(content, "application/json", "schema") == {}


def test_routes_that_cannot_be_served_are_not_described() -> None:
    with pytest.raises(DescriptionError, match="the chain has no path"):
        described(get().answer("x"))
