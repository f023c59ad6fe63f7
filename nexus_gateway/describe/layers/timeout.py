"""`timeout`: how long routes may take, from the whole head of a request to that of its answer."""

from __future__ import annotations

from nexus_gateway.describe.route import Timeout, check_seconds


def timeout(seconds: float) -> Timeout:
    """Answer 504 once a route took `seconds`, unless the route has a time of its own.

    Raises:
        ValueError: the time is not positive, or not finite.
    """
    check_seconds(seconds)
    return Timeout(seconds)
