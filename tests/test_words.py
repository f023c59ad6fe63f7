"""Names of code use standard terms; `checks/words.py` finds those that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from checks import words

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "term"),
    [
        ("Sitting", "socket_session"),
        ("_sitting", "socket_session"),
        ("read_kept_rows", "stored, retained"),
        ("KEPT_SECONDS", "stored, retained"),
        ("tokenTold", "notified, published, reported, snapshot"),
        ("Place", "Slot"),
        ("place", None),
        ("marketplace", None),
        ("SocketSession", None),
        ("what_was_told_is_in_the_history", None),
    ],
)
def test_a_name_is_compared_word_by_word(name: str, term: str | None) -> None:
    assert words.standard_term(name) == term


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("a.py", '"""Kept, told."""\nkept = "told"  # Sitting\n'),
        ("a.rs", '// Sitting\nlet kept = "told"; /* told */\n'),
        ("a.ts", "// Sitting\nconst kept = `told`;\n"),
    ],
)
def test_names_are_found_and_neither_comments_nor_texts(
    file: str, text: str, tmp_path: Path
) -> None:
    path = tmp_path / file
    path.write_text(text)

    found = [(line, name) for line, name in words.names(path) if words.standard_term(name)]

    assert found == [(2, "kept")]


def test_the_code_has_no_further_names_and_the_list_holds_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    listed = [line for line in words.LEFT.read_text().splitlines() if not line.startswith("#")]

    assert words.main([]) == 0, capsys.readouterr().out
    assert listed == sorted(set(listed))
    assert [name for name in listed if words.standard_term(name) is None] == []
