"""The statements of SQLite find their rows by an index, however many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nexus_gateway.studio.intelligence.models import Selection
from nexus_gateway.studio.intelligence.search import sqlite as search
from nexus_gateway.studio.intelligence.sqlite.store import page_statement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexus_gateway.studio.storage.sqlite import Database

NAMES = {
    "tenant": "",
    "type": "t",
    "tag": "t",
    "after": 0,
    "limit": 10,
    "words": '"word"*',
    "numbers": "[1]",
    "text": "t",
    "version": 0,
    "number": 0,
    "model": "m",
}


@pytest.mark.parametrize(
    "statement",
    [
        page_statement(Selection()),
        page_statement(Selection(type="t")),
        page_statement(Selection(tag="t")),
        page_statement(Selection(type="t", tag="t")),
        search.CHANGES,
        search.EXACT,
    ],
)
async def test_every_statement_finds_its_rows_by_an_index(
    database: Database, statement: str
) -> None:
    assert await scans(database, statement, NAMES) == []


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (search.NUMBERS_OF, ("[]", "")),
        (search.NUMBERED, ("[]", "")),
        (search.PENDING, (0, 10)),
        (search.OLDER, (0, 10, 10)),
        (search.VERSION, ("",)),
    ],
)
async def test_every_statement_of_places_too(
    database: Database, statement: str, values: tuple[object, ...]
) -> None:
    assert await scans(database, statement, values) == []


async def scans(
    database: Database, statement: str, values: Mapping[str, object] | tuple[object, ...]
) -> list[str]:
    plan = await database.read(
        lambda c: [row[3] for row in c.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    )
    tables = ("entity", "entity_tag", "entity_alias", "entity_vector")
    return [line for line in plan if line.split(" USING ")[0] in {f"SCAN {t}" for t in tables}]
