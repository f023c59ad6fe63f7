"""Rates as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_gateway.values.rate import Rate, parse, rate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100/s", Rate(100, 1_000, 100)),
        ("100/min burst 20", Rate(100, 60_000, 20)),
        (" 5 / Hour  BURST 1 ", Rate(5, 3_600_000, 1)),
        ("1/day", Rate(1, 86_400_000, 1)),
        ("7/second", Rate(7, 1_000, 7)),
    ],
)
def test_a_rate_is_read(text: str, expected: Rate) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text", ["", "100", "100/", "/s", "100/fortnight", "1.5/s", "-1/s", "1/s 2"]
)
def test_what_is_no_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"such as '100/min' or '100/s burst 200'") as caught:
        parse(text)

    assert repr(text) in str(caught.value)


def test_the_burst_may_be_given_apart() -> None:
    assert parse("100/s", burst=5) == Rate(100, 1_000, 5)
    with pytest.raises(ValueError, match="the burst is given twice"):
        parse("100/s burst 2", burst=5)


@pytest.mark.parametrize(("requests", "burst"), [(0, 1), (1, 0), (2**32, 1), (1, 2**32)])
def test_numbers_are_in_range(requests: int, burst: int) -> None:
    with pytest.raises(ValueError, match="must be 1 to 4294967295"):
        rate(requests, 1000, burst)


@given(st.integers(1, 2**32 - 1), st.sampled_from([1_000, 60_000, 3_600_000]), st.integers(1, 99))
def test_a_rate_is_read_as_it_is_written(requests: int, period_ms: int, burst: int) -> None:
    written = rate(requests, period_ms, burst)

    assert parse(str(written)) == written


def test_an_odd_period_is_written_in_milliseconds() -> None:
    assert str(Rate(1, 1500, 2)) == "1/1500ms burst 2"
