"""AsyncAPI from the hub's description: valid, whole, and of the frames that are spoken."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import msgspec
import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from nexus_gateway import Routes, auth, get, param, path
from nexus_gateway.document.asyncapi import asyncapi
from nexus_gateway.realtime.frames import Message, SentByClients, SentByServer, Subscribe
from nexus_gateway.realtime.hub import Hub, Limits, allow, namespace
from tests.harness.servers import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator

SPECIFICATION = Path(__file__).parents[2] / "node_modules/@asyncapi/specs/schemas/3.0.0.json"
Json = dict[str, object]


def described() -> Json:
    hub = Hub(
        namespace("metrics", subscribe=allow("metrics:read"), history=2),
        namespace("public:*", subscribe=allow(anonymous=True), publish=allow()),
        limits=Limits(max_bytes=4096),
    )
    socket = path("ws") / "realtime"
    routes = (socket & get() & auth()).hub("socket") | (
        socket / param("channel", str) & get() & auth()
    ).hub("socket")
    return asyncapi(routes, hub.plan, title="Test", version="1.2.3", description="A test.")


def objects(value: object) -> Iterator[Json]:
    """Walk through all objects of a document."""
    if isinstance(value, dict):
        found = msgspec.convert(value, Json)
        yield found
        for inner in found.values():
            yield from objects(inner)
    elif isinstance(value, list):
        for inner in msgspec.convert(value, list[object]):
            yield from objects(inner)


def faults(schema: Json, found: object) -> list[str]:
    """List what a schema does not allow, in the draft that it names or else 2020-12."""
    draft = Draft7Validator if "draft-07" in str(schema.get("$schema")) else Draft202012Validator
    instance = json.loads(msgspec.json.encode(found))
    found_faults = draft(schema).iter_errors(instance)  # pyright: ignore[reportUnknownMemberType]  # its schemas are untyped
    return [str(fault.message) for fault in found_faults]


def at(document: object, *steps: str) -> Json:
    for step in steps:
        document = msgspec.convert(document, Json)[step]
    return msgspec.convert(document, Json)


def test_it_is_valid_by_the_schema_of_the_specification() -> None:
    if not SPECIFICATION.exists():
        lacking("@asyncapi/specs")
    specification = at(json.loads(SPECIFICATION.read_text()))

    assert faults(specification, described()) == []
    assert faults(specification, described() | {"channels": {"c": {"address": 7}}}) != []


def test_every_reference_leads_somewhere() -> None:
    document = described()
    references = {str(found["$ref"]) for found in objects(document) if "$ref" in found}

    for reference in references:
        assert at(document, *reference.removeprefix("#/").split("/")), reference
    assert len(references) > 40


def test_each_socket_has_its_operations_with_the_messages_of_its_own() -> None:
    document = described()

    operations = at(document, "operations")
    assert len(operations) == 2 * 10
    for name in operations:
        operation = at(operations, name)
        place = str(at(operation, "channel")["$ref"])
        for message in objects(operation["messages"]):
            assert str(message["$ref"]).startswith(f"{place}/messages/")
    socket = at(document, "channels", "ws_realtime_channel")
    assert socket["address"] == "/ws/realtime/{channel}"
    assert list(at(socket, "parameters")) == ["channel"]


def test_the_rules_of_channels_and_the_close_codes_are_told() -> None:
    socket = at(described(), "channels", "ws_realtime")

    rules = [dict(found) for found in objects(socket["x-namespaces"]) if "name" in found]
    assert [(one["name"], one["subscribe"], one["publish"]) for one in rules] == [
        ("metrics", "metrics:read", "nobody"),
        ("public:*", "everybody", "every token"),
    ]
    codes = {found["code"]: found["then"] for found in objects(socket["x-close-codes"])}
    assert (codes[4002], codes[4012], codes[4001]) == ("stop", "retry", "fresh-token")
    assert "4096 bytes" in str(socket["description"])


@pytest.mark.parametrize(
    ("frame", "count"),
    [
        (Subscribe("c", id=1), 0),
        (Message("c", {"x": 1}, "e", 1, datetime(2026, 1, 2, tzinfo=UTC), key="k"), 0),
        ({"type": "message", "channel": "c"}, 4),
        ({"type": "subscribe", "channel": 7}, 1),
        ({"type": "publish", "channel": "c"}, 1),
    ],
)
def test_the_schemas_are_of_the_frames(frame: object, count: int) -> None:
    document = described()
    written = at(msgspec.to_builtins(frame))
    name = {"message": "Message", "subscribe": "Subscribe", "publish": "Publish"}[
        str(written["type"])
    ]
    whole = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}

    assert len(faults(whole, written)) == count


def test_every_frame_is_a_message() -> None:
    names = {str(message["name"]) for message in objects(at(described(), "components", "messages"))
             if "payload" in message}  # fmt: skip

    frames = (*get_args(SentByClients), *get_args(SentByServer))
    assert names == {frame.__struct_config__.tag for frame in frames}


def test_routes_without_a_socket_have_no_channels() -> None:
    document = asyncapi(Routes((path("x") & get()).answer(1)), Hub().plan, title="T", version="1")

    assert (document["channels"], document["operations"]) == ({}, {})
