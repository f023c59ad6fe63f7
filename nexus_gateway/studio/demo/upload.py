"""`nexus-gateway import`: a file of entities, a line each, piece by piece to a running gateway.

A piece is whole lines and far below what one request may hold. A repeated piece changes nothing, so
one whose answer got lost is sent again without harm.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, BinaryIO

import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from nexus_gateway.studio.demo.command import own_token
from nexus_gateway.studio.demo.errors import DemoError
from nexus_gateway.studio.demo.loader import Sender
from nexus_gateway.studio.fields import BOM, LINE_BYTES_MAX
from nexus_gateway.studio.intelligence.importing import ImportSummary, Line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nexus_gateway.server.settings import Settings

TARGET = "/api/intelligence/entities:import"
PIECE = 4 << 20
"""Bytes of one request, and the rest of a line."""
LINE = 2 << 20
"""Bytes of a line's rest after a piece: a line with more is refused here, and not sent.

The gateway refuses shorter ones already.
"""
SHOWN = 20
"""Refused lines that are shown of a piece."""


def import_file(file: Path, *, url: str, token: str | None, settings: Settings) -> int:
    """Send a file's entities, and say how it goes; how many lines were refused.

    Args:
        file: NDJSON.
        url: the gateway.
        token: without one, one is made with the gateway's own secret.
        settings: where the secret is.

    Raises:
        DemoError: the file cannot be read, or the gateway does not take it.
    """
    sender = Sender(url, own_token(settings) if token is None else token, target=TARGET)
    console = Console()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    totals: dict[str, int] = dict.fromkeys(
        ("lines", "created", "updated", "unchanged", "refused"), 0
    )
    started = time.perf_counter()
    try:
        with file.open("rb") as opened, Progress(*columns, console=console) as bar:
            task = bar.add_task(f"importing {file.name}", total=file.stat().st_size)
            for piece in pieces(opened):
                summary = _deliver(sender, piece)
                if summary.lines != piece.lines or not summary.complete:
                    raise DemoError(
                        f"{file.name}: of {piece.lines:,} lines from line {piece.before + 1:,} on,"
                        f" the gateway confirmed {summary.lines:,}: import the file again"
                    )
                for name in totals:
                    totals[name] += getattr(summary, name)
                for line in summary.refusals[:SHOWN]:
                    place = f"{file.name}:{piece.before + line.line}"
                    console.print(f"{place}: {line.error}", highlight=False, markup=False)
                bar.update(task, completed=opened.tell())
    except OSError as exc:
        raise DemoError(f"{file} cannot be read: {exc.strerror}") from exc
    finally:
        sender.close()
    _sum_up(console, totals, time.perf_counter() - started)
    return totals["refused"]


def _deliver(sender: Sender, piece: Piece) -> ImportSummary:
    if piece.too_long:
        message = f"a line has at most {LINE_BYTES_MAX} bytes, this one {piece.too_long}"
        refusal = Line(1, "refused", error=message)
        return ImportSummary(1, 0, 0, 0, refused=1, refusals=(refusal,))
    answer = sender.deliver(piece.content, "application/x-ndjson")
    return msgspec.json.decode(answer, type=ImportSummary)


class Piece(msgspec.Struct, frozen=True):
    """Whole lines of a file.

    Attributes:
        before: lines of the file before it.
        content: its lines; empty where its one line is too long.
        too_long: bytes of that line, or 0.
    """

    before: int
    content: bytes
    too_long: int = 0

    @property
    def lines(self) -> int:
        """Its lines with content, which the gateway must confirm."""
        if self.too_long:
            return 1
        text = self.content.removeprefix(BOM) if self.before == 0 else self.content
        return sum(1 for line in text.split(b"\n") if line and not line.isspace())


def pieces(file: BinaryIO) -> Iterator[Piece]:
    """Cut a file into pieces of whole lines; one that is too long has no content."""
    before = 0
    while content := file.read(PIECE):
        too_long = 0
        if not content.endswith(b"\n"):
            whole, newline, start = content.rpartition(b"\n")
            rest = file.readline(LINE)
            if len(rest) == LINE and not rest.endswith(b"\n"):
                content = whole + newline
                too_long = len(start) + len(rest) + _skip_line(file)
            else:
                content += rest
        if content:
            yield Piece(before, content)
            before += content.count(b"\n")
        if too_long:
            yield Piece(before, b"", too_long)
            before += 1


def _skip_line(file: BinaryIO) -> int:
    """Read to the end of a line; the bytes that were read, without its end."""
    size = 0
    while part := file.readline(PIECE):
        size += len(part)
        if part.endswith(b"\n"):
            return size - 1
    return size


def _sum_up(console: Console, totals: dict[str, int], seconds: float) -> None:
    rate = totals["lines"] / seconds
    counts = ", ".join(f"{totals[name]:,} {name}" for name in totals if name != "lines")
    console.print(
        f"{totals['lines']:,} entities in {seconds:.1f} s ({rate:,.0f}/s): {counts}",
        highlight=False,
    )
