"""What the generator of requests cannot read in the document.

The gateway's integers have at most 64 bits. JSON Schema cannot say so of values that it leaves
open. RFC 8259 lets a reader set such limits.

Headers whose patterns need other characters than letters and digits are generated as `0` in the
coverage phase, unless their format is known: `entity-tags` are made here.
"""

from __future__ import annotations

from typing import cast

import schemathesis
from hypothesis import strategies

_TAGS = strategies.lists(
    strategies.from_regex(r'\A(W/)?"[!#-~]{0,40}"\Z'), min_size=1, max_size=4
).map(", ".join)
schemathesis.openapi.format("entity-tags", strategies.just("*") | _TAGS)

INT_MIN, INT_MAX = -(1 << 63), (1 << 64) - 1


def fits(value: object) -> bool:
    """Say whether all integers of a JSON value have at most 64 bits."""
    match value:
        case bool():
            return True
        case int():
            return INT_MIN <= value <= INT_MAX
        case float():
            # Written without a fraction where it has none.
            return not value.is_integer() or INT_MIN <= value <= INT_MAX
        case dict():
            return all(map(fits, cast("dict[str, object]", value).values()))
        case list():
            return all(map(fits, cast("list[object]", value)))
        case _:
            return True


@schemathesis.hook  # pyright: ignore[reportUnknownMemberType]
def filter_body(context: schemathesis.HookContext, body: object) -> bool:
    """Keep a body that is JSON as the gateway defines it."""
    return fits(body)
