"""Tables in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Write a table whose first column is text and whose others are figures."""
    names = list(header)
    lines = [names, ["---"] + ["--:"] * (len(names) - 1), *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
