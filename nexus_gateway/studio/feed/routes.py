"""How far changes are carried: as JSON beside the other metrics, and as text for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from nexus_gateway import (
    Claims,
    Code,
    Response,
    auth,
    get,
    path,
    post,
    public,
    query,
    require,
)
from nexus_gateway.studio.refusals import refuse_storage
from nexus_gateway.studio.storage.outbox import Refusal

if TYPE_CHECKING:
    from nexus_gateway import Filter, Routes
    from nexus_gateway.studio.storage.outbox import Outbox

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
_FAMILIES = (
    ("records", "Changes that are kept and not yet carried to a sink."),
    ("seconds", "Age of the oldest of them."),
)


class SinkLag(msgspec.Struct, frozen=True):
    """How far one sink is behind: in changes, and in seconds since the first of them."""

    sink: str
    records: int
    seconds: float


class OutboxMetrics(msgspec.Struct, frozen=True):
    """How far each sink is behind."""

    sinks: tuple[SinkLag, ...]


class RefusedQuery(msgspec.Struct, frozen=True):
    """Which refused changes to list; `after` is a page's `next_after`."""

    after: Annotated[int, Meta(ge=0)] = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class RefusedChanges(msgspec.Struct, frozen=True):
    """Changes of the caller's tenant that a sink refused, in the order of their refusal."""

    items: tuple[Refusal, ...]
    next_after: int | None


class Replayed(msgspec.Struct, frozen=True):
    """How many refused changes are carried again."""

    replayed: int


def routes(outbox: Outbox, limited: Filter[()]) -> Routes:
    """List the routes; `limited` is asked of every caller once it is known."""
    down: Code = "database_error"
    on = Figures(outbox)
    refused = path("api") / "admin" / "outbox" / "refused"
    read = require(scope="metrics:read") & limited
    return (
        (path("api") / "metrics" / "outbox" & get() & read).then(on.show, raises=[down])
        # Open, as `/metrics` is: it names no caller and no content.
        | (path("metrics") / "outbox" & get() & public()).then(on.text, raises=[down])
        | (refused & get() & auth(scope="admin:read") & limited & query(RefusedQuery)).then(
            on.refused, raises=[down]
        )
        | (refused / "replay" & post() & auth(scope="admin:write") & limited).then(
            on.replay, raises=[down]
        )
    ).recover(refuse_storage)


class Figures:
    """The handlers."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def show(self) -> OutboxMetrics:
        """Tell how far each sink of changes is behind."""
        lags = await self._outbox.lags()
        return OutboxMetrics(tuple(SinkLag(lag.sink, lag.records, lag.seconds) for lag in lags))

    async def refused(self, claims: Claims, asked: RefusedQuery) -> RefusedChanges:
        """List changes that a sink refused."""
        tenant = claims.tenant or ""
        found = await self._outbox.refusals(tenant, asked.after, asked.limit + 1)
        items = tuple(found[: asked.limit])
        return RefusedChanges(items, items[-1].number if len(found) > asked.limit else None)

    async def replay(self, claims: Claims) -> Replayed:
        """Carry the changes that a sink refused to it again."""
        return Replayed(await self._outbox.replay(claims.tenant or ""))

    async def text(self) -> Response[str]:
        """Tell the same to Prometheus."""
        sinks = (await self.show()).sinks
        written: list[str] = []
        for name, sentence in _FAMILIES:
            family = f"nexus_outbox_{name}"
            written += [f"# HELP {family} {sentence}", f"# TYPE {family} gauge"]
            written += [f'{family}{{sink="{one.sink}"}} {getattr(one, name)}' for one in sinks]
        return Response("\n".join([*written, ""]), content_type=PROMETHEUS)
