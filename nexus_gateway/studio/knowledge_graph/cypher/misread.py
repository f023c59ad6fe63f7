"""What is wrong with a query, and where; the room's errors say it by line and column."""

from __future__ import annotations


class Misread(Exception):  # noqa: N818 - what is said, not what failed
    """Say what was expected and what was found at a place of a query."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at = at


class Writes(Misread):
    """Say which clause would change something, or call what may."""

    def __init__(self, at: int, clause: str) -> None:
        super().__init__(at, f"a query reads only: {clause} is refused")
        self.clause = clause


def place(text: str, at: int) -> tuple[int, int]:
    r"""Tell the line and the column of a place, both from 1.

    >>> place("MATCH (n)\nRETURN m", 17)
    (2, 8)
    """
    before = text[:at]
    return before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1
