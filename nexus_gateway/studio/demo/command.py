"""`nexus-gateway demo load`: a source, a token, a progress bar, and what came of it."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nexus_gateway.server.tokens import mint
from nexus_gateway.studio.demo.debian_graph import TYPES as GRAPH_TYPES
from nexus_gateway.studio.demo.debian_graph import DebianGraph
from nexus_gateway.studio.demo.errors import DemoError
from nexus_gateway.studio.demo.existing import ENTITIES, NODES, foreign_ids
from nexus_gateway.studio.demo.graph_loader import load_graph
from nexus_gateway.studio.demo.loader import load
from nexus_gateway.studio.demo.sources import SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nexus_gateway.server.settings import Settings
    from nexus_gateway.studio.intelligence.models import Draft

TENANT = "demo"
"""Whose graph a load is, where no other is named: a graph always belongs to a tenant."""
SKIPPED_SHOWN_MAX = 10
"""Ids that are shown of the entities that a load leaves out."""
LIFETIME = 3600
"""Seconds that a token for one load is good for."""


def load_source(
    source: str,
    *,
    url: str,
    token: str | None,
    limit: int | None,
    settings: Settings,
    tenant: str | None = None,
) -> None:
    """Load `source` into the gateway at `url`, and say how it goes.

    Of Debian the graph is loaded, too. What is there already with another type is left as it is.

    Args:
        source: a name of `SOURCES`.
        url: the gateway.
        token: without one, one is made with the gateway's own secret.
        limit: entities at most.
        settings: where the secret is.
        tenant: whose entities and graph they shall be; without one, entities are nobody's and the
            graph is of `TENANT`.

    Raises:
        DemoError: there is no such source, it is empty or cannot be read to its end, or the gateway
            does not take all of it.
    """
    chosen = SOURCES.get(source)
    if chosen is None:
        raise DemoError(f"expected one of {', '.join(SOURCES)}, found {source!r}")
    bearer = own_token(settings, tenant) if token is None else token
    console = Console()
    expected = chosen.count() if limit is None else min(limit, chosen.count())
    if expected == 0:
        raise DemoError(f"{source} has nothing to load; for debian, run 'apt-get update'")
    others = foreign_ids(ENTITIES, chosen.types, url=url, token=bearer)
    skipped: list[str] = []

    def own(drafts: Iterable[Draft]) -> Iterator[Draft]:
        for draft in drafts:
            if draft.entity_id in others:
                skipped.append(draft.entity_id)
            else:
                yield draft

    with _bar(console) as bar:
        task = bar.add_task(f"loading {source}", total=expected)
        done = load(
            own(islice(chosen.entities(), limit)),
            url=url,
            token=bearer,
            progress=lambda so_far: bar.update(task, completed=so_far + len(skipped)),
        )
    read = done.total + len(skipped)
    if read != expected:
        raise DemoError(f"{source} had {expected:,} entities and then {read:,}: load it again")
    _report_skipped(console, skipped)
    rate = done.total / done.seconds
    console.print(
        f"{done.total:,} entities in {done.seconds:.1f} s ({rate:,.0f}/s):"
        f" {done.created:,} created, {done.updated:,} updated, {done.unchanged:,} unchanged",
        highlight=False,
    )
    if source == "debian":
        mine = own_token(settings, tenant or TENANT) if token is None else token
        others = foreign_ids(NODES, GRAPH_TYPES, url=url, token=mine)
        load_debian_graph(DebianGraph(limit, without=others), console, url=url, token=mine)
        if token is None and tenant is None:
            console.print(f"the graph is tenant {TENANT}'s: nexus-gateway token --tenant {TENANT}")


def _report_skipped(console: Console, skipped: list[str]) -> None:
    if skipped:
        shown = ", ".join(skipped[:SKIPPED_SHOWN_MAX])
        more = ", ..." if len(skipped) > SKIPPED_SHOWN_MAX else ""
        console.print(
            f"{len(skipped):,} left as they are, since they are entities of another type here:"
            f" {shown}{more}",
            highlight=False,
            markup=False,
        )


def load_debian_graph(graph: DebianGraph, console: Console, *, url: str, token: str) -> None:
    """Load the graph of Debian's packages, and say how it goes.

    Raises:
        DemoError: the gateway does not take it.
    """
    with _bar(console) as bar:
        tasks = {name: bar.add_task(f"loading {name}", total=None) for name in ("nodes", "edges")}

        def show(what: str, so_far: int) -> None:
            if what == "edges":
                bar.update(tasks["nodes"], total=bar.tasks[tasks["nodes"]].completed)
                bar.update(tasks["edges"], total=graph.edge_count)
            bar.update(tasks[what], completed=so_far)

        done = load_graph(graph, url=url, token=token, progress=show)
    nodes, edges = done.loaded.nodes, done.loaded.edges
    for name, tally in (("nodes", nodes), ("edges", edges)):
        total = tally.created + tally.updated + tally.unchanged
        console.print(
            f"{total:,} {name}: {tally.created:,} created, {tally.updated:,} updated,"
            f" {tally.unchanged:,} unchanged",
            highlight=False,
        )
    console.print(f"the graph took {done.seconds:.1f} s", highlight=False)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def own_token(settings: Settings, tenant: str | None = None) -> str:
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
        [
            "intelligence:read",
            "intelligence:write",
            "knowledge-graph:read",
            "knowledge-graph:write",
        ],
        LIFETIME,
        tenant=tenant,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        algorithm=settings.hmac_algorithm(),
    )
