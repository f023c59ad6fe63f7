"""Hybrid search upon each store: likeness, fusion, the graph, pages, and what goes wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import pytest

from nexus_gateway.studio.conditions import Condition
from nexus_gateway.studio.intelligence.embedding.local import HashedWords
from nexus_gateway.studio.intelligence.embedding.models import EmbeddingUnavailable
from nexus_gateway.studio.intelligence.errors import BadQuery, NotFound
from nexus_gateway.studio.intelligence.models import Draft
from nexus_gateway.studio.intelligence.search import ranking
from nexus_gateway.studio.intelligence.search import window as windows
from nexus_gateway.studio.intelligence.search.fusion import Ranked
from nexus_gateway.studio.intelligence.search.indexer import Indexer
from nexus_gateway.studio.intelligence.search.models import Hit, Link, Search
from nexus_gateway.studio.intelligence.search.opening import Opening
from nexus_gateway.studio.intelligence.search.window import Window
from nexus_gateway.studio.storage.errors import StorageUnavailable

if TYPE_CHECKING:
    from nexus_gateway.studio.intelligence.search.service import Searches
    from nexus_gateway.studio.intelligence.search.store import SearchStore
    from nexus_gateway.studio.intelligence.service import Entities

Index: TypeAlias = Callable[[], Awaitable[None]]


class Written:
    """A graph of the links that a test writes down."""

    def __init__(self, *links: Link) -> None:
        self._links = links

    async def links(self, tenant: str, ids: Sequence[str]) -> list[Link]:
        return [link for link in self._links if link.source in ids or link.target in ids]


class Broken:
    """A graph that does not answer."""

    async def links(self, tenant: str, ids: Sequence[str]) -> list[Link]:
        raise StorageUnavailable("gone")


class Silent(HashedWords):
    """An embedder whose provider is down."""

    async def embed(self, texts: Sequence[str]) -> list[bytes]:
        raise EmbeddingUnavailable("down")


def ids(items: Sequence[Hit]) -> list[str]:
    return [hit.entity_id for hit in items]


def many(count: int, start: int = 0) -> tuple[Draft, ...]:
    return tuple(
        Draft(entity_id=f"a{number}", entity_type="tool", name=f"hammer {number}")
        for number in range(start, start + count)
    )


async def test_a_slip_of_the_finger_is_found_by_likeness(
    entities: Entities, searches: Searches, index: Index, drafts: tuple[Draft, ...]
) -> None:
    await entities.put_all("", drafts)
    await index()

    by_words = await searches.search("", Search(q="postgersql server", mode="text"))
    found = await searches.search("", Search(q="postgersql server"))

    assert by_words.total == 0
    assert ids(found.items)[0] == "pg"
    assert (found.items[0].ranks.text, found.items[0].ranks.vector) == (None, 1)


async def test_what_words_and_likeness_both_find_comes_first_and_parts_make_the_score(
    entities: Entities, searches: Searches, index: Index, drafts: tuple[Draft, ...]
) -> None:
    await entities.put_all("", drafts)
    await index()

    found = await searches.search("", Search(q="mysql server"))

    first = found.items[0]
    assert (first.entity_id, first.ranks.text, first.ranks.vector) == ("my", 1, 1)
    for hit in found.items:
        parts = hit.parts
        assert hit.score == pytest.approx(parts.exact + parts.text + parts.vector + parts.graph)
    assert [hit.score for hit in found.items] == sorted(
        (hit.score or 0 for hit in found.items), reverse=True
    )


async def test_like_finds_what_is_like_an_entity_but_not_itself(
    entities: Entities, searches: Searches, index: Index, drafts: tuple[Draft, ...]
) -> None:
    await entities.put_all("", drafts)
    await index()

    found = await searches.search("", Search(like="pg"))
    of_type = await searches.search("", Search(like="pg", type="proxy"))

    assert ids(found.items)[0] == "my"
    assert "pg" not in ids(found.items)
    assert "my" not in ids(of_type.items)
    with pytest.raises(NotFound):
        await searches.search("", Search(like="none"))


async def test_like_needs_no_vector_of_the_entity_itself_yet(
    entities: Entities, searches: Searches, index: Index, drafts: tuple[Draft, ...]
) -> None:
    await entities.put_all("", drafts)
    await index()
    await entities.create("", Draft(entity_id="new", entity_type="database", name="MySQL server"))

    found = await searches.search("", Search(like="new"))

    assert (ids(found.items)[0], found.pending) == ("my", 1)


async def test_neighbours_of_the_best_are_found_through_the_graph(
    entities: Entities, finder: SearchStore, drafts: tuple[Draft, ...]
) -> None:
    await entities.put_all("", drafts)
    graph = Written(Link("ngx", "serves", "img"), Link("ngx", "serves", "unknown"))
    searches = Opening(finder, HashedWords(), graph).searches()

    found = await searches.search("", Search(q="nginx"))
    narrowed = await searches.search("", Search(q="nginx", type="proxy"))
    alone = await searches.search("", Search(q="nginx", mode="text"))

    assert ids(found.items) == ["ngx", "img"]
    assert (found.items[1].ranks.graph, found.items[1].ranks.text) == (1, None)
    assert found.facets is not None
    assert {count.value for count in found.facets.type} == {"proxy", "tool"}
    assert (found.total, ids(narrowed.items), ids(alone.items)) == (2, ["ngx"], ["ngx"])


async def test_without_graph_or_provider_the_rest_answers_and_says_so(
    entities: Entities, finder: SearchStore, drafts: tuple[Draft, ...]
) -> None:
    await entities.put_all("", drafts)
    searches = Opening(finder, Silent(), Broken()).searches()

    found = await searches.search("", Search(q="nginx"))

    assert ids(found.items) == ["ngx"]
    assert (found.degraded, found.pending) == (("vector", "graph"), 4)


async def test_changes_and_deletions_change_what_is_near(
    entities: Entities, searches: Searches, index: Index, drafts: tuple[Draft, ...]
) -> None:
    await entities.put_all("", drafts)
    await index()
    asked = Search(q="image converter", mode="vector")
    before = await searches.search("", asked)

    await entities.remove("", "img", Condition())
    gone = await searches.search("", asked)
    await entities.restore("", "img")
    await index()
    back = await searches.search("", asked)
    renamed = Draft(entity_id="img", entity_type="tool", name="something else")
    await entities.put("", "img", renamed, Condition())
    await index()
    after = await searches.search("", asked)

    assert [ids(found.items) for found in (before, gone, back, after)] == [["img"], [], ["img"], []]


async def test_pages_of_the_best_hold_while_others_are_made_and_indexed(
    entities: Entities, searches: Searches, index: Index
) -> None:
    await entities.put_all("", many(40))
    await index()

    seen: list[str] = []
    search = Search(q="hammer", limit=7)
    for turn in range(20):
        found = await searches.search("", search)
        seen += ids(found.items)
        if found.next_cursor is None:
            break
        search = msgspec.structs.replace(search, cursor=found.next_cursor)
        await entities.put_all("", many(5, start=100 + 5 * turn))
        await index()

    assert len(seen) == len(set(seen))
    assert set(seen) == {f"a{number}" for number in range(40)}


async def test_matches_beyond_the_best_follow_by_age(
    entities: Entities, searches: Searches
) -> None:
    await entities.put_all("", many(150))

    pages = [page async for page in searches.pages("", Search(q="hammer", mode="text", limit=40))]

    hits = [hit for page in pages for hit in page]
    assert sorted(ids(hits)) == sorted(f"a{number}" for number in range(150))
    assert [hit.score is None for hit in hits] == [False] * 100 + [True] * 50
    rest = [int(hit.entity_id[1:]) for hit in hits[100:]]
    assert rest == sorted(rest, reverse=True)


async def test_a_cursor_that_someone_made_up_shows_nothing_of_other_tenants(
    entities: Entities, searches: Searches, drafts: tuple[Draft, ...]
) -> None:
    await entities.put_all("other", drafts)
    numbers = await searches.store.numbers_of("other", ["pg"])
    made_up = Window(tuple(Ranked(number) for number in numbers.values()), 0, 1 << 60, 9)
    no_tags: list[str] = []
    cursor = windows.write(made_up, ("search", "", "", None, "hybrid", None, no_tags))

    found = await searches.search("", Search(cursor=cursor))

    assert (found.items, found.next_cursor) == ((), None)


async def test_tenants_do_not_find_each_other_by_any_way(
    entities: Entities, searches: Searches, index: Index, drafts: tuple[Draft, ...]
) -> None:
    await entities.put_all("one", drafts)
    await entities.put_all("two", drafts[:1])
    await index()

    for mode in ("text", "vector", "hybrid"):
        found = await searches.search("two", Search(q="server", mode=mode))
        assert set(ids(found.items)) <= {"pg"}
        assert found.total <= 1


@pytest.mark.parametrize(
    ("search", "field"),
    [
        (Search(mode="vector"), "mode"),
        (Search(like="a", mode="text"), "like"),
        (Search(cursor="AAAA"), "cursor"),
        (Search(cursor="!"), "cursor"),
    ],
)
async def test_what_cannot_be_answered_is_refused(
    searches: Searches, search: Search, field: str
) -> None:
    with pytest.raises(BadQuery) as refused:
        await searches.search("", search)

    assert refused.value.field == field


async def test_another_model_makes_all_vectors_anew(
    entities: Entities, finder: SearchStore, index: Index, drafts: tuple[Draft, ...]
) -> None:
    class Shorter(HashedWords):
        model = "shorter"

        async def embed(self, texts: Sequence[str]) -> list[bytes]:
            return [vector[:128] for vector in await super().embed(texts)]

    await entities.put_all("", drafts)
    await index()
    opening = Opening(finder, Shorter())
    before = await opening.searches().search("", Search(q="nginx", mode="vector"))

    indexer = Indexer(finder, Shorter(), opening.refresh)
    await indexer.forget()
    await indexer.work()

    after = await opening.searches().search("", Search(q="nginx web", mode="vector"))
    assert (before.total, before.pending) == (0, 4)
    assert (ids(after.items)[0], after.pending) == ("ngx", 0)


async def test_a_vector_of_an_older_state_is_not_kept(
    entities: Entities, finder: SearchStore, drafts: tuple[Draft, ...]
) -> None:
    await entities.put_all("", drafts[:1])
    pending = await finder.pending(0, 10)
    renamed = Draft(entity_id="pg", entity_type="tool", name="other")
    await entities.put("", "pg", renamed, Condition())

    await finder.keep("m", [(pending[0], b"\1" * 256)])

    assert [one.entity.name for one in await finder.pending(0, 10)] == ["other"]


async def test_a_tenant_too_large_for_memory_is_searched_by_words(
    entities: Entities, finder: SearchStore, index: Index, drafts: tuple[Draft, ...]
) -> None:
    await entities.put_all("", drafts)
    await index()
    searches = Opening(finder, HashedWords(), memory=1000).searches()

    found = await searches.search("", Search(q="nginx"))
    again = await searches.search("", Search(q="nginx"))

    assert ids(found.items) == ["ngx"]
    assert again.degraded == ("vector",)


async def test_of_very_many_matches_the_named_come_first_and_then_the_youngest(
    entities: Entities, searches: Searches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "SCORED", 5)
    named = Draft(entity_id="named", entity_type="tool", name="the word")
    other = Draft(entity_id="other", entity_type="person", name="word")
    rest = tuple(
        Draft(entity_id=f"r{number}", entity_type="tool", attributes={"text": "a word"})
        for number in range(10)
    )
    await entities.put_all("else", (named,))
    await entities.put_all("", (named, other, *rest))

    found = await searches.search("", Search(q="word", mode="text", type="tool"))

    assert ids(found.items) == ["named", *(f"r{number}" for number in reversed(range(10)))]
    assert found.total == 11


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("pyhton", ["python3"]),
        ("ypthon3", ["python3"]),
        ("pytohn3 lib", ["python3"]),
        ("KUBERNETSE", ["kubernetes"]),
        ("pyhtno", []),
    ],
)
async def test_swapped_letters_are_found_where_nothing_else_is(
    entities: Entities, searches: Searches, index: Index, q: str, found: list[str]
) -> None:
    for name in ("python3", "kubernetes", "other"):
        text = f"the {name} lib with many other words that say what it is good for"
        draft = Draft(entity_id=name, entity_type="tool", attributes={"text": text})
        await entities.create("", draft)
    await index()

    hybrid = await searches.search("", Search(q=q))

    assert (ids(hybrid.items), hybrid.total) == (found, len(found))
    assert (await searches.search("", Search(q=q, mode="text"))).total == 0
