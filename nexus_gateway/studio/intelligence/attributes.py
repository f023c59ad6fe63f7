"""The words of an entity's attributes: what full-text search and vectors read of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

_decode = msgspec.json.Decoder(dict[str, object]).decode


def words_of(attributes: msgspec.Raw, most: int) -> str:
    """Join the texts within JSON, `most` characters of them; numbers and keys say little."""
    words: list[str] = []
    _collect_each(_decode(attributes).values(), words)
    return " ".join(words)[:most]


def _collect(value: object, words: list[str]) -> None:
    if isinstance(value, dict):
        _collect_each(cast("dict[str, object]", value).values(), words)
    elif isinstance(value, list):
        _collect_each(cast("list[object]", value), words)


def _collect_each(values: Iterable[object], words: list[str]) -> None:
    for value in values:
        # Most values are one text or number, for which a call each would cost the most.
        if isinstance(value, str):
            words.append(value)
        elif isinstance(value, dict | list):
            _collect(cast("object", value), words)
