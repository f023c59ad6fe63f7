"""The analyser: what texts in many scripts become, for an index and for a query alike."""

# ruff: noqa: RUF001 - letters that look like others are what this tests

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_gateway.studio.intelligence.search.analyser import (
    PHRASE_TERMS_MAX,
    QUERY_PHRASES_MAX,
    TERM_CHARACTERS_MAX,
    Phrase,
    fold,
    key,
    phrases,
    terms,
)

TEXTS = st.text(st.characters(), max_size=80)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Łódź", "lodz"),
        ("Iğdır İSTANBUL", "igdir istanbul"),
        ("Hauptstraße STRASSE ẞ", "hauptstrasse strasse ss"),
        ("Ærøskøbing Œuvre Þór ð Đ", "aeroskobing oeuvre thor d d"),
        ("ὈΔΥΣΣΕΎΣ Οδυσσεύς", "οδυσσευσ οδυσσευσ"),
        ("Ёлка елка", "елка елка"),
        ("שָׁלוֹם", "שלום"),
        ("مُحَمَّد أحمد إلى مـحمد", "محمد احمد الي محمد"),
        ("فارسی", "فارسي"),
        ("Ｐｙｔｈｏｎ３ ﬁ", "python3 fi"),
        ("हिन्दी", "हिन्दी"),
        ("ｶﾞｶﾞ", "ガガ"),
        ("한국어", unicodedata.normalize("NFC", "한국어")),
        ("٣٤", "34"),
    ],
)
def test_letters_are_folded(text: str, folded: str) -> None:
    assert fold(text) == folded


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("C++, c# and F#.", ["c++", "c", "c#", "c", "and", "f#", "f"]),
        (".NET Node.js", [".net", "net", "node.js", "node", "js"]),
        ("libstdc++6 at 1.2.3.", ["libstdc++6", "libstdc", "at", "1.2.3"]),
        ("the end. Next...and", ["the", "end", "next...and", "next", "and"]),
        ("apt-get foo_bar don't", ["apt", "get", "foo", "bar", "don", "t"]),
        ("#tag +1 .5 ...x", ["tag", "1", "5", "x"]),
        ("see https://a.example/b?c=d and www.example.org/x", ["see", "and"]),
        ("共和国", ["共和", "和国", "国"]),
        ("Python入門", ["python", "入門", "門"]),
        ("𠀀𠀁", ["𠀀𠀁", "𠀁"]),
        ("ไทย", ["ไท", "ทย", "ย"]),
        ("+ # . - _ ' = ()", []),
    ],
)
def test_texts_are_cut_into_terms(text: str, found: list[str]) -> None:
    assert terms(text).split() == found


def test_the_last_word_of_a_query_may_be_a_beginning_and_pairs_stand_together() -> None:
    assert phrases("apt-get 共和国 ab") == [
        Phrase(("apt", "get")),
        Phrase(("共和", "和国")),
        Phrase(("ab",), prefix=True),
    ]
    assert phrases("国") == [Phrase(("国",), prefix=True)]


@given(TEXTS)
def test_terms_hold_nothing_that_a_database_reads_as_syntax(text: str) -> None:
    asked = [term for phrase in phrases(text) for term in phrase.terms]

    for term in (*terms(text).split(), *asked):
        assert 0 < len(term) <= TERM_CHARACTERS_MAX
        assert not set(term) & set(" \"\\'*()=:\0\n&|!<>-_"), term
        term.encode()


@given(TEXTS)
def test_folding_is_stable_whatever_the_form(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert terms(unicodedata.normalize("NFC", text)) == terms(unicodedata.normalize("NFD", text))
    assert key(unicodedata.normalize("NFD", text)) == key(text)


@given(TEXTS)
def test_a_text_is_found_by_itself(text: str) -> None:
    joined = f" {terms(text)} "

    for phrase in phrases(text):
        end = "" if phrase.prefix else " "
        found = f" {' '.join(phrase.terms)}{end}" in joined
        # A word with words within it parts a phrase only where its parts follow each other.
        assert found or len(phrase.terms) > 1


@given(st.text(max_size=4000))
def test_queries_are_bounded(text: str) -> None:
    asked = phrases(text)

    assert len(asked) <= QUERY_PHRASES_MAX
    assert all(len(phrase.terms) <= PHRASE_TERMS_MAX for phrase in asked)
