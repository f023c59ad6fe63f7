"""`rate_limit`: how many requests of one caller pass. The core counts them: GCRA with burst."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_gateway.describe.filter import Filter
from nexus_gateway.describe.node import RateLimit
from nexus_gateway.values.rate import Rate, parse, rate

if TYPE_CHECKING:
    from nexus_gateway import plan


def rate_limit(
    text: str | None = None,
    *,
    per_second: int | None = None,
    per_minute: int | None = None,
    burst: int | None = None,
    by: plan.LimitBy | None = None,
    name: str | None = None,
    legacy_headers: bool = False,
) -> Filter[()]:
    """Limit requests: `rate_limit("100/min", burst=20)` or `rate_limit(per_minute=100)`.

    Exactly `burst` pass at once (without it, a whole period's), then one each time the rate allows;
    the rest is answered 429 with `Retry-After`. `RateLimit` tells every caller what is left.

    Args:
        text: a rate, `100/min` or `100/s burst 200`.
        per_second: instead of a text.
        per_minute: instead of a text.
        burst: how many pass at once.
        by: whose requests are counted together: the token's `subject`, the client's `address`, or
            all callers of the route (`api`). Without it the subject where `auth` comes before, and
            the address otherwise.
        name: the policy's name in `RateLimit-Policy`; all routes with a limit of this name count
            together. Without it the limit is the route's own, and named by `by`.
        legacy_headers: also send `X-RateLimit-*`.

    Raises:
        ValueError: not exactly one rate is given, or it is out of range.
    """
    chosen = _rate(text, per_second, per_minute, burst)
    return Filter(
        RateLimit(chosen.requests, chosen.period_ms, chosen.burst, by, name, legacy_headers)
    )


def _rate(
    text: str | None, per_second: int | None, per_minute: int | None, burst: int | None
) -> Rate:
    if sum(given is not None for given in (text, per_second, per_minute)) != 1:
        raise ValueError("rate_limit takes one of: '100/min', per_second=, per_minute=")
    if text is not None:
        return parse(text, burst=burst)
    if per_second is not None:
        return rate(per_second, 1_000, burst)
    return rate(per_minute or 0, 60_000, burst)
