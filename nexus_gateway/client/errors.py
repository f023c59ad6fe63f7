"""What a request to the hub can end with instead of an answer."""

from __future__ import annotations


class RealtimeError(Exception):
    """Refused by the hub, or given up by the client.

    Attributes:
        code: of the hub, one of `/errors/{code}`; or `connection_lost` (it was sent and the answer
            never came: it may have been done), `timeout`, `queue_full`, `already_subscribed`,
            `closed`. No message quotes a credential.
        retry_after: seconds, where the hub names them.
    """

    def __init__(self, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.retry_after = retry_after
