"""`echo`: a WebSocket that sends back what it gets, which the core does without Python."""

from __future__ import annotations

from nexus_gateway import plan

MAX_BYTES = 1 << 20


def echo(*, max_bytes: int = MAX_BYTES) -> plan.Echo:
    """Send back each message of at most `max_bytes`, inflated; a longer one closes with 1009.

    Raises:
        ValueError: `max_bytes` is not positive.
    """
    if max_bytes < 1:
        raise ValueError(f"a message has at least 1 byte, found max_bytes={max_bytes}")
    return plan.Echo(max_bytes=max_bytes)
