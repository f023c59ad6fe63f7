"""Imports over HTTP: what becomes of each line, and that one bad line costs no other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from nexus_gateway import Claims
from nexus_gateway.studio.fields import BOM
from nexus_gateway.studio.intelligence import importing
from nexus_gateway.studio.intelligence.import_routes import Importing
from nexus_gateway.studio.intelligence.importing import Imports
from nexus_gateway.studio.intelligence.models import Selection
from nexus_gateway.studio.intelligence.service import now
from nexus_gateway.studio.intelligence.sqlite.store import SqliteEntities
from nexus_gateway.studio.storage.errors import StorageUnavailable
from nexus_gateway.studio.storage.postgres import Postgres
from nexus_gateway.testing import request
from tests.harness.entity_caller import (
    ENTITIES,
    NDJSON,
    ROOM,
    Caller,
    document,
    ids,
    rows,
    tool,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_gateway.studio.intelligence.errors import EntityError
    from nexus_gateway.studio.intelligence.models import Entity, Outcome, Stamp
    from nexus_gateway.studio.intelligence.store import EntityStore
    from nexus_gateway.studio.storage.sqlite import Database


def text(*entities: object) -> bytes:
    return b"\n".join(map(msgspec.json.encode, entities))


def counts(answer: dict[str, object]) -> tuple[object, ...]:
    return tuple(answer[name] for name in ("lines", "created", "updated", "unchanged", "refused"))


def test_an_import_tells_what_became_of_it(alice: Caller) -> None:
    lines = [tool(f"e{number}", tags=["x"]) for number in range(2500)]

    first = alice.take(text(*lines) + b"\n\n \n")
    lines[3] = tool("e3", tags=["y"])
    second = alice.take(text(*lines, tool("new")))

    assert counts(document(first)) == (2500, 2500, 0, 0, 0)
    assert counts(document(second)) == (2501, 1, 1, 2499, 0)
    assert document(alice.get(f"{ROOM}/comprehensive-report"))["totals"] == {
        "entities": 2501,
        "types": 1,
        "tags": 2,
    }
    assert ids(alice.get(f"{ENTITIES}/search?q=e2499&mode=text")) == ["e2499"]
    assert document(alice.get(f"{ENTITIES}/e7"))["created_by"] == "alice"


def test_a_refused_line_names_its_number_and_what_is_wrong(alice: Caller) -> None:
    alice.send(
        request(f"PUT {ROOM}/entity-types/sized").json(
            {"attributes": {"properties": {"size": {"type": "integer"}}}}
        )
    )
    alice.post(ENTITIES, tool("owner", aliases=["alias"]))
    lines = [
        msgspec.json.encode(tool("a")),
        b"{",
        b'{"entity_id": "b c", "entity_type": ""}',
        b"[1]",
        msgspec.json.encode(tool("alias")),
        msgspec.json.encode(tool("c", aliases=["alias"])),
        msgspec.json.encode(
            {"entity_id": "d", "entity_type": "sized", "attributes": {"size": "x"}}
        ),
        b"[" * 100_000,
        b"\xff",
        msgspec.json.encode(tool("z")),
    ]

    answer = alice.take(b"\n".join(lines))

    assert (answer.status, counts(document(answer))) == (200, (10, 2, 0, 0, 8))
    refusals = msgspec.convert(document(answer)["refusals"], list[dict[str, object]])
    assert [refusal["line"] for refusal in refusals] == [2, 3, 4, 5, 6, 7, 8, 9]
    details = msgspec.convert(refusals[1]["details"], list[dict[str, object]])
    assert {detail["field"] for detail in details} == {"entity_id", "entity_type"}
    typed = msgspec.convert(refusals[5]["details"], list[dict[str, object]])
    assert (refusals[5]["entity_id"], typed[0]["field"]) == ("d", "attributes.size")
    assert ids(alice.get(ENTITIES)) == ["owner", "a", "z"]


def test_the_last_of_two_lines_with_one_id_wins(alice: Caller) -> None:
    answer = alice.take(
        text(tool("a", name="1"), tool("b"), tool("a", name="2"), tool("a", name="2"))
    )

    assert counts(document(answer)) == (4, 2, 1, 1, 0)
    assert document(alice.get(f"{ENTITIES}/a"))["name"] == "2"
    assert document(alice.get(f"{ENTITIES}/a"))["revision"] == 2


def test_keys_and_aliases_are_imported(alice: Caller) -> None:
    keyed = {"key": "1", "source": "crm", "entity_type": "tool"}

    first = alice.take(text(keyed, tool("a", aliases=["b"])))
    second = alice.take(text(keyed, tool("a", aliases=["b"])))

    assert counts(document(first)) == (2, 2, 0, 0, 0)
    assert counts(document(second)) == (2, 0, 0, 2, 0)
    assert alice.get(f"{ENTITIES}/b").status == 308


def test_lines_are_answered_as_they_are_kept(alice: Caller) -> None:
    lines = text(*(tool(f"e{number}") for number in range(1500)))

    answer = alice.take(lines + b"\n{}", accept=NDJSON)

    *told, summary = rows(answer)
    assert [row["line"] for row in told] == list(range(1, 1502))
    assert told[0] == {"line": 1, "result": "created", "entity_id": "e0", "revision": 1}
    assert told[-1]["result"] == "refused"
    assert counts(msgspec.convert(summary["summary"], dict[str, object])) == (1501, 1500, 0, 0, 1)


def test_an_empty_import_does_nothing(alice: Caller) -> None:
    assert counts(document(alice.take(b""))) == (0, 0, 0, 0, 0)


def test_a_line_that_is_too_long_is_refused(alice: Caller) -> None:
    answer = alice.take(text(tool("a", name="x" * (1 << 20)), tool("b")))

    assert counts(document(answer)) == (2, 1, 0, 0, 1)


def test_another_content_type_answers_415(alice: Caller) -> None:
    assert alice.post(f"{ENTITIES}:import", {}).status == 415


class Failing(SqliteEntities):
    """A store that keeps the first chunk only."""

    chunks = 0

    async def take(
        self, tenant: str, entities: Sequence[Entity], stamp: Stamp
    ) -> list[Outcome | EntityError]:
        self.chunks += 1
        if self.chunks > 1:
            raise StorageUnavailable("gone", retry_after=3)
        return await super().take(tenant, entities, stamp)


async def test_a_store_that_fails_ends_an_import_honestly(database: Database) -> None:
    lines = text(*(tool(f"e{number}") for number in range(1500)))
    at_once = Importing(Imports(Failing(database), now))
    streamed = Importing(Imports(Failing(database), now))

    with pytest.raises(StorageUnavailable):
        await at_once.run(Claims("alice"), None, lines)
    answer = await streamed.run(Claims("alice"), NDJSON, lines)

    assert not isinstance(answer.content, importing.ImportSummary)
    written = b"".join([chunk async for chunk in answer.content if isinstance(chunk, bytes)])
    last = msgspec.json.Decoder(dict[str, object]).decode_lines(written)[-1]
    assert last["stopped"] == {"error": "gone", "retry_after": 3}
    assert counts(msgspec.convert(last["summary"], dict[str, object]))[0] == 1000


async def test_an_import_that_is_left_stops(database: Database) -> None:
    lines = text(*(tool(f"e{number}") for number in range(5000)))
    told = Imports(SqliteEntities(database), now).run("", lines, "alice")

    await anext(told)
    await told.aclose()

    store = SqliteEntities(database)
    assert (await store.totals("")).entities == 1000
    assert len(asyncio.all_tasks()) == 1


def hard_lines() -> list[bytes]:
    """Give 300 lines, each tenth of which has a fault of its own kind."""
    lines = [msgspec.json.encode(tool(f"e{number}")) for number in range(300)]
    faults = (
        b'{"entity_id": "nul", "entity_type": "tool", "name": "a\\u0000b"}',
        b'{"entity_id": "raw", "entity_type": "tool", "name": "a\x00b"}',
        b'{"entity_id": "bytes", "entity_type": "tool", "name": "\xff\xfe"}',
        b'{"entity_id": "half", "entity_type": "tool", "name": "\\ud800"}',
        b'{"entity_id": "large", "entity_type": "tool", "attributes": {"a": 1e400}}',
        b'{"entity_id": "cut", "entity_type": "to',
        msgspec.json.encode(tool("long", name="x" * (3 << 20))),
        msgspec.json.encode(tool("takes", aliases=["e3"])),
        msgspec.json.encode(tool("led", aliases=["later", "led-too"])),
        msgspec.json.encode(tool("later")),
        msgspec.json.encode(tool("e4", name="again")),
        msgspec.json.encode(tool("bad")),
    )
    for place, fault in enumerate(faults):
        lines[10 * place + 9] = fault
    return lines


@pytest.mark.parametrize("chunk", [1, 7, 100, 1000])
async def test_exactly_the_bad_lines_are_refused_whatever_the_database_and_the_chunk(
    engine: Database | Postgres,
    store: EntityStore,
    monkeypatch: pytest.MonkeyPatch,
    chunk: int,
) -> None:
    monkeypatch.setattr(importing, "CHUNK", chunk)
    await no_entity_is_bad(engine)

    text = BOM + b"\r\n".join(hard_lines())
    told = [line async for some in Imports(store, now).run("acme", text, "alice") for line in some]

    refused = {line.line for line in told if line.result == "refused"}
    assert refused == {10, 20, 30, 40, 50, 60, 70, 80, 100, 120}
    assert [line.line for line in told] == list(range(1, 301))
    assert (told[109].result, told[109].revision) == ("updated", 2)
    assert all(line.error for line in told if line.result == "refused")
    stored = await store.page("acme", Selection(limit=1000), 0, 1000)
    created = [line.entity_id for line in told if line.result == "created"]
    assert [entity.entity_id for _, entity in stored] == created


async def no_entity_is_bad(engine: Database | Postgres) -> None:
    """Make the database refuse one row, as it does where a disk or a table is at fault."""
    if isinstance(engine, Postgres):
        await engine.command("ALTER TABLE entity ADD CHECK (entity_id <> 'bad')")
        return
    trigger = (
        "CREATE TRIGGER no_bad BEFORE INSERT ON entity WHEN new.entity_id = 'bad'"
        " BEGIN SELECT RAISE(ABORT, 'no bad ones'); END"
    )
    await engine.command(trigger)


async def test_a_fault_of_the_gateway_ends_a_stream_with_a_summary(database: Database) -> None:
    class Broken(Failing):
        async def take(
            self, tenant: str, entities: Sequence[Entity], stamp: Stamp
        ) -> list[Outcome | EntityError]:
            try:
                return await super().take(tenant, entities, stamp)
            except StorageUnavailable:
                raise RuntimeError("a fault") from None

    lines = text(*(tool(f"e{number}") for number in range(1500)))
    answer = await Importing(Imports(Broken(database), now)).run(Claims("alice"), NDJSON, lines)

    assert not isinstance(answer.content, importing.ImportSummary)
    written = b"".join([chunk async for chunk in answer.content if isinstance(chunk, bytes)])
    last = msgspec.json.Decoder(dict[str, object]).decode_lines(written)[-1]
    assert last["stopped"] == {"error": "the gateway failed", "retry_after": 1}
    summary = msgspec.convert(last["summary"], dict[str, object])
    assert (summary["lines"], summary["complete"]) == (1000, False)


@pytest.mark.parametrize("ending", [b"", b"\n", b"\n\n"])
def test_a_text_that_begins_with_a_byte_order_mark_is_imported(
    alice: Caller, ending: bytes
) -> None:
    answer = alice.take(BOM + text(tool("a"), tool("b")) + ending)
    empty = alice.take(BOM)
    inner = alice.take(text(tool("c")) + b"\n" + BOM + text(tool("d")))

    assert counts(document(answer)) == (2, 2, 0, 0, 0)
    assert counts(document(empty)) == (0, 0, 0, 0, 0)
    assert counts(document(inner)) == (2, 1, 0, 0, 1)
    assert document(answer)["complete"] is True
