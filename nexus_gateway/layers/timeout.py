"""`timeout`: how long routes may take, from the whole head of a request to that of its answer."""

from __future__ import annotations

from nexus_gateway.route import Timeout


def timeout(seconds: float) -> Timeout:
    """Answer 504 once a route took `seconds`, unless the route has a time of its own.

    Raises:
        ValueError: the time is not positive.
    """
    if seconds <= 0:
        raise ValueError(f"a timeout is a positive number of seconds, found {seconds}")
    return Timeout(seconds)
