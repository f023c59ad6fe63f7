"""The catalogue agrees with plain Python, whatever was changed in whatever order."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nexus_gateway.studio.intelligence.search.catalogue import Catalogue
from nexus_gateway.studio.intelligence.search.store import Seen

TAGS = ("x", "y", "z")
KINDS = ("tool", "person")
vectors = st.none() | st.binary(min_size=4, max_size=4)
entities = st.builds(
    Seen,
    number=st.integers(1, 60),
    entity_type=st.none() | st.sampled_from(KINDS),
    tags=st.sampled_from(["[]", '["x"]', '["y","x"]', '["z","y","x"]']),
    vector=vectors,
)


def known(changes: list[list[Seen]]) -> tuple[Catalogue, dict[int, Seen]]:
    catalogue = Catalogue()
    state: dict[int, Seen] = {}
    for part in changes:
        catalogue.apply(part)
        state |= {one.number: one for one in part}
    return catalogue, {n: state[n] for n in sorted(state) if state[n].entity_type is not None}


@settings(max_examples=200)
@given(st.lists(st.lists(entities, max_size=20), max_size=8))
def test_it_knows_numbers_types_and_tags(changes: list[list[Seen]]) -> None:
    catalogue, state = known(changes)
    everything = catalogue.everything()

    assert catalogue.numbers(everything).tolist() == list(state)
    for kind in (None, *KINDS, "none"):
        for tags in ((), ("x",), ("x", "z"), ("none",)):
            expected = [
                number
                for number, one in state.items()
                if kind in (None, one.entity_type) and all(f'"{tag}"' in one.tags for tag in tags)
            ]
            narrowed = catalogue.narrowed(everything, kind, tags)
            assert catalogue.numbers(narrowed).tolist() == expected
    totals = {tag: sum(f'"{tag}"' in one.tags for one in state.values()) for tag in TAGS}
    counted = {one.value: one.count for one in catalogue.tags(everything, 10)}
    assert counted == {tag: total for tag, total in totals.items() if total}
    for number, one in state.items():
        own = {tag: totals[tag] for tag in TAGS if f'"{tag}"' in one.tags}
        assert catalogue.tag_totals(number) == own
    assert catalogue.pending == sum(one.vector is None for one in state.values())


@settings(max_examples=200)
@given(st.lists(st.lists(entities, max_size=20), max_size=5), st.binary(min_size=4, max_size=4))
def test_it_finds_the_nearest_of_all(changes: list[list[Seen]], asked: bytes) -> None:
    catalogue, state = known(changes)
    wanted = np.frombuffer(asked, np.int8).astype(float)
    cosines: dict[int, float] = {}
    for number, one in state.items():
        if one.vector is not None and any(one.vector) and any(asked):
            vector = np.frombuffer(one.vector, np.int8).astype(float)
            lengths = np.linalg.norm(vector) * np.linalg.norm(wanted)
            cosines[number] = float(vector @ wanted / lengths)

    found = catalogue.nearest(asked, catalogue.everything(), 5, 0.5)

    expected = sorted((one for one in cosines.values() if one >= 0.5), reverse=True)[:5]
    assert [round(cosine, 3) for _, cosine in found] == [round(one, 3) for one in expected]
    assert all(abs(cosines[number] - cosine) < 1e-3 for number, cosine in found)


@given(st.lists(entities, max_size=30))
def test_it_weighs_what_is_shared(part: list[Seen]) -> None:
    catalogue, state = known([part])
    weights = {"x": 0.5, "z": 0.25}

    found = catalogue.sharing(weights, 7, catalogue.everything(), 100)

    sums = {
        number: sum(weight for tag, weight in weights.items() if f'"{tag}"' in one.tags)
        for number, one in state.items()
        if number != 7
    }
    assert dict(found) == {number: total for number, total in sums.items() if total}
    assert found == sorted(found, key=lambda pair: (-pair[1], -pair[0]))


def test_many_changes_of_one_list_take_no_more_room() -> None:
    catalogue = Catalogue()
    for turn in range(5000):
        catalogue.apply([Seen(1, "tool", f'["t{turn % 3}", "x"]', None)])

    assert catalogue.size < 200_000
    assert catalogue.tag_totals(1) == {"t1": 1, "x": 1}
