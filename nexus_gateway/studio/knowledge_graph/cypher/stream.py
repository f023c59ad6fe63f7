"""Tokens as the parsers take them, one after the other; what differs is said with its place."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from nexus_gateway.studio.knowledge_graph.cypher.misread import Misread
from nexus_gateway.studio.knowledge_graph.cypher.tokens import tokens

if TYPE_CHECKING:
    from collections.abc import Generator

    from nexus_gateway.studio.knowledge_graph.cypher.tokens import Token

NESTED = 40
"""How deep brackets and the like may stand in one another."""


class Stream:
    """Where reading is within a text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = tokens(text)
        self.position = 0
        self._depth = 0

    @property
    def now(self) -> Token:
        """The token that is next."""
        return self._tokens[self.position]

    def ahead(self, count: int = 1) -> Token:
        """The token after the next."""
        return self._tokens[min(self.position + count, len(self._tokens) - 1)]

    def take(self) -> Token:
        """Take the next token, whatever it is."""
        token = self.now
        if token.sort != "end":
            self.position += 1
        return token

    def is_sign(self, *signs: str) -> bool:
        """Say whether the next token is one of some signs."""
        return self.now.sort == "sign" and self.now.text in signs

    def is_word(self, *keywords: str) -> bool:
        """Say whether the next token is one of some keywords."""
        return self.now.sort == "word" and self.now.keyword in keywords

    def skip_sign(self, *signs: str) -> bool:
        """Take the next token if it is one of some signs."""
        if self.is_sign(*signs):
            self.position += 1
            return True
        return False

    def skip_word(self, *keywords: str) -> bool:
        """Take the next token if it is one of some keywords."""
        if self.is_word(*keywords):
            self.position += 1
            return True
        return False

    def sign(self, sign: str) -> Token:
        """Take a sign.

        Raises:
            Misread: another token is next.
        """
        if not self.is_sign(sign):
            self.refuse(f"'{sign}'")
        return self.take()

    def word(self, keyword: str) -> Token:
        """Take a keyword.

        Raises:
            Misread: another token is next.
        """
        if not self.is_word(keyword):
            self.refuse(keyword)
        return self.take()

    def name(self, what: str) -> str:
        """Take a name.

        Raises:
            Misread: another token is next.
        """
        if self.now.sort not in ("word", "quoted"):
            self.refuse(what)
        return self.take().text

    def refuse(self, expected: str) -> NoReturn:
        """Say what was expected in the place of the next token."""
        raise Misread(self.now.at, f"expected {expected}, found {self.now.shown}")

    @contextmanager
    def deeper(self) -> Generator[None]:
        """Read what stands within something, but not without end.

        Raises:
            Misread: too much stands in one another.
        """
        self._depth += 1
        if self._depth > NESTED:
            raise Misread(self.now.at, f"expected no more than {NESTED} levels of brackets")
        try:
            yield
        finally:
            self._depth -= 1
