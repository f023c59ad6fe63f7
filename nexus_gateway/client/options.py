"""What a client is told at its making, and how it says that it stands."""

from __future__ import annotations

from ssl import SSLContext
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TokenSource: TypeAlias = "str | Callable[[], str | Awaitable[str]] | None"
Bringing: TypeAlias = Literal["header", "subprotocol", "message"]


class Status(msgspec.Struct, frozen=True):
    """How the connection stands; `retry_in` is seconds, `code` and `reason` say why it is not."""

    state: Literal["connecting", "connected", "waiting", "closed"]
    connection: str = ""
    code: int = 0
    reason: str = ""
    retry_in: float = 0.0


class Options(msgspec.Struct, frozen=True):
    """Times and bounds of a client; times are seconds, of any size; `math.inf` is for ever.

    Attributes:
        connect_timeout: for a connection to be made and welcomed.
        request_timeout: for an answer, the time without a connection included.
        heartbeat: between pings; a server that is silent so long after one is given up.
        max_requests: that may wait for an answer.
        max_bytes: of a frame that comes.
        tls: the context of a `https` address, where the platform's will not do.
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
