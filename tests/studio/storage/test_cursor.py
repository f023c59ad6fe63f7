"""Cursors: only the query that gave one out takes it back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_gateway.studio.storage import cursor

POSITIONS = st.lists(
    st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False), max_size=4
).map(tuple)


@given(POSITIONS, st.text())
def test_a_cursor_gives_back_its_position(position: tuple[float | int, ...], query: str) -> None:
    assert cursor.read(cursor.write(position, query), query) == position


@given(POSITIONS, st.text(), st.text())
def test_a_cursor_is_refused_by_another_query(
    position: tuple[float | int, ...], query: str, other: str
) -> None:
    text = cursor.write(position, query)

    if query != other:
        with pytest.raises(cursor.BadCursor):
            cursor.read(text, other)


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(cursor.BadCursor):
        cursor.read(text, "query")


@given(POSITIONS, st.data())
def test_an_edited_cursor_is_refused_or_says_the_same(
    position: tuple[float | int, ...], data: st.DataObject
) -> None:
    text = cursor.write(position, "query")
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from("ABCxyz019-_"))
    edited = text[:place] + letter + text[place + 1 :]

    # The last letter of base64 has bits that mean nothing; nothing else may change.
    try:
        assert cursor.read(edited, "query") == position
    except cursor.BadCursor:
        assert edited != text
