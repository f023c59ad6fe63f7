"""The error of a request to the hub."""

from __future__ import annotations


class RealtimeError(Exception):
    """A request that the hub refused, or that the client gave up.

    Attributes:
        code: one of the hub's codes (`/errors/{code}`), or one of the client's own: `timeout`,
            `queue_full`, `already_subscribed`, `closed`, or `connection_lost`, which means that
            the request was sent and may have been carried out. No message quotes a credential.
        retry_after: seconds to wait, if the hub names them.
    """

    def __init__(self, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retry_after = retry_after
