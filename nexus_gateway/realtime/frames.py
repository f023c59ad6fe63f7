"""The frames of the hub as data: what clients send, what the server sends.

`docs/reference/realtime-protocol.md` fixes them. The Python client speaks with these structs, and
`asyncapi` writes their schemas. A frame names its kind in `type`; fields that are left out say
nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias, TypeVar

import msgspec

T = TypeVar("T")
Id: TypeAlias = int | str


class Position(msgspec.Struct, frozen=True):
    """A place in a channel: `epoch` names one life of its numbering, `offset` counts from 1."""

    epoch: str
    offset: int


class Member(msgspec.Struct, frozen=True):
    """Who is subscribed, by one connection."""

    connection: str
    subject: str


# --- what clients send ---


class ClientFrame(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type"):
    """What every frame of a client is."""


class Subscribe(ClientFrame, frozen=True, tag="subscribe"):
    """Receive what is published to a channel; after a position, first what was missed.

    Where the channel delivers at least once, `consumer` is as whom, within the subject: without a
    position it goes on after what that one has acknowledged.
    """

    channel: str
    id: Id | None = None
    epoch: str | None = None
    offset: int | None = None
    presence: bool = False
    consumer: str | None = None


class Unsubscribe(ClientFrame, frozen=True, tag="unsubscribe"):
    """Receive no more."""

    channel: str
    id: Id | None = None


class Publish(ClientFrame, frozen=True, tag="publish"):
    """Publish; a conflating channel keeps the newest of each `key`."""

    channel: str
    data: object
    id: Id | None = None
    key: str | None = None
    traceparent: str | None = None


class Acknowledge(ClientFrame, frozen=True, tag="ack"):
    """Say that every message up to `offset` is taken, and need not be sent again."""

    channel: str
    offset: int
    id: Id | None = None
    epoch: str | None = None


class HistoryRequest(ClientFrame, frozen=True, tag="history"):
    """Ask what is kept after a position, oldest first."""

    channel: str
    id: Id | None = None
    epoch: str | None = None
    offset: int | None = None
    limit: int | None = None


class PresenceRequest(ClientFrame, frozen=True, tag="presence"):
    """Ask who is subscribed."""

    channel: str
    id: Id | None = None


class Ping(ClientFrame, frozen=True, tag="ping"):
    """Ask for a `pong`."""

    id: Id | None = None


class Auth(ClientFrame, frozen=True, tag="auth"):
    """Bring the token first, or a fresh one for the same subject later."""

    token: str

    def __repr__(self) -> str:
        return "Auth(token=...)"


# --- what the server sends ---


class ServerFrame(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type"):
    """What every frame of the server is."""


class Welcome(ServerFrame, frozen=True, tag="welcome"):
    """The first frame; `session_seconds` is what the token has left."""

    connection: str
    ping_seconds: float
    max_bytes: int
    session_seconds: float | None = None


class Ack(ServerFrame, frozen=True, tag="ack"):
    """Done. Of a subscription: the position from which messages follow.

    Where a position was given, `recovered` tells whether every message since is delivered, `missed`
    of them now, or some are lost. `subscribed` tells how the channel stands after it.
    """

    id: Id | None = None
    channel: str | None = None
    epoch: str | None = None
    offset: int | None = None
    recovered: bool | None = None
    missed: int | None = None
    subscribed: bool | None = None


class Message(ServerFrame, frozen=True, tag="message"):
    """What was published; offsets of an epoch rise by one.

    redelivered: this consumer was sent it before, or may have been.
    """

    channel: str
    data: object
    epoch: str
    offset: int
    timestamp: datetime
    key: str | None = None
    publisher: str | None = None
    redelivered: bool = False

    @property
    def position(self) -> Position:
        """The message's place: subscribe after it to go on from here."""
        return Position(self.epoch, self.offset)

    def read(self, kind: type[T]) -> T:
        """Read `data` as a type.

        Raises:
            msgspec.ValidationError: it is not of the type.
        """
        return msgspec.convert(self.data, kind)


class MetricsUpdate(Message, frozen=True, tag="metrics_update"):
    """A message of the channel `metrics`."""


class Dropped(ServerFrame, frozen=True, tag="dropped"):
    """Back-pressure dropped `count` messages before this place; 0 where nobody could count them."""

    channel: str
    count: int
    epoch: str
    offset: int


class Join(ServerFrame, frozen=True, tag="join"):
    """Somebody came to the channel."""

    channel: str
    member: Member
    timestamp: datetime


class Leave(ServerFrame, frozen=True, tag="leave"):
    """Somebody left the channel."""

    channel: str
    member: Member
    timestamp: datetime


class Presence(ServerFrame, frozen=True, tag="presence"):
    """Who is subscribed."""

    channel: str
    members: list[Member]
    id: Id | None = None


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message that a channel has kept."""

    offset: int
    data: object
    timestamp: datetime
    key: str | None = None
    publisher: str | None = None


class History(ServerFrame, frozen=True, tag="history"):
    """What a channel has kept; `recovered` where nothing is lost since the position asked for.

    `offset` is the newest message's.
    """

    channel: str
    epoch: str
    items: list[Kept]
    recovered: bool
    id: Id | None = None
    offset: int | None = None


class Error(ServerFrame, frozen=True, tag="error"):
    """Refused; the socket lives on. `code` is one of `/errors/{code}`, `retry_after` is seconds."""

    code: str
    error: str
    id: Id | None = None
    channel: str | None = None
    retry_after: float | None = None


class Expiring(ServerFrame, frozen=True, tag="expiring"):
    """The token ends soon: send a fresh one by `auth`."""

    seconds: float


class Reconnect(ServerFrame, frozen=True, tag="reconnect"):
    """Come back after a random part of `delay_ms`."""

    delay_ms: float
    reason: str = ""


class Pong(ServerFrame, frozen=True, tag="pong"):
    """The answer to `ping`."""

    id: Id | None = None


SentByClients: TypeAlias = (
    Subscribe | Unsubscribe | Publish | Acknowledge | HistoryRequest | PresenceRequest | Ping | Auth
)
SentByServer: TypeAlias = (
    Welcome
    | Ack
    | Message
    | MetricsUpdate
    | Dropped
    | Join
    | Leave
    | Presence
    | History
    | Error
    | Expiring
    | Reconnect
    | Pong
)

# What a close code asks of a client: come back by its back-off, later than that, only with a fresh
# token, or not at all.
Verdict: TypeAlias = Literal["retry", "later", "fresh-token", "stop"]


class Close(msgspec.Struct, frozen=True):
    """A code that a socket is closed with."""

    code: int
    meaning: str
    verdict: Verdict


CLOSES: tuple[Close, ...] = (
    Close(1000, "done", "stop"),
    Close(1001, "going away", "retry"),
    Close(1002, "the protocol of WebSocket was broken", "stop"),
    Close(1003, "a kind of data that is not supported", "stop"),
    Close(1007, "text that is not UTF-8", "stop"),
    Close(1009, "a message that is too big", "stop"),
    Close(1011, "the server failed", "retry"),
    Close(4001, "the token has expired", "fresh-token"),
    Close(4002, "the token or its subject was revoked", "stop"),
    Close(4003, "no identity came within 5 s, or a bad one", "fresh-token"),
    Close(4008, "too slow: the queue of the channel's policy is full", "retry"),
    Close(4009, "disconnected by an operator; `reconnect` in the reason asks to come back", "stop"),
    Close(4010, "idle: no pong within two heartbeats", "retry"),
    Close(4012, "the server drains", "retry"),
    Close(4029, "too many frames, after warnings", "later"),
)
_VERDICTS: dict[int, Verdict] = {close.code: close.verdict for close in CLOSES}


def verdict_of(code: int, reason: str) -> Verdict:
    """Say what a close code asks for; an operator's close (4009) says it in its reason."""
    if code == 4009 and "reconnect" in reason:
        return "retry"
    return _VERDICTS.get(code, "retry")


class Revocation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of a tenant, of none, or of all, that are worth nothing until `expires`."""

    expires: int
    jti: str | None = None
    sub: str | None = None
    before: int | None = None
    tenant: str | None = None
    all_tenants: bool = False
