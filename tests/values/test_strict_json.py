"""`strict_json`: what is decoded in Python is checked by the core's definition of JSON."""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC, datetime

import msgspec
import pytest

from nexus_gateway import Routes, body, path, post, public
from nexus_gateway.server import Application, Server
from nexus_gateway.studio.intelligence import importing
from nexus_gateway.studio.intelligence.models import Stamp
from nexus_gateway.studio.knowledge_graph.ingest import lines
from nexus_gateway.testing import Answer, request
from nexus_gateway.values.strict_json import check, decoder, encode
from tests.harness.json_cases import TEXTS, Case


class Point(msgspec.Struct):
    x: float


@dataclasses.dataclass
class Pair:
    x: object


@pytest.mark.parametrize("case", TEXTS, ids=lambda case: case.name)
def test_a_text_is_accepted_as_the_table_says_and_read_by_msgspec(case: Case) -> None:
    if not case.accepted:
        with pytest.raises(msgspec.DecodeError, match=r"\(byte \d+\)"):
            check(case.content)
        return

    check(case.content)
    msgspec.json.encode(decoder(object)(case.content))


async def _take(value: object) -> str:
    return type(value).__name__


async def test_a_body_is_refused_with_400_that_names_the_place() -> None:
    routes = (path("take") & post() & public() & body(object)).then(_take)

    async with Server(Application(Routes(routes))) as server:
        for case in TEXTS:
            asked = request("POST /take").body(case.content, "application/json")
            answer = await asked.send(server)
            _check(case, answer)


def _check(case: Case, answer: Answer) -> None:
    refused = answer.json() if answer.status >= 400 else None
    if case.accepted:
        assert answer.status == 200, case.name
    elif case.content:  # no body at all is another matter
        assert isinstance(refused, dict)
        assert (answer.status, refused["code"]) == (400, "malformed_body"), case.name
        assert "(byte " in refused["error"], case.name


@pytest.mark.parametrize("value", ["1e400", '"\\ud800"', "[" * 101 + "]" * 101, "9" * 30])
def test_a_line_with_a_value_that_cannot_be_stored_is_refused_alone(value: str) -> None:
    fields = '"source":"a","target":"b","type":"t","title":"T"'
    edge, entity = f"{{{fields}", f'{{"entity_id":"a",{fields}'
    stamp = Stamp(datetime(2026, 1, 1, tzinfo=UTC))

    for start in (edge, entity):
        text = "\n".join([start + "}", f'{start},"attributes":{{"a":{value}}}}}', start + "}"])
        wrong = lines.read(1, text.encode()).wrong
        refused = importing.read(text.encode(), 0, 0, stamp).refused
        assert [number for number, why in wrong if "(byte " in why] == [2]
        assert [line.line for line in refused if "(byte " in (line.error or "")] == [2]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_not_written_as_null(number: float) -> None:
    for value in (number, [None, (number,)], {"a": {"b": number}}, Point(number), Pair({number})):
        with pytest.raises(ValueError, match="no form for the number"):
            encode(value)


def test_what_has_a_form_is_written() -> None:
    value = {"a": None, "b": [Point(1.5), Pair("null")], "c": msgspec.Raw(b"null")}

    assert encode(value) == b'{"a":null,"b":[{"x":1.5},{"x":"null"}],"c":null}'
