"""Refuse files and functions that are larger than STYLE.md allows.

    python checks/sizes.py        names them; used by `make check`

Files that were larger before the rule are in `sizes_left.txt`, each by its last two parts, so that
it may move. What Rust functions may have is checked by clippy, arguments and branches by ruff.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
LEFT = Path(__file__).with_name("sizes_left.txt")
FOLDERS = ("nexus_gateway", "core", "bind", "clients", "dashboard", "examples", "checks", "docs")
OTHER_FOLDERS = {"node_modules", "dist", "target", "tests", "test"}
FILE_LINES_MAX = 600
"""Without the unit tests at the end of a file of Rust."""
FUNCTION_LINES_MAX = 60
"""Of a function in Python without its docstring, except one that only lists."""


def large_functions(text: str) -> Iterator[tuple[int, str, int]]:
    r"""Give the line, the name and the size of each function that is too large.

    >>> list(large_functions("def f():" + "\n    pass" * 61))
    [(1, 'f', 62)]
    """
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        docstring = (ast.get_docstring(node, clean=False) or "").count("\n")
        lines = (node.end_lineno or node.lineno) - node.lineno + 1 - docstring
        # A table of one expression is read as such, whatever its length.
        if lines > FUNCTION_LINES_MAX and not isinstance(node.body[-1], ast.Return):
            yield node.lineno, node.name, lines


def main() -> int:
    """Print what is too large."""
    left = set(LEFT.read_text().splitlines())
    problems: list[str] = []
    for path in sorted(one for folder in FOLDERS for one in (ROOT / folder).rglob("*")):
        place = path.relative_to(ROOT)
        if path.suffix not in {".py", ".rs", ".ts"} or OTHER_FOLDERS & set(place.parts):
            continue
        text = path.read_text()
        lines = text.partition("\n#[cfg(test)]\nmod tests {")[0].count("\n")
        if lines > FILE_LINES_MAX and "/".join(place.parts[-2:]) not in left:
            problems.append(f"{place}: {lines} lines, at most {FILE_LINES_MAX}")
        if path.suffix == ".py":
            problems += [
                f"{place}:{line}: `{name}` has {size} lines, at most {FUNCTION_LINES_MAX}"
                for line, name, size in large_functions(text)
            ]
    sys.stdout.write("".join(f"{problem}\n" for problem in problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
