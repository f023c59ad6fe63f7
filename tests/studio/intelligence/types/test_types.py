"""Declared types: what is checked, what is told, and what a schema may not do."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from nexus_gateway.studio.intelligence.errors import BadSchema
from nexus_gateway.studio.intelligence.types.lint import lint
from nexus_gateway.studio.intelligence.types.schema import KEPT, Compiled, Schemas
from nexus_gateway.testing import request
from tests.harness.entity_caller import ENTITIES, ROOM, Caller, document, fields, items, tool

if TYPE_CHECKING:
    from nexus_gateway.server.settings import Settings
    from nexus_gateway.testing import Answer, Client

TYPES = f"{ROOM}/entity-types"
SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {
        "size": {"type": "integer", "minimum": 1},
        "parts": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["size"],
    "additionalProperties": False,
}


def declare(caller: Caller, name: str, schema: object, **more: object) -> Answer:
    return caller.send(request(f"PUT {TYPES}/{name}").json({"attributes": schema, **more}))


@pytest.mark.parametrize(
    ("value", "step", "fits"),
    [
        (19.99, 0.01, True),
        (0.3, 0.1, True),
        (-1.1, 0.1, True),
        (1e-7, 1e-8, True),
        (4.35, 0.05, True),
        (3, 1.5, True),
        (7.0, 7, True),
        (0, 0.01, True),
        (1e308, 1e-300, True),
        (123456789012345678, 3, True),
        (9007199254740993, 2, False),
        (19.995, 0.01, False),
        (7.5, 2, False),
        (1e-8, 1e-7, False),
        (True, 2, True),
        ("x", 2, True),
    ],
)
def test_multiples_are_those_of_decimals(value: object, step: float, fits: bool) -> None:  # noqa: FBT001
    compiled = Compiled({"properties": {"price": {"multipleOf": step}}})

    assert (compiled.problems({"price": value}) == []) == fits


@given(st.integers(-(10**12), 10**12), st.integers(0, 8))
def test_whole_steps_are_multiples(count: int, places: int) -> None:
    step = float(f"1e-{places}")
    compiled = Compiled({"properties": {"price": {"multipleOf": step}}})

    assert compiled.problems({"price": float(Decimal(count).scaleb(-places))}) == []


def test_a_type_is_declared_shown_listed_and_removed(alice: Caller) -> None:
    first = declare(alice, "tool", SCHEMA, description="Things to work with.")
    same = declare(alice, "tool", SCHEMA, description="Things to work with.")
    other = declare(alice, "tool", {})
    declare(alice, "a%20person", {})

    assert [(answer.status, document(answer)["revision"]) for answer in (first, same, other)] == [
        (201, 1),
        (201, 1),
        (200, 2),
    ]
    assert document(first)["attributes"] == SCHEMA
    assert document(alice.get(f"{TYPES}/tool"))["updated_by"] == "alice"
    page = alice.get(f"{TYPES}?limit=1")
    rest = alice.get(f"{TYPES}?limit=1&cursor=a%20person")
    assert [item["name"] for item in items(page) + items(rest)] == ["a person", "tool"]
    assert document(page)["next_cursor"] == "a person"
    assert alice.send(request(f"DELETE {TYPES}/tool")).status == 204
    assert alice.send(request(f"DELETE {TYPES}/tool")).status == 404
    assert alice.get(f"{TYPES}/tool").status == 404


def test_attributes_of_a_declared_type_are_checked_wherever_they_come_in(alice: Caller) -> None:
    declare(alice, "tool", SCHEMA)
    good, bad = {"size": 1}, {"size": 0, "parts": ["x", 1], "more": 1}
    wrong = {"attributes.size", "attributes.parts[1]", "attributes.more"}

    assert alice.post(ENTITIES, tool("a", attributes=good)).status == 201
    for answer in (
        alice.post(ENTITIES, tool("b", attributes=bad)),
        alice.put("a", tool("a", attributes=bad)),
        alice.send(request(f"PATCH {ENTITIES}/a").json({"attributes": bad})),
    ):
        assert (answer.status, document(answer)["code"]) == (422, "validation_error")
        assert set(fields(answer)) == wrong
    missing = alice.send(request(f"PATCH {ENTITIES}/a").json({"attributes": {"size": None}}))
    assert (missing.status, fields(missing)) == (422, ["attributes"])
    assert document(alice.get(f"{ENTITIES}/a"))["revision"] == 1


def test_a_batch_is_told_what_is_wrong_in_all_of_it(alice: Caller) -> None:
    declare(alice, "tool", SCHEMA)
    drafts = [tool("a", attributes={"size": 1}), tool("b"), tool("c", attributes={"size": "x"})]

    answer = alice.post(f"{ENTITIES}:batch", {"items": drafts})

    assert answer.status == 422
    assert fields(answer) == ["items[1].attributes", "items[2].attributes.size"]
    assert items(alice.get(ENTITIES)) == []


def test_what_is_not_declared_is_free(alice: Caller) -> None:
    declare(alice, "tool", SCHEMA)
    alice.post(ENTITIES, {"entity_id": "a", "entity_type": "other", "attributes": {"x": 1}})

    refused = alice.send(request(f"PATCH {ENTITIES}/a").json({"entity_type": "tool"}))
    alice.send(request(f"DELETE {TYPES}/tool"))
    taken = alice.send(request(f"PATCH {ENTITIES}/a").json({"entity_type": "tool"}))

    assert (refused.status, taken.status) == (422, 200)


def test_entities_stay_as_they_are_when_their_type_is_declared(alice: Caller) -> None:
    alice.post(ENTITIES, tool("a", name="A", attributes={"x": 1}))
    declare(alice, "tool", SCHEMA)

    renamed = alice.send(request(f"PATCH {ENTITIES}/a").json({"name": "B"}))
    changed = alice.send(request(f"PATCH {ENTITIES}/a").json({"attributes": {"x": 2}}))

    assert (renamed.status, changed.status) == (200, 422)


def test_types_are_one_tenants(client: Client, settings: Settings) -> None:
    one = Caller(client, settings, "*", "one")
    two = Caller(client, settings, "*", "two")
    declare(one, "tool", SCHEMA)

    assert two.get(f"{TYPES}/tool").status == 404
    assert two.post(ENTITIES, tool("a")).status == 201
    assert one.post(ENTITIES, tool("a")).status == 422


# --- what a schema may not do ---


def _deep(levels: int) -> dict[str, object]:
    return {"not": _deep(levels - 1)} if levels else {}


WIDE = {
    "$defs": {
        f"d{level}": {"anyOf": [{"$ref": f"#/$defs/d{level + 1}"}] * 2} for level in range(20)
    }
    | {"d20": {}},
    "$ref": "#/$defs/d0",
}


@pytest.mark.parametrize(
    ("schema", "field"),
    [
        ({"type": "thing"}, "attributes.type"),
        ({"properties": {"a": {"minimum": "x"}}}, "attributes.properties.a.minimum"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "attributes.$schema"),
        ({"$ref": "http://example.com/schema"}, "attributes.$ref"),
        ({"$ref": "#/$defs/none"}, "attributes.$ref"),
        ({"$ref": "#/properties/a", "properties": {"a": {}}}, "attributes.$ref"),
        ({"$id": "http://example.com/schema"}, "attributes.$id"),
        ({"$dynamicRef": "#x"}, "attributes.$dynamicRef"),
        ({"unevaluatedProperties": False}, "attributes.unevaluatedProperties"),
        ({"not": {"$defs": {}}}, "attributes.not.$defs"),
        ({"properties": {"a": {"uniqueItems": True}}}, "attributes.properties.a.uniqueItems"),
        ({"properties": {"a": {"pattern": "(a+)+\\1"}}}, "attributes.properties.a.pattern"),
        ({"pattern": "(?=a)"}, "attributes.pattern"),
        ({"pattern": "x" * 300}, "attributes.pattern"),
        ({"pattern": "(a{1000}){1000}"}, "attributes.pattern"),
        ({"patternProperties": {"(": {}}}, "attributes.pattern"),
        ({"enum": ["x" * 70_000]}, "attributes"),
    ],
)
def test_a_schema_that_cannot_be_used_answers_422(
    alice: Caller, schema: dict[str, object], field: str
) -> None:
    answer = declare(alice, "tool", schema)

    assert (answer.status, fields(answer)[0]) == (422, field)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
        {"$defs": {"a": {"properties": {"b": {"$ref": "#/$defs/a"}}}}},
        _deep(40),
        WIDE,
    ],
    ids=["cycle", "recursion", "depth", "width"],
)
def test_a_schema_that_goes_on_for_ever_is_refused(schema: dict[str, object]) -> None:
    with pytest.raises(BadSchema):
        lint(schema)


def test_a_pattern_takes_linear_time(alice: Caller) -> None:
    declare(alice, "tool", {"properties": {"k": {"pattern": "^(a+)+$"}}})

    good = alice.post(ENTITIES, tool("a", attributes={"k": "a" * 50_000}))
    bad = alice.post(ENTITIES, tool("b", attributes={"k": "a" * 50_000 + "b"}))

    assert (good.status, bad.status) == (201, 422)
    assert len(str(document(bad))) < 2000


def test_the_types_of_a_tenant_are_bounded(alice: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexus_gateway.studio.intelligence.types.store.TYPES", 1)

    assert declare(alice, "a", {}).status == 201
    assert declare(alice, "b", {}).status == 422
    assert declare(alice, "a", SCHEMA).status == 200


# --- both ways to check say the same ---


def fits(schema: dict[str, object], value: object) -> bool:
    """Ask the library as it comes."""
    validator: Any = Draft202012Validator(schema)
    return bool(validator.is_valid(value))


def test_only_plain_schemas_become_code() -> None:
    assert Compiled(SCHEMA).fast
    assert Compiled({"$schema": "x", "title": '"""', "additionalProperties": True}).fast
    others: list[dict[str, object]] = [
        {"properties": {'"': True}},
        {"enum": [1]},
        {"const": "'"},
        {"pattern": "a"},
        {"minimum": 1.5},
        {"required": ["{"]},
        {"prefixItems": [True]},
    ]
    for schema in others:
        assert not Compiled(schema).fast


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"pattern": "^x"}}, "patternProperties": {"^b": {"type": "string"}}},
        {
            "patternProperties": {"^b": True},
            "properties": {"a": True},
            "additionalProperties": False,
        },
        {"patternProperties": {"^b": False}, "additionalProperties": {"type": "integer"}},
        {"properties": {"a": {"prefixItems": [{"type": "integer"}], "items": False}}},
    ],
)
@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "bc", "d"]),
        st.sampled_from(["x", "y", 1, None, [1], ["x"], [1, 2]]),
    )
)
def test_own_patterns_decide_as_the_library_does(
    schema: dict[str, object], attributes: dict[str, object]
) -> None:
    assert (Compiled(schema).problems(attributes) == []) is fits(schema, attributes)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-3, 3)
        | st.floats(-2, 2)
        | st.text("ab", max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["size", "parts", "k"]), inner)
        ),
        max_leaves=6,
    )
)
def test_code_decides_as_the_explanation_does(value: object) -> None:
    schema: dict[str, object] = {
        "type": "object",
        "properties": {
            "size": {"type": ["integer", "number"], "minimum": 0, "exclusiveMaximum": 2},
            "parts": {
                "anyOf": [
                    {"type": "array", "minItems": 1, "items": {"enum": ["a", "b"]}},
                    {"const": "ab"},
                    {"type": "string", "maxLength": 1},
                ]
            },
            "k": {"not": {"type": "null"}, "oneOf": [{"type": "object"}, {"minimum": 1}]},
        },
        "required": ["size"],
        "maxProperties": 2,
    }
    compiled = Compiled(schema)

    assert compiled.fast
    assert (compiled.problems(value) == []) is fits(schema, value)


def test_compiled_schemas_are_kept_by_digest_and_bounded() -> None:
    schemas = Schemas()
    asked: list[int] = []

    def text(number: int) -> str:
        asked.append(number)
        return "{}"

    for number in (*range(KEPT + 1), 0, KEPT):
        schemas.compiled(str(number), lambda number=number: text(number))  # type: ignore[misc]  # bound now

    assert asked == [*range(KEPT + 1), 0]
