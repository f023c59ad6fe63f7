"""How often: `100/min burst 20` as people write it, for filters, layers and settings alike."""

from __future__ import annotations

import re

import msgspec

_UNITS = {
    **dict.fromkeys(("s", "sec", "second"), 1_000),
    **dict.fromkeys(("min", "minute"), 60_000),
    **dict.fromkeys(("h", "hour"), 3_600_000),
    **dict.fromkeys(("d", "day"), 86_400_000),
}
_GRAMMAR = re.compile(r"(\d+)\s*/\s*([a-z]+)(?:\s+burst\s+(\d+))?", re.ASCII)
_MOST = 2**32 - 1


class Rate(msgspec.Struct, frozen=True):
    """`requests` per `period_ms` milliseconds, of which `burst` pass at once."""

    requests: int
    period_ms: int
    burst: int

    def __str__(self) -> str:
        units = [name for name, ms in _UNITS.items() if ms == self.period_ms]
        period = units[0] if units else f"{self.period_ms}ms"
        return f"{self.requests}/{period} burst {self.burst}"


def parse(text: str, *, burst: int | None = None) -> Rate:
    """Read a rate such as `100/s` or `60/min burst 20`; without a burst, it is `requests`.

    Raises:
        ValueError: the text is not a rate, or a number is out of range.
    """
    match = _GRAMMAR.fullmatch(text.strip().lower())
    if match is None or match[2] not in _UNITS:
        raise ValueError(
            f"expected a rate such as '100/min' or '100/s burst 200' "
            f"(units: {', '.join(_UNITS)}), found {text!r}"
        )
    if match[3] is not None and burst is not None:
        raise ValueError(f"the burst is given twice: in {text!r} and as burst={burst}")
    requests = int(match[1])
    return rate(requests, _UNITS[match[2]], int(match[3]) if match[3] else burst)


def rate(requests: int, period_ms: int, burst: int | None = None) -> Rate:
    """Make a rate; without a burst, it is `requests`.

    Raises:
        ValueError: a number is out of range.
    """
    chosen = requests if burst is None else burst
    for name, number in (("requests", requests), ("burst", chosen)):
        if not 1 <= number <= _MOST:
            raise ValueError(f"{name} of a rate must be 1 to {_MOST}, found {number}")
    return Rate(requests, period_ms, chosen)
