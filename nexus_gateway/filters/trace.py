"""`trace`: the ids of a request (W3C Trace Context), for calls that a handler makes in its turn."""

from __future__ import annotations

import msgspec

from nexus_gateway import plan
from nexus_gateway.filter import Filter
from nexus_gateway.node import Native, Slot


class Trace(msgspec.Struct, frozen=True):
    """The ids of one request: hexadecimal as in `traceparent`, and the request id of the answer."""

    trace_id: str
    span_id: str
    parent_id: str | None = None
    sampled: bool = False
    request_id: str = ""
    state: str | None = None

    @property
    def traceparent(self) -> str:
        """The header to send along: the gateway's span is the parent of what is called."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


def trace() -> Filter[Trace]:
    """Extract the request's ids; every request has them."""
    return Filter(Native(plan.Trace(), Trace), (Slot(None, Trace),))
