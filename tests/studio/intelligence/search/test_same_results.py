"""SQLite and PostgreSQL give the same results, in many scripts; and exact names come first."""

# ruff: noqa: RUF001, E501 - letters that look like others are what this tests

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Literal

import pytest

from nexus_gateway.studio.engines import entity_store, search_store
from nexus_gateway.studio.intelligence.embedding.local import HashedWords
from nexus_gateway.studio.intelligence.models import Draft
from nexus_gateway.studio.intelligence.search import analyser
from nexus_gateway.studio.intelligence.search.indexer import Indexer
from nexus_gateway.studio.intelligence.search.models import Search
from nexus_gateway.studio.intelligence.search.opening import Opening
from nexus_gateway.studio.intelligence.service import Entities
from nexus_gateway.studio.storage import migrations
from nexus_gateway.studio.storage.relational import relational

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from nexus_gateway.studio.intelligence.search.models import Found
    from nexus_gateway.studio.intelligence.search.service import Searches
    from nexus_gateway.studio.intelligence.search.store import SearchStore
    from nexus_gateway.studio.storage.postgres import Postgres
    from nexus_gateway.studio.storage.sqlite import Database

Mode = Literal["hybrid", "text", "vector"]
MODES: tuple[Mode, ...] = ("text", "vector", "hybrid")
NAMES = (
    "中华人民共和国", "日本国", "東京タワー", "とうきょう", "ﾄｳｷｮｳ駅", "대한민국", "서울특별시",
    "ประเทศไทย", "ສປປ ລາວ", "កម្ពុជា", "မြန်မာ", "𠀀𠀁𠀂", "Łódź", "Iğdır", "İstanbul", "Hauptstraße",
    "Haupt-Strasse", "Ærøskøbing", "Œuvre", "Þórshöfn", "Đà Nẵng", "Ёлка", "елка зелёная", "Йод",
    "Москва", "Київ", "Ὀδυσσεύς", "ΑΘΗΝΑ", "שָׁלוֹם", "ירושלים", "مُحَمَّد", "إسلام", "فارسی", "कोलकाता",
    "हिन्दी", "தமிழ்", "বাংলা", "Ｐｙｔｈｏｎ", "Café Zoë", "naïve résumé", "C", "C++", "C#", "F#",
    ".NET", "Node.js", "libstdc++6", "g++-12", "python3", "python3-pip", "python3.11", "apt-get",
    "foo_bar", "openssl 1.2.3", "O'Brien", "a.b@example.com", "🎉", "https://example.org/x", "---",
)  # fmt: skip
BODIES = (
    "written in c and c++, see https://example.org/c++ for more",
    "the word count of python3 packages. Next sentence",
    "中国的首都是北京",
    "Straßen in Łódź und İzmir",
    "слово и дело",
    "قال محمد",
)
QUERIES = (
    *NAMES,
    "共和国", "人民", "国", "本国", "タワー", "東京", "きょう", "トウキョウ", "민국", "서울", "ไทย", "ລາວ",
    "កម្ពុ", "𠀁𠀂", "𠀁", "lodz", "LODZ", "igdir", "IĞDIR", "istanbul", "hauptstrasse", "HAUPTSTRASSE",
    "haupt", "aeroskobing", "oeuvre", "thorshofn", "da nang", "елка", "ёлка", "ЗЕЛЕНАЯ", "иод", "моск",
    "киів", "οδυσσευσ", "αθηνα", "שלום", "محمد", "اسلام", "فارسي", "कोल", "हिन्दी", "python", "cafe",
    "resume naive", "c", "net", "node", "js", "libstdc", "g++", "python3 pip", "3.11", "1.2", "brien",
    "foo", "bar", "get apt", "example.com", "example.org", "word count", "count word", "首都", "北京",
    "слово", "дело слово", "wrod", "pyhton3", "postgersql", "qqqqzzzz", '"', "*", "a OR b", "NEAR(a b)",
    "-", "c*", "'", "\\", "\0", "x:y", "\ud800", "a" * 256, "word " * 40, "共" * 200,
)  # fmt: skip


def drafts() -> tuple[Draft, ...]:
    named = [
        Draft(
            entity_id=f"n{number}",
            entity_type="name" if number % 3 else "other",
            name=name,
            tags=("named", f"t{number % 4}"),
            attributes={"text": BODIES[number % len(BODIES)]},
        )
        for number, name in enumerate(NAMES)
    ]
    plain = [
        Draft(
            entity_id=f"word{number}", entity_type="filler", attributes={"text": "a word " * number}
        )
        for number in range(1, 20)
    ]
    return (*named, *plain)


async def opened(
    stack: AsyncExitStack, where: Path | str
) -> tuple[Searches, SearchStore, Database | Postgres]:
    engine: Database | Postgres = await stack.enter_async_context(
        relational(where, pool=2, wait=2, timeout=5)
    )
    finder = search_store(engine)
    searches = Opening(finder, HashedWords()).searches()
    await Entities(entity_store(engine)).put_all("", drafts())
    await Indexer(finder, HashedWords(), searches.catalogues.refresh).work()
    return searches, finder, engine


def summary(found: Found) -> object:
    ids = [hit.entity_id for hit in found.items]
    scores = [hit.score for hit in found.items]
    return ids, scores, found.total, found.facets


async def test_both_databases_give_the_same_results(tmp_path: Path, postgres_url: str) -> None:
    path = tmp_path / "same.db"
    migrations.up(path)
    assert len(set(QUERIES)) >= 100
    async with AsyncExitStack() as stack:
        one, _, _ = await opened(stack, path)
        other, _, _ = await opened(stack, postgres_url)
        for query in QUERIES:
            for mode in MODES:
                search = Search(q=query, mode=mode, limit=20)
                expected = summary(await one.search("", search))
                assert summary(await other.search("", search)) == expected, (query, mode)


async def test_an_exact_name_is_the_first_in_every_mode(where: Path | str) -> None:
    async with AsyncExitStack() as stack:
        searches, _, _ = await opened(stack, where)
        for number, name in enumerate(NAMES):
            for query in (name, name.upper(), f" {name} ", f"n{number}"):
                for mode in MODES:
                    found = await searches.search("", Search(q=query, mode=mode, limit=3))
                    first = found.items[0]
                    same = analyser.key(first.name or "") == analyser.key(query)
                    assert same or first.entity_id == query, (query, mode, first.name)
                    assert first.parts.exact == 1


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("共和国", "中华人民共和国"),
        ("lodz", "Łódź"),
        ("igdir", "Iğdır"),
        ("hauptstrasse", "Hauptstraße"),
        ("thorshofn", "Þórshöfn"),
        ("елка", "Ёлка"),
        ("محمد", "مُحَمَّد"),
        ("שלום", "שָׁלוֹם"),
        ("python", "Ｐｙｔｈｏｎ"),
        ("hauptstrase", "Hauptstraße"),
    ],
)
async def test_names_are_found_by_what_is_typed(
    entities: Entities,
    searches: Searches,
    index: Callable[[], Awaitable[None]],
    query: str,
    name: str,
) -> None:
    await entities.put_all("", drafts())
    await index()

    found = await searches.search("", Search(q=query))

    assert name in [hit.name for hit in found.items]


async def test_signs_within_words_count_and_what_matches_nothing_is_nothing(
    entities: Entities, searches: Searches, index: Callable[[], Awaitable[None]]
) -> None:
    await entities.put_all("", drafts())
    await index()

    async def total(query: str, mode: Mode) -> int:
        return (await searches.search("", Search(q=query, mode=mode))).total

    written = sum(not number % len(BODIES) for number in range(len(NAMES)))
    assert await total("c++", "text") == written + 1
    assert await total("c#", "text") == 1
    assert await total("https", "text") == 0
    for query in ("qqqqzzzz", "-", '"*"', "\0", "zzyzx-qqq", "xx+#", "𪜶"):
        for mode in MODES:
            assert await total(query, mode) == 0, (query, mode)


async def test_an_older_index_is_rebuilt_and_searched_meanwhile(
    where: Path | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as stack:
        searches, finder, _ = await opened(stack, where)
        while await finder.reindex(analyser.VERSION, 100):
            pass
        real = analyser.terms

        def longer(text: str) -> str:
            return f"{real(text)} rebuilt"

        monkeypatch.setattr("nexus_gateway.studio.intelligence.search.document.terms", longer)

        remaining = await finder.reindex(analyser.VERSION + 1, 10)
        part = await searches.search("", Search(q="rebuilt", mode="text"))
        meanwhile = await searches.search("", Search(q="lodz"))
        indexer = Indexer(finder, HashedWords(), searches.catalogues.refresh)
        monkeypatch.setattr(analyser, "VERSION", analyser.VERSION + 1)
        before = await indexer.progress()
        await indexer.reindex()
        whole = await searches.search("", Search(q="rebuilt", mode="text"))

    assert (remaining, part.total, before) == (len(drafts()) - 10, 10, None)
    assert meanwhile.items[0].name == "Łódź"
    assert whole.total == len(drafts())
