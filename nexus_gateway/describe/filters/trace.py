"""`trace`: the ids of a request (W3C Trace Context), for calls that a handler makes in its turn."""

from __future__ import annotations

import secrets

import msgspec

from nexus_gateway import plan
from nexus_gateway.describe.filter import Filter
from nexus_gateway.describe.node import Native, Slot


class Trace(msgspec.Struct, frozen=True):
    """The ids of one request: hexadecimal as in `traceparent`, and the request id of the answer.

    `span_id` is the span of the request in the gateway. Each call that a handler makes in its turn
    is a span of its own below it: `outgoing()` makes one, with the headers that tell it.
    """

    trace_id: str
    span_id: str
    parent_id: str | None = None
    sampled: bool = False
    request_id: str = ""
    state: str | None = None
    random: bool = False

    def outgoing(self) -> dict[str, str]:
        """Make the headers of one outgoing call: `traceparent` with a new span, and `tracestate`.

        Call it once for each call, so that each has a span id of its own.
        """
        headers = {"traceparent": self.traceparent}
        if self.state is not None:
            headers["tracestate"] = self.state
        return headers

    @property
    def traceparent(self) -> str:
        """The header of one outgoing call; each time it is read, it names a new child span."""
        flags = int(self.sampled) | int(self.random) << 1
        # Zero is the one id that is invalid.
        span = secrets.randbits(64) or 1
        return f"00-{self.trace_id}-{span:016x}-{flags:02x}"


def trace() -> Filter[Trace]:
    """Extract the request's ids; every request has them."""
    return Filter(Native(plan.Trace(), Trace), (Slot(None, Trace),))
