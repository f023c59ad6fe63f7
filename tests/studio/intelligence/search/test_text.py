"""Search: what matches, in which order, how pages hold, and that no text is taken for syntax."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_gateway.studio.conditions import Condition
from nexus_gateway.studio.intelligence.errors import BadQuery
from nexus_gateway.studio.intelligence.models import Draft
from nexus_gateway.studio.intelligence.search.analyser import phrases
from nexus_gateway.studio.intelligence.search.models import Search
from nexus_gateway.studio.intelligence.search.sqlite import match_expression

if TYPE_CHECKING:
    from nexus_gateway.studio.intelligence.search.service import Searches
    from nexus_gateway.studio.intelligence.service import Entities


def draft(entity_id: str, *tags: str, name: str | None = None, text: str = "") -> Draft:
    kind = "person" if "person" in tags else "tool"
    attributes: dict[str, object] = {"deep": [{"text": text}]} if text else {}
    return Draft(entity_id=entity_id, entity_type=kind, name=name, tags=tags, attributes=attributes)


async def found(searches: Searches, search: Search) -> list[str]:
    by_words = msgspec.structs.replace(search, mode="text")
    return [entity.entity_id for entity in (await searches.search("", by_words)).items]


async def test_words_are_found_in_id_name_tags_and_attributes(
    entities: Entities, searches: Searches
) -> None:
    drafts = (
        draft("needle-1"),
        draft("b", name="The Needle"),
        draft("c", "needle"),
        draft("d", text="a needle in it"),
        draft("e", text="hay"),
    )
    await entities.put_all("", drafts)

    assert set(await found(searches, Search(q="NEEDLE"))) == {"needle-1", "b", "c", "d"}


async def test_all_words_must_occur_and_the_last_may_be_a_beginning(
    entities: Entities, searches: Searches
) -> None:
    drafts = (draft("a", text="red apples"), draft("b", text="red wine"), draft("c", text="apples"))
    await entities.put_all("", drafts)

    assert await found(searches, Search(q="red app")) == ["a"]
    assert await found(searches, Search(q="app red")) == []


async def test_accents_make_no_difference(entities: Entities, searches: Searches) -> None:
    await entities.put_all("", (draft("a", name="Café Zoë"),))

    assert await found(searches, Search(q="cafe zoe")) == ["a"]


async def test_the_exact_name_comes_first(entities: Entities, searches: Searches) -> None:
    drafts = (draft("python3-a", name="python3-a"), draft("x:python3", "python3", name="Python3"))
    await entities.put_all("", (*drafts, draft("python3-b", "python3", name="python3-b")))

    assert (await found(searches, Search(q="python3")))[0] == "x:python3"


async def test_search_is_narrowed_by_type_and_by_every_tag(
    entities: Entities, searches: Searches
) -> None:
    drafts = (
        draft("a", "x", text="word"),
        draft("b", "x", "y", text="word"),
        draft("c", "x", "y", "person", text="word"),
        draft("d", "x", "y"),
    )
    await entities.put_all("", drafts)

    assert set(await found(searches, Search(q="word", tag=["x", "y"]))) == {"b", "c"}
    assert await found(searches, Search(q="word", tag=["x", "y"], type="person")) == ["c"]
    assert await found(searches, Search(tag=["x", "y"])) == ["d", "c", "b"]
    assert await found(searches, Search(type="person")) == ["c"]
    assert await found(searches, Search()) == ["d", "c", "b", "a"]


async def test_facets_count_types_and_tags_of_all_pages(
    entities: Entities, searches: Searches
) -> None:
    drafts = [draft(f"a{number}", "x", text="word") for number in range(5)]
    await entities.put_all("", (*drafts, draft("b", "x", "person", text="word"), draft("c", "x")))

    first = await searches.search("", Search(q="word", limit=2))
    second = await searches.search("", Search(q="word", limit=2, cursor=first.next_cursor))

    assert first.total == second.total == 6
    assert first.facets is not None
    assert {count.value: count.count for count in first.facets.type} == {"tool": 5, "person": 1}
    assert {count.value: count.count for count in first.facets.tag} == {"x": 6, "person": 1}
    assert first.facets.complete
    assert second.facets is None


@pytest.mark.parametrize("search", [Search(q="word", limit=3), Search(tag=["x"], limit=3)])
async def test_pages_show_each_match_once_while_others_are_made(
    entities: Entities, searches: Searches, search: Search
) -> None:
    drafts = [draft(f"a{number}", "x", text="word " * (number % 4 + 1)) for number in range(10)]
    await entities.put_all("", tuple(drafts))

    seen: list[str] = []
    cursor: str | None = None
    for turn in range(10):
        query = Search(q=search.q, tag=search.tag, limit=3, cursor=cursor)
        page = await searches.search("", query)
        seen += [entity.entity_id for entity in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
        await entities.put_all("", (draft(f"new{turn}", "x", text="word word"),))
        await entities.remove("", seen[-2], Condition())

    assert sorted(seen) == sorted(f"a{number}" for number in range(10))


async def test_a_cursor_of_another_search_is_refused(
    entities: Entities, searches: Searches
) -> None:
    await entities.put_all("", (draft("a", text="word"), draft("b", text="word")))
    cursor = (await searches.search("", Search(q="word", limit=1))).next_cursor

    with pytest.raises(BadQuery, match="cursor"):
        await searches.search("", Search(q="words", cursor=cursor))


async def test_too_many_tags_are_refused(entities: Entities, searches: Searches) -> None:
    with pytest.raises(BadQuery, match="16 tags"):
        await searches.search("", Search(tag=[f"t{number}" for number in range(17)]))


@pytest.mark.parametrize(
    "text",
    ['"', "'", "*", "AND", "a OR", "NOT b", "NEAR(a b)", "name:x", "^a", "a + b", "(", "a*b", "\0"],
)
async def test_syntax_of_the_engine_is_only_text(
    entities: Entities, searches: Searches, text: str
) -> None:
    await entities.put_all("", (draft("z", text="plain words"),))

    result = await searches.search("", Search(q=text))

    assert result.total == 0


@given(st.text(max_size=60))
def test_no_text_is_an_error_of_syntax(text: str) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE t USING fts5 (x)")
    asked = phrases(text)

    if asked:
        expression = match_expression(asked)
        connection.execute("SELECT count(*) FROM t WHERE t MATCH ?", (expression,)).fetchone()
    connection.close()
