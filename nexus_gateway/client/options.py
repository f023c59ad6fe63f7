"""The settings of a client, and the status that it reports."""

from __future__ import annotations

from ssl import SSLContext
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TokenSource: TypeAlias = "str | Callable[[], str | Awaitable[str]] | None"
AuthMethod: TypeAlias = Literal["header", "subprotocol", "message"]


class Status(msgspec.Struct, frozen=True):
    """The state of the connection; without one, `code` and `reason` say why.

    retry_in: seconds until the next attempt.
    """

    state: Literal["connecting", "connected", "waiting", "closed"]
    connection: str = ""
    code: int = 0
    reason: str = ""
    retry_in: float = 0.0


class Options(msgspec.Struct, frozen=True):
    """Timeouts and bounds of a client. Times are seconds; `math.inf` means no limit.

    Attributes:
        connect_timeout: until a connection is open and the hub has sent its welcome.
        request_timeout: for an answer, including the time without a connection.
        heartbeat: between pings; a connection without a pong for this time is closed.
        max_requests: requests that may wait for an answer.
        max_bytes: the longest frame that is accepted.
        tls: the context for an `https` address, instead of the platform's.
    """

    connect_timeout: float = 10.0
    request_timeout: float = 10.0
    heartbeat: float = 20.0
    max_requests: int = 256
    max_bytes: int = 16 << 20
    tls: SSLContext | None = None

    def __post_init__(self) -> None:
        for name in (
            "connect_timeout",
            "request_timeout",
            "heartbeat",
            "max_requests",
            "max_bytes",
        ):
            value = getattr(self, name)
            if not value > 0:  # as it is for NaN
                raise ValueError(f"{name} is a number above 0, found {value!r}")
