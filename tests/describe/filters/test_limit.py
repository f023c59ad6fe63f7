"""`rate_limit`: how it is written, and that the core keeps it."""

from __future__ import annotations

import pytest

from nexus_gateway import auth, get, path, rate_limit
from nexus_gateway.describe.node import RateLimit
from nexus_gateway.testing import Client, request
from tests.harness.in_process import application, bearer, refused


async def show(claims: object) -> None: ...


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (rate_limit("100/min burst 20"), (100, 60_000, 20)),
        (rate_limit("100/min", burst=20), (100, 60_000, 20)),
        (rate_limit(per_second=5), (5, 1_000, 5)),
        (rate_limit(per_minute=5, burst=1), (5, 60_000, 1)),
    ],
)
def test_a_limit_is_written_in_one_of_three_ways(
    written: object, expected: tuple[int, int, int]
) -> None:
    node: object = getattr(written, "node")  # noqa: B009  # the parameter's type is pytest's to know

    assert isinstance(node, RateLimit)
    assert (node.requests, node.period_ms, node.burst) == expected


def test_exactly_one_rate_is_given() -> None:
    with pytest.raises(ValueError, match="takes one of"):
        rate_limit()
    with pytest.raises(ValueError, match="takes one of"):
        rate_limit("1/s", per_second=1)


def test_a_rate_is_at_least_one() -> None:
    with pytest.raises(ValueError, match="must be 1 to"):
        rate_limit(per_second=0)


def test_exactly_the_burst_passes_at_once_and_each_subject_has_its_own() -> None:
    chain = path("x") & get() & auth() & rate_limit("100/min burst 20")
    served = application(chain.then(show))

    with Client(served) as client:
        alice = [client.send(bearer(request("GET /x"))).status for _ in range(25)]
        bob = client.send(bearer(request("GET /x"), subject="bob"))
        status, error = refused(last := client.send(bearer(request("GET /x"))))

    assert alice == [204] * 20 + [429] * 5
    assert bob.status == 204
    assert (status, error.code) == (429, "rate_limit_exceeded")
    assert int(last.header("retry-after") or "") >= 1
    assert (last.header("ratelimit-policy") or "").startswith('"subject"')
