"""`trace`: the ids of a request."""

from __future__ import annotations

from nexus_gateway import Trace, trace
from nexus_gateway.testing import request

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_the_callers_trace_goes_on() -> None:
    sent = request("GET /x").header("traceparent", PARENT).header("x-request-id", "abc-123")

    (found,) = sent.extract(trace())

    assert found.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert (found.parent_id, found.sampled) == ("b7ad6b7169203331", True)
    assert found.request_id == "abc-123"
    assert found.span_id != found.parent_id


def test_every_request_has_a_trace() -> None:
    (found,) = request("GET /x").extract(trace())

    assert len(found.trace_id) == 32
    assert found.parent_id is None
    assert found.request_id


def test_calls_in_turn_carry_the_gateways_span() -> None:
    assert Trace("a" * 32, "b" * 16).traceparent == f"00-{'a' * 32}-{'b' * 16}-00"
    assert Trace("a" * 32, "b" * 16, sampled=True).traceparent.endswith("-01")
