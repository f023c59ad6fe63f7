"""Search: what matches, in which order, how pages hold, and that no text is taken for syntax."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_gateway.studio.conditions import Condition
from nexus_gateway.studio.intelligence.errors import BadQuery
from nexus_gateway.studio.intelligence.models import (
    Draft,
    Search,
    Selection,
)
from nexus_gateway.studio.intelligence.sqlite.search import match_expression, search_statement
from nexus_gateway.studio.intelligence.sqlite.store import page_statement

if TYPE_CHECKING:
    from nexus_gateway.studio.intelligence.service import Entities
    from nexus_gateway.studio.storage.sqlite import Database

NAMES = {
    "tenant": "",
    "type": "t",
    "tag": "t",
    "tag0": "t",
    "tag1": "t",
    "words": '"word"*',
    "exact": "word",
    "ceiling": 100,
    "limit": 10,
    "facets": 10,
    "faceted": 10,
    "score": 0.0,
    "number": 1,
    "after": 0,
}


def draft(entity_id: str, *tags: str, name: str | None = None, text: str = "") -> Draft:
    kind = "person" if "person" in tags else "tool"
    attributes: dict[str, object] = {"deep": [{"text": text}]} if text else {}
    return Draft(entity_id=entity_id, entity_type=kind, name=name, tags=tags, attributes=attributes)


async def found(entities: Entities, search: Search) -> list[str]:
    return [entity.entity_id for entity in (await entities.search("", search)).items]


async def test_words_are_found_in_id_name_tags_and_attributes(entities: Entities) -> None:
    drafts = (
        draft("needle-1"),
        draft("b", name="The Needle"),
        draft("c", "needle"),
        draft("d", text="a needle in it"),
        draft("e", text="hay"),
    )
    await entities.put_all("", drafts)

    assert set(await found(entities, Search(q="NEEDLE"))) == {"needle-1", "b", "c", "d"}


async def test_all_words_must_occur_and_the_last_may_be_a_beginning(entities: Entities) -> None:
    drafts = (draft("a", text="red apples"), draft("b", text="red wine"), draft("c", text="apples"))
    await entities.put_all("", drafts)

    assert await found(entities, Search(q="red app")) == ["a"]
    assert await found(entities, Search(q="app red")) == []


async def test_accents_make_no_difference(entities: Entities) -> None:
    await entities.put_all("", (draft("a", name="Café Zoë"),))

    assert await found(entities, Search(q="cafe zoe")) == ["a"]


async def test_the_exact_name_comes_first(entities: Entities) -> None:
    drafts = (draft("python3-a", name="python3-a"), draft("x:python3", "python3", name="Python3"))
    await entities.put_all("", (*drafts, draft("python3-b", "python3", name="python3-b")))

    assert (await found(entities, Search(q="python3")))[0] == "x:python3"


async def test_search_is_narrowed_by_type_and_by_every_tag(entities: Entities) -> None:
    drafts = (
        draft("a", "x", text="word"),
        draft("b", "x", "y", text="word"),
        draft("c", "x", "y", "person", text="word"),
        draft("d", "x", "y"),
    )
    await entities.put_all("", drafts)

    assert set(await found(entities, Search(q="word", tag=["x", "y"]))) == {"b", "c"}
    assert await found(entities, Search(q="word", tag=["x", "y"], type="person")) == ["c"]
    assert await found(entities, Search(tag=["x", "y"])) == ["d", "c", "b"]
    assert await found(entities, Search(type="person")) == ["c"]
    assert await found(entities, Search()) == ["d", "c", "b", "a"]


async def test_facets_count_types_and_tags_of_all_pages(entities: Entities) -> None:
    drafts = [draft(f"a{number}", "x", text="word") for number in range(5)]
    await entities.put_all("", (*drafts, draft("b", "x", "person", text="word"), draft("c", "x")))

    first = await entities.search("", Search(q="word", limit=2))
    second = await entities.search("", Search(q="word", limit=2, cursor=first.next_cursor))

    assert first.total == second.total == 6
    assert first.facets is not None
    assert {count.value: count.count for count in first.facets.type} == {"tool": 5, "person": 1}
    assert {count.value: count.count for count in first.facets.tag} == {"x": 6, "person": 1}
    assert first.facets.complete
    assert second.facets is None


@pytest.mark.parametrize("search", [Search(q="word", limit=3), Search(tag=["x"], limit=3)])
async def test_pages_show_each_match_once_while_others_are_made(
    entities: Entities, search: Search
) -> None:
    drafts = [draft(f"a{number}", "x", text="word " * (number % 4 + 1)) for number in range(10)]
    await entities.put_all("", tuple(drafts))

    seen: list[str] = []
    cursor: str | None = None
    for turn in range(10):
        query = Search(q=search.q, tag=search.tag, limit=3, cursor=cursor)
        page = await entities.search("", query)
        seen += [entity.entity_id for entity in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
        await entities.put_all("", (draft(f"new{turn}", "x", text="word word"),))
        await entities.remove("", seen[-2], Condition())

    assert sorted(seen) == sorted(f"a{number}" for number in range(10))


async def test_a_cursor_of_another_search_is_refused(entities: Entities) -> None:
    await entities.put_all("", (draft("a", text="word"), draft("b", text="word")))
    cursor = (await entities.search("", Search(q="word", limit=1))).next_cursor

    with pytest.raises(BadQuery, match="cursor"):
        await entities.search("", Search(q="words", cursor=cursor))


async def test_too_many_tags_are_refused(entities: Entities) -> None:
    with pytest.raises(BadQuery, match="16 tags"):
        await entities.search("", Search(tag=[f"t{number}" for number in range(17)]))


@pytest.mark.parametrize(
    "text",
    ['"', "'", "*", "AND", "a OR", "NOT b", "NEAR(a b)", "name:x", "^a", "a + b", "(", "a*b", "\0"],
)
async def test_syntax_of_the_engine_is_only_text(entities: Entities, text: str) -> None:
    await entities.put_all("", (draft("z", text="plain words"),))

    result = await entities.search("", Search(q=text))

    assert result.total == 0


@given(st.text(max_size=60))
def test_no_text_is_an_error_of_syntax(text: str) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE t USING fts5 (x)")
    expression = match_expression(text)

    if expression is not None:
        connection.execute("SELECT count(*) FROM t WHERE t MATCH ?", (expression,)).fetchone()
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        page_statement(Selection()),
        page_statement(Selection(type="t")),
        page_statement(Selection(tag="t")),
        page_statement(Selection(type="t", tag="t")),
        search_statement(Search(q="word"), first=True),
        search_statement(Search(q="word", type="t", tag=["t", "t"]), first=False),
        search_statement(Search(tag=["t"]), first=True),
        search_statement(Search(type="t"), first=False),
    ],
)
async def test_every_statement_finds_its_rows_by_an_index(
    database: Database, statement: str
) -> None:
    plan = await database.read(
        lambda c: [row[3] for row in c.execute(f"EXPLAIN QUERY PLAN {statement}", NAMES)]
    )

    tables = ("entity", "entity_tag", "tagged", "led", "tag_total")
    scans = [line for line in plan if line.split(" USING ")[0] in {f"SCAN {t}" for t in tables}]
    assert scans == []
