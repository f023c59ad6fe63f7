"""`nexus-gateway demo load`: a source, a token, a progress bar, and what came of it."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nexus_gateway.studio.demo.errors import DemoError
from nexus_gateway.studio.demo.loader import load
from nexus_gateway.studio.demo.sources import SOURCES
from nexus_gateway.tokens import mint

if TYPE_CHECKING:
    from nexus_gateway.settings import Settings

LIFETIME = 3600
"""Seconds that a token for one load is good for."""


def load_source(
    source: str, *, url: str, token: str | None, limit: int | None, settings: Settings
) -> None:
    """Load `source` into the gateway at `url`, and say how it goes.

    Args:
        source: a name of `SOURCES`.
        url: the gateway.
        token: without one, one is made with the gateway's own secret.
        limit: entities at most.
        settings: where the secret is.

    Raises:
        DemoError: there is no such source, it is empty, or the gateway does not take it.
    """
    chosen = SOURCES.get(source)
    if chosen is None:
        raise DemoError(f"expected one of {', '.join(SOURCES)}, found {source!r}")
    bearer = own_token(settings) if token is None else token
    console = Console()
    count = chosen.count() if limit is None else min(limit, chosen.count())
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(f"loading {source}", total=count)
        done = load(
            islice(chosen.entities(), limit),
            url=url,
            token=bearer,
            progress=lambda so_far: bar.update(task, completed=so_far),
        )
        bar.update(task, completed=done.total, total=done.total)
    if done.total == 0:
        raise DemoError(f"{source} has nothing to load; for debian, run 'apt-get update'")
    rate = done.total / done.seconds
    console.print(
        f"{done.total:,} entities in {done.seconds:.1f} s ({rate:,.0f}/s):"
        f" {done.created:,} created, {done.updated:,} updated, {done.unchanged:,} unchanged",
        highlight=False,
    )


def own_token(settings: Settings) -> str:
    """Make a token with the gateway's own secret.

    Raises:
        DemoError: it has none.
    """
    secret = settings.secret()
    if secret is None:
        raise DemoError("this gateway's tokens are signed elsewhere: give one with --token")
    return mint(
        secret,
        "demo",
        ["intelligence:read", "intelligence:write"],
        LIFETIME,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
    )
