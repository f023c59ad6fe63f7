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
from nexus_gateway.studio.intelligence.importing import ImportSummary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nexus_gateway.settings import Settings

TARGET = "/api/intelligence/entities:import"
PIECE = 4 << 20
"""Bytes of one request, and the rest of a line."""
LINE = 2 << 20
"""Bytes of a line; the gateway refuses shorter ones already."""
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
            for first, piece in pieces(opened):
                answer = sender.deliver(piece, "application/x-ndjson")
                summary = msgspec.json.decode(answer, type=ImportSummary)
                for name in totals:
                    totals[name] += getattr(summary, name)
                for line in summary.refusals[:SHOWN]:
                    place = f"{file.name}:{first + line.line}"
                    console.print(f"{place}: {line.error}", highlight=False, markup=False)
                bar.update(task, advance=len(piece))
    except OSError as exc:
        raise DemoError(f"{file} cannot be read: {exc.strerror}") from exc
    finally:
        sender.close()
    _sum_up(console, totals, time.perf_counter() - started)
    return totals["refused"]


def pieces(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Cut a file into pieces of whole lines, each with the number of lines before it.

    Raises:
        DemoError: a line is longer than the gateway takes.
    """
    before = 0
    while piece := file.read(PIECE):
        if not piece.endswith(b"\n"):
            rest = file.readline(LINE)
            if len(rest) == LINE and not rest.endswith(b"\n"):
                number = before + piece.count(b"\n") + 1
                raise DemoError(f"line {number} is far too long")
            piece += rest
        yield before, piece
        before += piece.count(b"\n")


def _sum_up(console: Console, totals: dict[str, int], seconds: float) -> None:
    rate = totals["lines"] / seconds
    counts = ", ".join(f"{totals[name]:,} {name}" for name in totals if name != "lines")
    console.print(
        f"{totals['lines']:,} entities in {seconds:.1f} s ({rate:,.0f}/s): {counts}",
        highlight=False,
    )
