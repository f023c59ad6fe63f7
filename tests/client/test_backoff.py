"""Delays: they double up to a cap, are drawn at random, and begin anew after a good connection."""

from __future__ import annotations

from nexus_gateway.client import Backoff


def test_the_ceiling_doubles_with_each_failure_up_to_the_cap() -> None:
    backoff = Backoff(1, 5, draw=lambda: 1.0)

    assert [backoff.next() for _ in range(5)] == [1, 2, 4, 5, 5]


def test_a_delay_is_any_part_of_its_ceiling() -> None:
    drawn = iter([0.0, 0.5])
    backoff = Backoff(1, 5, draw=lambda: next(drawn))

    assert [backoff.next(), backoff.next()] == [0, 1]


def test_a_good_connection_makes_the_next_delay_short_again_and_a_short_one_does_not() -> None:
    backoff = Backoff(1, 8, stable=5, draw=lambda: 1.0)
    backoff.next()
    backoff.next()

    backoff.lasted(4.9)
    after_a_short_one = backoff.next()
    backoff.lasted(5)

    assert (after_a_short_one, backoff.next()) == (4, 1)


def test_many_failures_do_not_overflow() -> None:
    backoff = Backoff(1, 30, draw=lambda: 1.0)

    assert {backoff.next() for _ in range(5000)} <= {1, 2, 4, 8, 16, 30}
