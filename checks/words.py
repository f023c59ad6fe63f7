"""Refuse words in names of code that `docs/glossary.md` and STYLE.md replace by standard terms.

    python checks/words.py            names the places; used by `make check`
    python checks/words.py --shrink   takes names that are gone out of the list of those left

Names that were there before the rule are in `words_left.txt`, which only gets shorter.
"""

from __future__ import annotations

import io
import re
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
LEFT = Path(__file__).with_name("words_left.txt")
FOLDERS = ("nexus_gateway", "core", "bind", "clients", "dashboard", "examples", "checks")
OTHER_FOLDERS = {"node_modules", "dist", "target", "tests", "fuzz"}
SENTENCE_WORDS = 5
"""A name of so many words is the sentence that a test proves, and not the name of a thing."""

ANYWHERE = {
    "anew": "again",
    "asker": "caller",
    "bringing": "ingest_runner",
    "bury": "soft_delete",
    "dressed": "prepared_response",
    "figures": "metrics",
    "kept": "stored, retained",
    "ledger": "rate_limiter",
    "longest": "what it bounds, with its unit: CURSOR_BYTES_MAX",
    "misread": "syntax_error",
    "patience": "what it bounds, with its unit: WRITE_TIMEOUT_S",
    "perhaps": "optional_group",
    "seat": "connection_handle",
    "sitting": "socket_session",
    "strikes": "violations",
    "told": "notified, published, reported, snapshot",
    "touched": "pending_wakes",
    "whoever": "what it is: subscriber, client, caller",
}
"""Words that no name contains."""
WHOLE_NAMES = {
    "Admitted": "Matched",
    "Awaited": "AndThen",
    "Away": "Disconnected",
    "Both": "And",
    "Calling": "PendingCall",
    "Choose": "Select",
    "Cut": "StreamAborted",
    "Demands": "AuthRequirements",
    "Either": "Or",
    "Gather": "Batcher",
    "Given": "Delivery",
    "Lane": "ThreadQueue",
    "Maybe": "Optional",
    "MOST": "what it bounds, with its unit",
    "Opening": "LazySearch",
    "Passed": "RequestContext",
    "Piece": "Segment",
    "Place": "Slot",
    "Refused": "HubError",
    "Replies": "PendingCalls",
    "Resolved": "Completion",
    "Rounds": "wake_scheduler",
    "Spread": "Untuple",
    "Standing": "QuotaState",
    "Take": "Value",
    "Tally": "LimitMetrics",
    "Turns": "tenant_locks",
    "Want": "Permission",
    "Whole": "GraphHandlers",
    "Wrong": "InvalidValue",
    "beat": "heartbeat",
    "callers": "http",
    "calm": "wait_until_idle",
    "feed": "fanout",
    "hear": "on_frame",
    "keep_time": "run_clock",
    "later": "async_reports",
    "past": "as_of",
    "rounds": "wake_scheduler",
    "say": "send",
    "speech": "inbound",
    "take_leave": "send_close_notice",
    "tell": "publish, notify",
    "turns": "tenant_locks",
    "who": "allow",
}
"""Names that are not used by themselves; a leading underscore makes no difference."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_NAME = re.compile(r"[A-Za-z_]\w*")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_TEXT = re.compile(r'\br#"(?:.|\n)*?"#|"(?:\\.|[^"\\])*"|`(?:\\.|[^`\\])*`|\'(?:\\.|[^\'\\\n])\'')


def standard_term(name: str) -> str | None:
    """Give what a name is to be called instead; None where it is well named.

    >>> standard_term("_Sitting"), standard_term("KEPT_SECONDS"), standard_term("Session")
    ('socket_session', 'stored, retained', None)
    """
    bare = name.strip("_")
    if bare in WHOLE_NAMES:
        return WHOLE_NAMES[bare]
    words = [word.lower() for word in _WORD.findall(bare)]
    if len(words) >= SENTENCE_WORDS:
        return None
    return next((ANYWHERE[word] for word in words if word in ANYWHERE), None)


def names(path: Path) -> Iterator[tuple[int, str]]:
    """Give the names in a file of Python, Rust or TypeScript, and its own, with their lines."""
    yield 0, path.stem
    text = path.read_text()
    if path.suffix in {".py", ".pyi"}:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME:
                yield token.start[0], token.string
        return
    for found in (_COMMENT, _TEXT):
        text = found.sub(lambda match: "\n" * match[0].count("\n"), text)
    for number, line in enumerate(text.splitlines(), 1):
        for match in _NAME.finditer(line):
            yield number, match[0]


def files() -> list[Path]:
    """List the code that is shipped."""
    return sorted(
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".pyi", ".rs", ".ts"}
        and not OTHER_FOLDERS & set(path.relative_to(ROOT).parts)
        and path != Path(__file__).resolve()
    )


def main(arguments: list[str]) -> int:
    """Print what is wrong, and what the list of names need no longer hold."""
    comments = [line for line in LEFT.read_text().splitlines() if line.startswith("#")]
    left = {line for line in LEFT.read_text().splitlines() if line and line not in comments}
    seen: set[str] = set()
    problems: list[str] = []
    for path in files():
        for line, name in names(path):
            if (term := standard_term(name)) is None:
                continue
            seen.add(name)
            if name not in left:
                problems.append(f"{path.relative_to(ROOT)}:{line}: `{name}`: use {term}")
    if arguments == ["--shrink"]:
        LEFT.write_text("".join(f"{line}\n" for line in [*comments, *sorted(left & seen)]))
    elif gone := ", ".join(sorted(left - seen)):
        sys.stdout.write(f"no longer used: {gone}; run `python checks/words.py --shrink`\n")
    sys.stdout.write("".join(f"{problem}\n" for problem in problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
