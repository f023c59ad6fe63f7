"""Cursors of searches carry the order of the best, and only for their own search."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_gateway.studio.intelligence.search.fusion import Ranked
from nexus_gateway.studio.intelligence.search.window import BadWindow, Window, read, write

ranks = st.integers(0, 100)
ranked = st.builds(Ranked, st.integers(0, 1 << 40), ranks, ranks, ranks)
windows = st.builds(
    Window,
    best=st.lists(ranked, max_size=220).map(tuple),
    told=st.integers(0, 220),
    before=st.integers(0, 1 << 62),
    total=st.integers(0, 1 << 40),
)


@given(windows)
def test_a_cursor_is_read_as_it_was_written(window: Window) -> None:
    assert read(write(window, ["q", "word"]), ["q", "word"]) == window


def test_the_longest_cursor_fits_its_field() -> None:
    best = tuple(Ranked((1 << 40) + number, 100, 100, 20) for number in range(220))

    assert len(write(Window(best, 220, 1 << 62, 1 << 40), "")) <= 4096


@given(windows, st.data())
def test_a_cursor_that_was_changed_is_refused(window: Window, data: st.DataObject) -> None:
    cursor = write(window, "")
    place = data.draw(st.integers(0, len(cursor) - 2))
    letter = data.draw(st.sampled_from("AZaz09-_ä=").filter(lambda one: one != cursor[place]))

    with pytest.raises(BadWindow):
        read(cursor[:place] + letter + cursor[place + 1 :], "")


@given(st.text(max_size=100))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(BadWindow):
        read(text, "")
