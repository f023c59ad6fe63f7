"""`trace`: the ids of a request."""

from __future__ import annotations

import re

import pytest

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


def test_each_outgoing_call_is_a_span_of_its_own_below_the_request() -> None:
    ids = Trace("a" * 32, "b" * 16, sampled=True, random=True, state="vendor=1")

    calls = [ids.outgoing() for _ in range(100)]

    spans = {call["traceparent"].split("-")[2] for call in calls}
    assert len(spans - {ids.span_id, "0" * 16}) == 100
    for call in calls:
        assert re.fullmatch(f"00-{ids.trace_id}-[0-9a-f]{{16}}-03", call["traceparent"])
        assert call["tracestate"] == "vendor=1"
    assert ids.traceparent != ids.traceparent


@pytest.mark.parametrize(
    ("sampled", "random", "flags"), [(False, False, "00"), (True, False, "01"), (False, True, "02")]
)
def test_an_outgoing_call_has_the_flags_of_its_trace(
    *, sampled: bool, random: bool, flags: str
) -> None:
    ids = Trace("a" * 32, "b" * 16, sampled=sampled, random=random)

    assert ids.outgoing().keys() == {"traceparent"}
    assert ids.traceparent.endswith(f"-{flags}")


@pytest.mark.parametrize("flags", ["00", "01", "02", "03"])
def test_the_flags_of_the_caller_are_those_of_the_trace(flags: str) -> None:
    (found,) = request("GET /x").header("traceparent", PARENT[:-2] + flags).extract(trace())

    assert found.traceparent.endswith(f"-{flags}")
