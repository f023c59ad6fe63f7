"""A query's text as tokens: words, numbers, texts and signs, each with its place."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import msgspec

from nexus_gateway.studio.knowledge_graph.cypher.misread import Misread

Sort: TypeAlias = Literal["word", "quoted", "number", "text", "parameter", "sign", "end"]


class Token(msgspec.Struct, frozen=True):
    """One token.

    Attributes:
        sort: what it is; a `quoted` word stood between backquotes and is never a keyword.
        text: a word, a sign or a parameter's name; a text without its quotes and escapes.
        value: of a number.
        at: where it begins in the query, `end` where it ends.
        keyword: a word in upper case, by which keywords are known; else empty.
    """

    sort: Sort
    text: str
    at: int
    end: int
    value: int | float = 0
    keyword: str = ""

    @property
    def shown(self) -> str:
        """What a message calls it."""
        match self.sort:
            case "end":
                return "the end of the query"
            case "text":
                return "a text"
            case "number":
                return f"the number {self.text}"
            case _:
                return f"'{self.text[:40]}'"


_SKIPPED = re.compile(r"(?:\s+|//[^\n]*|/\*.*?\*/)+", re.DOTALL)
_WORD = re.compile(r"[^\W\d]\w*")
_NUMBER = re.compile(
    r"0x(?P<hex>[0-9a-fA-F]+)|0o(?P<octal>[0-7]+)"
    r"|(?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)|(?P<whole>\d+)"
)
_QUOTED = re.compile(r"`((?:[^`]|``)*)`")
_TEXT = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_SIGN = re.compile(r"<=|>=|<>|=~|\.\.|\+=|[()\[\]{}<>=+\-*/%^.,:;|&!]")
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"} | {
    same: same for same in "'\"\\`"
}

TOKENS = 4_000
"""Words, signs and values of one query; long lists are better given as parameters."""
WIDEST = 1 << 63
"""The first number that is too large for 64 bits."""


def tokens(text: str) -> list[Token]:
    """Read a query as tokens; the last one is its end.

    Raises:
        Misread: something in it is none.
    """
    found: list[Token] = []
    at = 0
    while True:
        skipped = _SKIPPED.match(text, at)
        at = at if skipped is None else skipped.end()
        if at == len(text):
            found.append(Token("end", "", at, at))
            return found
        if len(found) == TOKENS:
            raise Misread(at, f"expected no more than {TOKENS:,} words and signs: use parameters")
        found.append(_token(text, at))
        at = found[-1].end


def _token(text: str, at: int) -> Token:
    match text[at]:
        case "'" | '"':
            return _text(text, at)
        case "`":
            name, end = _quoted(text, at)
            return Token("quoted", name, at, end)
        case "$":
            return _parameter(text, at)
        case _:
            pass
    if word := _WORD.match(text, at):
        return Token("word", word[0], at, word.end(), keyword=word[0].upper())
    if text[at].isdigit() or (text[at] == "." and text[at + 1 : at + 2].isdigit()):
        return _number(text, at)
    sign = _SIGN.match(text, at)
    if sign is None:
        raise Misread(at, f"expected a part of a query, found {text[at]!r}")
    return Token("sign", sign[0], at, sign.end())


def _text(text: str, at: int) -> Token:
    found = _TEXT.match(text, at)
    if found is None:
        raise Misread(at, "a text has no end: expected its closing quote")
    inner = found[1] if found[1] is not None else found[2]

    def unescaped(escape: re.Match[str]) -> str:
        code = escape[1]
        if code[0] in "uU" and len(code) > 1:
            return _character(int(code[1:], 16), at + 1 + escape.start())
        if code not in _ESCAPES:
            where = at + 1 + escape.start()
            raise Misread(where, f"expected an escape such as \\n or \\u0041, found {escape[0]!r}")
        return _ESCAPES[code]

    return Token("text", _ESCAPE.sub(unescaped, inner), at, found.end())


def _character(code: int, at: int) -> str:
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise Misread(at, f"expected a character, found the code {code:#x}, which is none")
    return chr(code)


def _quoted(text: str, at: int) -> tuple[str, int]:
    found = _QUOTED.match(text, at)
    if found is None:
        raise Misread(at, "a name has no end: expected its closing backquote")
    if not found[1]:
        raise Misread(at, "expected a name between the backquotes")
    return found[1].replace("``", "`"), found.end()


def _parameter(text: str, at: int) -> Token:
    if text[at + 1 : at + 2] == "`":
        name, end = _quoted(text, at + 1)
        return Token("parameter", name, at, end)
    found = re.compile(r"\w+").match(text, at + 1)
    if found is None:
        raise Misread(at, "expected a parameter's name after '$'")
    return Token("parameter", found[0], at, found.end())


def _number(text: str, at: int) -> Token:
    found = _NUMBER.match(text, at)
    follows = "" if found is None else text[found.end() : found.end() + 1]
    if found is None or follows.isalnum() or follows == "_":
        raise Misread(at, "expected a number such as 1, 1.5 or 0x1F")
    value: int | float
    match found.lastgroup:
        case "hex":
            value = int(found["hex"], 16)
        case "octal":
            value = int(found["octal"], 8)
        case "float":
            value = float(found[0])
        case _:
            value = _whole(found[0], at)
    # One more than the largest is read, as it is the smallest after a minus.
    if (isinstance(value, int) and value > WIDEST) or value == float("inf"):
        raise Misread(at, "expected a number of 64 bits")
    return Token("number", found[0], at, found.end(), value)


def _whole(text: str, at: int) -> int:
    if len(text) > 20:
        raise Misread(at, "expected a number of 64 bits")
    if not text.isascii():
        raise Misread(at, "expected a number of the digits 0 to 9")
    return int(text)
