"""Vectors without a model: the same always, near where texts are alike, for any text."""

from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from nexus_gateway.studio.intelligence.embedding.hashing import embed
from nexus_gateway.studio.intelligence.embedding.local import DIMENSIONS, HashedWords
from nexus_gateway.studio.intelligence.search.analyser import without_urls


def cosine(one: str, other: str) -> float:
    left, right = (np.frombuffer(vector, np.int8).astype(float) for vector in embed([one, other]))
    return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))


def test_a_text_has_the_same_vector_everywhere_and_always() -> None:
    # Stored vectors are compared with new ones: a change here is another model, with another name.
    (vector,) = embed(["Red hammer\ntool\nsteel: heavy, Größe 3"])

    assert hashlib.sha256(vector).hexdigest()[:16] == "176c9ff800983567"
    assert HashedWords.model == "hashed-words-256-2"


def test_alike_texts_are_nearer_than_others() -> None:
    floor = HashedWords.floor

    assert cosine("postgresql server", "postgersql server") > floor
    assert cosine("network analysis", "analysing networks") > floor
    assert cosine("red hammer", "hammer\nred") > 0.8
    assert cosine("red hammer", "Réd HAMMER") > 0.99
    assert abs(cosine("postgresql server", "picture of mountains")) < floor
    assert abs(cosine("the of and", "hammer")) < floor


def test_the_title_counts_most() -> None:
    text = "hammer\nblue round small"

    assert cosine("hammer", text) > cosine("blue", text)


def test_a_batch_gives_each_text_what_it_gets_alone() -> None:
    texts = ["a hammer", "", "größe\nx", "hammer " * 50, "漢字 検索"]

    assert embed(texts) == [embed([text])[0] for text in texts]


@given(st.lists(st.text(max_size=80), min_size=1, max_size=5))
@example(["A://", "see https://example.com"])
def test_any_text_has_a_vector(texts: list[str]) -> None:
    vectors = embed(texts)

    assert [len(vector) for vector in vectors] == [DIMENSIONS] * len(texts)
    for text, vector in zip(texts, vectors, strict=True):
        # A URL is no text: a thing that has only one is found by its id alone.
        assert any(vector) or not any(letter.isalnum() for letter in without_urls(text))
