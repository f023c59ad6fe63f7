"""Recommendations upon each store: what is alike, and the ways that lead to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nexus_gateway.studio.intelligence.embedding.local import HashedWords
from nexus_gateway.studio.intelligence.models import Draft
from nexus_gateway.studio.intelligence.search.models import Link, Recommendations
from nexus_gateway.studio.intelligence.search.neighbourhood import NONE
from nexus_gateway.studio.intelligence.search.opening import Opening
from tests.studio.intelligence.search.test_hybrid import Broken, Written

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nexus_gateway.studio.intelligence.search.neighbourhood import Neighbourhood
    from nexus_gateway.studio.intelligence.search.store import SearchStore
    from nexus_gateway.studio.intelligence.service import Entities


def draft(entity_id: str, *tags: str, name: str | None = None) -> Draft:
    return Draft(entity_id=entity_id, entity_type="tool", name=name, tags=tags)


async def recommended(
    finder: SearchStore, entities: Entities, graph: Neighbourhood = NONE, *, limit: int = 10
) -> Recommendations:
    entity = await entities.get("", "a")
    return await Opening(finder, HashedWords(), graph).recommender().recommend("", entity, limit)


async def test_a_rare_shared_tag_counts_more_than_a_common_one(
    entities: Entities, finder: SearchStore
) -> None:
    crowd = [draft(f"d{number}", "common") for number in range(20)]
    apart = (draft("a", "common", "rare"), draft("b", "common"), draft("c", "rare"))
    await entities.put_all("", (*apart, *crowd, draft("e", "else")))

    found = (await recommended(finder, entities, limit=3)).items

    assert [one.entity.entity_id for one in found[:1]] == ["c"]
    assert found[0].because[0].kind == "shared_tag"
    assert found[0].because[0].path == ("a", "tag:rare", "c")
    assert found[0].score > found[1].score
    assert len(found) == 3


async def test_edges_and_shared_neighbours_are_ways_of_their_own(
    entities: Entities, finder: SearchStore
) -> None:
    await entities.put_all("", tuple(draft(name) for name in ("a", "b", "c", "middle", "far")))
    graph = Written(
        Link("a", "uses", "middle"),
        Link("c", "uses", "middle"),
        Link("b", "replaces", "a"),
        Link("far", "uses", "c"),
    )

    answer = await recommended(finder, entities, graph)

    ways = {one.entity.entity_id: [way.path for way in one.because] for one in answer.items}
    assert ways == {
        "middle": [("a", "uses", "middle")],
        "b": [("a", "<-replaces-", "b")],
        "c": [("a", "uses", "middle", "<-uses-", "c")],
    }
    edges = {one.entity.entity_id: [way.edges for way in one.because] for one in answer.items}
    assert edges == {
        "middle": [(Link("a", "uses", "middle"),)],
        "b": [(Link("b", "replaces", "a"),)],
        "c": [(Link("a", "uses", "middle"), Link("c", "uses", "middle"))],
    }
    assert answer.items[-1].entity.entity_id == "c"


async def test_edges_in_both_directions_are_both_reasons(
    entities: Entities, finder: SearchStore
) -> None:
    await entities.put_all("", (draft("a"), draft("b")))
    graph = Written(Link("b", "uses", "a"), Link("a", "uses", "b"), Link("a", "uses", "a"))

    (found,) = (await recommended(finder, entities, graph)).items

    assert {way.path for way in found.because} == {("a", "uses", "b"), ("a", "<-uses-", "b")}


async def test_similar_text_is_a_reason(
    entities: Entities, finder: SearchStore, index: Callable[[], Awaitable[None]]
) -> None:
    await entities.put_all(
        "", (draft("a", name="red hammer"), draft("b", name="red hammers"), draft("c", name="pot"))
    )
    await index()

    found = (await recommended(finder, entities)).items

    assert [one.entity.entity_id for one in found] == ["b"]
    assert [way.kind for way in found[0].because] == ["similar_text"]
    assert found[0].score == pytest.approx(found[0].parts.text)


async def test_parts_make_the_score(
    entities: Entities, finder: SearchStore, index: Callable[[], Awaitable[None]]
) -> None:
    await entities.put_all("", (draft("a", "x", name="hammer"), draft("b", "x", name="hammer")))
    await index()

    found = (await recommended(finder, entities, Written(Link("a", "uses", "b")))).items[0]

    assert {way.kind for way in found.because} == {"shared_tag", "edge", "similar_text"}
    assert found.score == pytest.approx(found.parts.tags + found.parts.graph + found.parts.text)
    assert 0 < found.score <= 1


async def test_nothing_alike_is_no_recommendation(entities: Entities, finder: SearchStore) -> None:
    await entities.put_all("", (draft("a"), draft("b", "x")))

    assert (await recommended(finder, entities)).items == ()


async def test_without_the_graph_the_rest_recommends(
    entities: Entities, finder: SearchStore
) -> None:
    await entities.put_all("", (draft("a", "x"), draft("b", "x")))

    answer = await recommended(finder, entities, Broken())

    assert [one.entity.entity_id for one in answer.items] == ["b"]
    assert answer.degraded == ("graph",)
