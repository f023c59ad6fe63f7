"""The one analyser of search: it turns texts into terms, for indexing and for queries.

Both databases store and look up the terms that are made here, and neither analyses text itself, so
both find the same. A text is folded (case, marks, compatible forms and letters that are commonly
typed without their stroke), URLs are removed, and the rest is cut into terms:

- runs of letters, digits and vowel signs; `+`, `#` and `.` stay within a word (`c++`, `.net`,
  `node.js`, `1.2.3`), and the letters around them are terms too;
- words with hyphens, underscores or apostrophes become one term for each part, next to each other;
- scripts that are written without spaces become overlapping pairs, and the last character.

A change of what is made here needs a new `VERSION`: indexes are then rebuilt in the background.
"""

# ruff: noqa: RUF001, RUF002 - letters that look like others are what this folds

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

VERSION = 1
"""The version of the terms in an index."""
TERM_CHARACTERS_MAX = 64
"""Characters of a term; what is longer is cut, in texts and in queries."""
QUERY_PHRASES_MAX = 16
"""Phrases of a query that count."""
PHRASE_TERMS_MAX = 64
"""Terms of one phrase that count."""
BOUNDARY = "="
"""Stands between two values of a field, so that no phrase reaches across; never part of a term."""

BETWEEN = f" {BOUNDARY} "
_FOLD_CACHE_MAX = 16_384

# Letters with strokes and ligatures have no decomposition in Unicode.
_LETTERS = {
    "ı": "i",
    "ł": "l",
    "ø": "o",
    "đ": "d",
    "ð": "d",
    "ħ": "h",
    "ŧ": "t",
    "þ": "th",
    "æ": "ae",
    "œ": "oe",
    "ŋ": "n",
    "ĸ": "k",
    "ƒ": "f",
    "ɓ": "b",
    "ɗ": "d",
    "ɖ": "d",
    "ƙ": "k",
    "ɨ": "i",
    "ʉ": "u",
    "ƶ": "z",
    "ⱡ": "l",
    "ꞌ": "'",
    "’": "'",
    "‘": "'",
    "ʼ": "'",
    "‐": "-",
    "‑": "-",
    "−": "-",
    "ٱ": "ا",
    "ى": "ي",
    "ی": "ي",
    "ې": "ي",
    "ک": "ك",
    "ڪ": "ك",
    "ة": "ه",
    "ہ": "ه",
    "ە": "ه",
    "ـ": "",  # tatweel
    "\u093c": "",  # Devanagari nukta
    "\u200b": " ",  # zero-width space
    "\u00ad": "",  # soft hyphen
    "\u034f": "",  # combining grapheme joiner
    "\u061c": "",  # Arabic letter mark
}
_GENERAL_MARKS = (
    (0x0300, 0x08FF),
    (0x1AB0, 0x1AFF),
    (0x1DC0, 0x1DFF),
    (0x20D0, 0x20FF),
    (0xFE00, 0xFE0F),
    (0xFE20, 0xFE2F),
    (0xE0100, 0xE01EF),
)
_WITHIN = "+#.-_'"
_UNSPACED = re.compile(
    "(["
    "\u0e00-\u0eff"  # Thai and Lao
    "\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff"  # Myanmar
    "\u1780-\u17ff"  # Khmer
    "\u3005-\u3007\u3021-\u3029\u3040-\u30ff\u31f0-\u31ff"  # Hiragana and Katakana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U0001aff0-\U0001b16f\U00020000-\U0003ffff"  # Han
    "\uac00-\ud7a3"  # Hangul: words take endings, which pairs look past
    "]+)"
)
_URL = re.compile(r"\b[a-z][a-z0-9+.-]{0,20}://\S*|\bwww\.\S+", re.IGNORECASE)
_PARTS = re.compile(r"[-_']+")
_WORD = re.compile(r"\.?[^+#.]+(?:[+#.]+[^+#.]+)*[+#]{0,3}")
_INNER = re.compile(r"[+#.]+")
_ASCII = {
    code: (chr(code) if chr(code).isalnum() or chr(code) in _WITHIN else " ") for code in range(128)
}
# Hyphens matter only in queries, where the parts of a word must stand next to each other.
_JOINED = str.maketrans("-_'", "   ")
_ASCII_TERMS = bytes(ord(_ASCII[code].lower().translate(_JOINED)) for code in range(128)).ljust(256)


class Phrase(msgspec.Struct, frozen=True):
    """Terms that stand next to each other; the last may be only the beginning of one."""

    terms: tuple[str, ...]
    prefix: bool = False


def fold(text: str) -> str:
    """Fold a text: lower case, without marks, each letter in its plainest form.

    >>> fold("Łódź İğdır Hauptstraße")
    'lodz igdir hauptstrasse'
    """
    if text.isascii():
        return text.lower()
    # Once more after folding: a capital may become a letter that decomposes, or a small one.
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    folded = decomposed.translate(_FOLDS)
    return unicodedata.normalize("NFC", folded)


def key(text: str) -> str:
    """Name what an id or a name is compared by, as a term that no text has.

    >>> key("Node.JS") == key(" node.js ") != key("nodejs")
    True
    """
    plain = " ".join(fold(text).split())
    content = plain.encode() if plain.isascii() else plain.encode("utf-8", "surrogatepass")
    digest = blake2b(content, digest_size=8)
    return BOUNDARY + digest.hexdigest()


def terms(text: str) -> str:
    """Cut a text into the terms that it is found by, a space between two.

    >>> terms("C++ and apt-get, see https://example.com/x.")
    'c++ c and apt get see'
    >>> terms("中华人民")
    '中华 华人 人民 民'
    """
    text = without_urls(text)
    # Most texts are plain words: they are terms as they are, which makes imports cheap.
    if text.isascii():
        words = text.encode().translate(_ASCII_TERMS).decode()
        return " ".join(
            [
                word if word.isalnum() and len(word) <= TERM_CHARACTERS_MAX else _indexed(word)
                for word in words.split()
            ]
        )
    words = fold(text).translate(_SEPARATORS).translate(_JOINED)
    return " ".join(
        [
            word
            if word.isascii() and word.isalnum() and len(word) <= TERM_CHARACTERS_MAX
            else _indexed(word)
            for word in words.split()
        ]
    )


def joined_terms(values: Sequence[str]) -> str:
    """Cut values into terms, with a boundary between two.

    >>> joined_terms(("a-b", "c"))
    'a b = c'
    """
    return BETWEEN.join([_short_terms(value) for value in values])


_short_terms = lru_cache(maxsize=4096)(terms)
"""Tags, and parts of names, repeat."""


def phrases(text: str) -> list[Phrase]:
    """Read a query: all phrases are needed, and the last word may be a beginning.

    >>> phrases("c++ apt-ge")
    [Phrase(terms=('c++',), prefix=False), Phrase(terms=('apt', 'ge'), prefix=True)]
    >>> phrases("国")
    [Phrase(terms=('国',), prefix=True)]
    """
    found: list[Phrase] = []
    for chunk in _chunks(text):
        for run, unspaced in _runs(chunk):
            if unspaced:
                pairs = _pairs(run)[: PHRASE_TERMS_MAX + 1]
                # The last character alone is in the index only where a run ends.
                found.append(Phrase(tuple(pairs[:-1] or pairs), prefix=len(run) == 1))
            elif words := _words(run)[:PHRASE_TERMS_MAX]:
                found.append(Phrase(tuple(words)))
    # Said twice is said once; the last one of them may be a beginning.
    found = list(dict.fromkeys(found))[:QUERY_PHRASES_MAX]
    if found and not _UNSPACED.fullmatch(found[-1].terms[-1]):
        found[-1] = Phrase(found[-1].terms, prefix=True)
    return found


def without_urls(text: str) -> str:
    """Remove the URLs of a text.

    >>> without_urls("see https://example.com/a?b now")
    'see   now'
    """
    if "://" in text or ("." in text and "www." in text.lower()):
        return _URL.sub(" ", text)
    return text


def _chunks(text: str) -> list[str]:
    """Cut a folded text at all that is neither of a word nor may stand within one."""
    text = without_urls(text)
    if text.isascii():
        return text.lower().translate(_ASCII).split()
    return fold(text).translate(_SEPARATORS).split()


@lru_cache(maxsize=16_384)
def _indexed(chunk: str) -> str:
    """Give the terms of a chunk: its words next to each other, then what they are made of."""
    found: list[str] = []
    for run, unspaced in _runs(chunk):
        if unspaced:
            found += _pairs(run)
            continue
        for word in _words(run):
            found.append(word)
            inner = [part for part in _INNER.split(word) if part and part != word]
            found += [part for part in inner if not part.isdigit()]
    return " ".join(found)


def _runs(chunk: str) -> Iterator[tuple[str, bool]]:
    """Tell the runs of scripts with spaces and of those without."""
    for place, run in enumerate(_UNSPACED.split(chunk)):
        if run:
            yield run, place % 2 == 1


def _pairs(run: str) -> list[str]:
    return [run[place : place + 2] for place in range(len(run))]


def _words(run: str) -> list[str]:
    words: list[str] = []
    for part in _PARTS.split(run):
        word = _WORD.search(part.lstrip("+#"))
        if word is None:
            continue
        found = word.group()
        # A full stop begins a name (`.net`), but neither a number nor the rest of an ellipsis.
        begins = part.startswith(".") and not part.startswith("..") and found[1:2].isalpha()
        words.append((found if begins else found.lstrip("."))[:TERM_CHARACTERS_MAX])
    return [word for word in words if word]


class _Folds(dict[int, str]):
    """What each code point becomes; looked up in Unicode's tables once for each."""

    def __missing__(self, code: int) -> str:
        folded = _folded(chr(code))
        if len(self) < _FOLD_CACHE_MAX:
            self[code] = folded
        return folded


class _Separators(dict[int, str]):
    """Each code point of a word as itself, the others as a space."""

    def __missing__(self, code: int) -> str:
        letter = chr(code)
        within = letter in _WITHIN or unicodedata.category(letter)[0] in "LNM"
        separated = letter if within else " "
        if len(self) < _FOLD_CACHE_MAX:
            self[code] = separated
        return separated


def _folded(letter: str) -> str:
    if letter in _LETTERS:
        return _LETTERS[letter]
    code = ord(letter)
    category = unicodedata.category(letter)
    general = any(first <= code <= last for first, last in _GENERAL_MARKS)
    # Thaana's vowel signs are in that range and combine with nothing: they stay.
    if category in {"Mn", "Me"} and general and (code >= 0x0900 or unicodedata.combining(letter)):
        return ""
    if category == "Cf":
        return ""
    if category in {"Cc", "Cs"}:
        return " "
    if category == "Nd":
        return str(unicodedata.digit(letter))
    return letter


_FOLDS = _Folds()
_SEPARATORS = _Separators()
