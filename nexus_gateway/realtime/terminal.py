"""`hub`: channels over a WebSocket or as events, and their controls, which the core answers.

This is what is written in a plan and in documents: who may what in which channels, the bodies that
the controls take and the answers that they give. The object that publishes is in
`nexus_gateway.realtime.hub`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, TypeAlias

import msgspec
from msgspec import Meta

from nexus_gateway import plan
from nexus_gateway.realtime.frames import Dropped, Message, MetricsUpdate, Revocation
from nexus_gateway.values.rate import parse
from nexus_gateway.values.schema import either, one_reach

if TYPE_CHECKING:
    from collections.abc import Mapping

QUEUE = 1024
QUEUE_BYTES = 1 << 20


class Publication(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `publish`: any JSON value, and what a conflating channel keeps the newest of."""

    data: object
    key: str | None = None


class Disconnection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `disconnect`: every socket of a subject, or the one of a name (`welcome`).

    A `reason` that has the word `reconnect` invites clients back. It concerns the sockets of the
    caller's tenant; `tenant` or `all_tenants` need the scope `admin:global`.
    """

    subject: str | None = None
    connection: str | None = None
    reason: str = "disconnected by an operator"
    tenant: str | None = None
    all_tenants: bool = False

    json_schema_extra: ClassVar[dict[str, object]] = either("subject", "connection") | one_reach(
        "tenant", "all_tenants"
    )


class RevocationRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `revoke`: one token by its `jti`, or all of a subject that were issued before.

    `before` and `expires` are seconds since 1970: without `before` it is now; `expires` is when the
    last of the tokens has expired by itself, in ten years where it is not given. It concerns tokens
    of the caller's tenant; `tenant` or `all_tenants` need the scope `admin:global`.
    """

    jti: str | None = None
    sub: str | None = None
    before: int | None = None
    expires: int | None = None
    tenant: str | None = None
    all_tenants: bool = False

    json_schema_extra: ClassVar[dict[str, object]] = either("jti", "sub") | one_reach(
        "tenant", "all_tenants"
    )


class Position(msgspec.Struct, frozen=True):
    """A place in a channel: offsets of one epoch rise by one, those of another tell nothing."""

    epoch: str
    offset: int


class Published(msgspec.Struct, frozen=True):
    """What was published, where."""

    channel: str
    epoch: str
    offset: int


class Channel(msgspec.Struct, frozen=True):
    """A channel in use; `offset` is the newest message's, `kept` how many it has."""

    channel: str
    subscribers: int
    epoch: str
    offset: int
    kept: int


class Channels(msgspec.Struct, frozen=True):
    """Channels by name, those after the cursor that was asked for."""

    items: list[Channel]
    next_cursor: str | None


class Member(msgspec.Struct, frozen=True):
    """A socket, and whose it is."""

    connection: str
    subject: str


class Presence(msgspec.Struct, frozen=True):
    """Who is in a channel."""

    channel: str
    members: list[Member]


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message that a channel has kept."""

    offset: int
    data: object
    timestamp: str
    key: str | None = None
    publisher: str | None = None


class History(msgspec.Struct, frozen=True):
    """What a channel has kept, oldest first; `offset` is its newest place.

    `recovered` tells whether nothing is lost after the place that was asked for.
    """

    channel: str
    epoch: str
    offset: int
    items: list[Kept]
    recovered: bool


class Recovered(msgspec.Struct, frozen=True):
    """Whether what was missed follows; without it, messages after the last one seen are lost."""

    recovered: bool


class Disconnected(msgspec.Struct, frozen=True):
    """How many sockets of this replica are being closed; other replicas close theirs."""

    sockets: int


class Revocations(msgspec.Struct, frozen=True):
    """What is revoked."""

    items: list[Revocation]
    next_cursor: str | None


BODIES: Mapping[plan.HubOperation, type[msgspec.Struct]] = {
    "publish": Publication,
    "disconnect": Disconnection,
    "revoke": RevocationRequest,
}
ANSWERS: Mapping[plan.HubOperation, type[msgspec.Struct]] = {
    "publish": Published,
    "channels": Channels,
    "presence": Presence,
    "history": History,
    "disconnect": Disconnected,
    "revoke": Revocation,
    "revocations": Revocations,
}
_Count: TypeAlias = Annotated[int, Meta(ge=0, le=(1 << 32) - 1)]
# `le` takes signed 64 bits only, and offsets are unsigned.
_Offset: TypeAlias = Annotated[int, Meta(ge=0, extra_json_schema={"maximum": (1 << 64) - 1})]
PARAMETERS: Mapping[plan.HubOperation, Mapping[str, object]] = {
    "events": {"last_event_id": str},
    "channels": {"prefix": str, "limit": _Count, "cursor": str},
    "history": {"epoch": str, "offset": _Offset, "limit": _Count},
}
"""What the operations read of the query string; all of it may be left out."""
EVENTS: tuple[tuple[str, object], ...] = (
    ("", Message | MetricsUpdate | Dropped),
    ("recovered", Recovered),
)
"""The `data` of a channel's server-sent events, by name; most have none."""
_OF_A_CHANNEL = frozenset({"events", "publish", "presence", "history"})


def hub(operation: plan.HubOperation, texts: int) -> plan.HubTerminal:
    """Write the terminal for a chain that extracts so many texts.

    Raises:
        TypeError: the operation is of a channel, and the chain extracts none, or more than one.
    """
    if operation in _OF_A_CHANNEL and texts != 1:
        raise TypeError(f"hub({operation!r}) takes one text, the channel; found {texts}")
    if operation == "socket" and texts > 1:
        raise TypeError(f"hub('socket') takes at most one text, the channel; found {texts}")
    if operation not in _OF_A_CHANNEL and operation != "socket" and texts:
        raise TypeError(f"hub({operation!r}) takes no text, found {texts}")
    return plan.HubTerminal(operation=operation)


def allow(*scopes: str, anonymous: bool = False) -> plan.Access:
    """Say who may: bearers of tokens with all the scopes; `anonymous` needs no token at all.

    Raises:
        ValueError: scopes are asked of the anonymous.
    """
    if anonymous and scopes:
        raise ValueError("who cannot ask those without a token for scopes")
    return plan.Access(scopes=scopes, anonymous=anonymous)


def namespace(  # noqa: PLR0913  # each is one rule, by its name
    name: str,
    *,
    subscribe: plan.Access | None = None,
    publish: plan.Access | None = None,
    history: int = 0,
    history_seconds: float = 300,
    presence: bool = False,
    max_bytes: int = 64 << 10,
    rate: str | None = None,
    overflow: plan.Overflow = "drop_oldest",
    queue: int = QUEUE,
    queue_bytes: int = QUEUE_BYTES,
    shared: bool = True,
    delivery: plan.Delivery = "at_most_once",
) -> plan.Namespace:
    """Write the rules of the channels that a name matches.

    Args:
        name: `metrics`, `workflow:*`, `graph:{tenant}:*`, `user:{sub}`; `*` is every channel.
        subscribe: who may receive, `allow("graph:read")`; None for nobody from outside.
        publish: who may publish; None for nobody but the gateway itself.
        history: messages kept.
        history_seconds: how long they are kept at most.
        presence: whether it is told who is subscribed.
        max_bytes: of a message's data.
        rate: publications of one subject, `10/s burst 20`.
        overflow: what becomes of a subscriber who lags too far behind.
        queue: messages that one may lag behind.
        queue_bytes: the same in bytes.
        shared: whether replicas share the channels.
        delivery: with `at_least_once` subscribers acknowledge what they take (frame `ack`), and one
            that comes back gets the rest again, marked `redelivered` where it was sent before. It
            needs a history, and tokens of those who subscribe.

    Raises:
        ValueError: a number is out of range, or the rate or the name cannot be read.
    """
    stem = name.removesuffix("*")
    if not name or "*" in stem or (stem and stem != name and not stem.endswith(":")):
        raise ValueError(f"a namespace is a channel's name, or ends in ':*', or is '*': {name!r}")
    for what, number in (("history", history), ("history_seconds", history_seconds)):
        if number < 0:
            raise ValueError(f"{name}: {what} must not be negative, found {number}")
    for what, number in (("max_bytes", max_bytes), ("queue", queue), ("queue_bytes", queue_bytes)):
        if number < 1:
            raise ValueError(f"{name}: {what} must be at least 1, found {number}")
    if delivery == "at_least_once":
        if not history or not history_seconds:
            raise ValueError(f"{name}: to deliver at least once, a history is needed")
        if subscribe is not None and subscribe.anonymous:
            raise ValueError(f"{name}: to deliver at least once, subscribers need a token")
    return plan.Namespace(
        name=name,
        history=history,
        history_ms=round(history_seconds * 1000),
        max_bytes=max_bytes,
        overflow=overflow,
        queue=queue,
        queue_bytes=queue_bytes,
        subscribe=subscribe,
        publish=publish,
        presence=presence,
        rate=None if rate is None else hub_rate(rate),
        shared=shared,
        delivery=delivery,
    )


def hub_rate(text: str, *, unit: int = 1) -> plan.Rate:
    """Read `100/s burst 200`, each of `unit`.

    Raises:
        ValueError: the text is not a rate.
    """
    read = parse(text)
    return plan.Rate(amount=read.requests * unit, period_ms=read.period_ms, burst=read.burst * unit)
