"""`limit`: how often one client address may ask anything at all.

It comes before the token is looked at, so that forged tokens cost no more than a look at a counter.
"""

from __future__ import annotations

from nexus_gateway import plan
from nexus_gateway.values.rate import parse


def limit(text: str, *, burst: int | None = None) -> plan.AddressLimit:
    """Limit each client address: `limit("100/s burst 200")`.

    Raises:
        ValueError: the text is not a rate.
    """
    rate = parse(text, burst=burst)
    return plan.AddressLimit(requests=rate.requests, period_ms=rate.period_ms, burst=rate.burst)
