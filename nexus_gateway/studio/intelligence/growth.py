"""Growth: how many entities were made in each day or hour of a window, empty ones too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from nexus_gateway.studio.intelligence.models import Growth

if TYPE_CHECKING:
    from typing import Literal

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WINDOWS = {"day": (timedelta(days=1), 30), "hour": (timedelta(hours=1), 48)}


def since(moment: datetime, bucket: Literal["day", "hour"]) -> tuple[int, int]:
    """Tell where the window that ends now starts, and how wide a bucket is; microseconds.

    >>> since(datetime(1970, 3, 1, 12, tzinfo=UTC), "day")[0] == 30 * 24 * 3600 * 1_000_000
    True
    """
    width, count = _WINDOWS[bucket]
    current = (moment - _EPOCH) // width
    return (current - count + 1) * _micros(width), _micros(width)


def fill(
    before: int, counts: dict[int, int], start: int, width: int, moment: datetime
) -> tuple[Growth, ...]:
    """Lay the counts out over the window, with the total at the end of each bucket."""
    growth: list[Growth] = []
    total = before
    for bucket in range(start, _micros(moment - _EPOCH) + 1, width):
        made = counts.get(bucket, 0)
        total += made
        growth.append(Growth(_EPOCH + timedelta(microseconds=bucket), made, total))
    return tuple(growth)


def _micros(span: timedelta) -> int:
    return span // timedelta(microseconds=1)
