"""The Redis that replicas share goes away, hangs, and comes back: callers see none of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.gateway import (
    ENTITIES,
    REPORT,
    Writers,
    check_kept,
    client_of,
    entity,
    ready,
    serve,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from tests.acceptance.support import Gateway
    from tests.servers import RedisServer


@pytest.fixture
def replicas(tmp_path: Path, url: str, redis: RedisServer) -> Iterator[tuple[Gateway, Gateway]]:
    """Give two gateways over one database and one Redis."""
    shared = {"NEXUS_DATABASE_URL": url, "NEXUS_REDIS_URL": redis.url}
    with serve(tmp_path / "one", **shared) as one, serve(tmp_path / "two", **shared) as two:
        yield one, two


def entities(client: httpx.Client) -> int:
    answer = client.get(REPORT)
    assert answer.status_code == 200, answer.text
    total: int = answer.json()["totals"]["entities"]
    return total


def test_replicas_share_what_is_kept_and_see_each_others_changes(
    replicas: tuple[Gateway, Gateway],
) -> None:
    with client_of(replicas[0]) as one, client_of(replicas[1]) as two:
        made = one.get(REPORT)
        shared = two.get(REPORT)
        for number in range(5):
            one.post(ENTITIES, json=entity(f"e{number}"))
            assert entities(two) == number + 1

    assert made.json() == shared.json()


def test_killed_in_the_middle_of_writes_nobody_notices_but_health(
    replicas: tuple[Gateway, Gateway], redis: RedisServer
) -> None:
    with client_of(replicas[0]) as client, client_of(replicas[1]) as other:
        with Writers(replicas[0], ENTITIES, entity) as writers:
            writers.wait(30)
            redis.kill()
            writers.wait(30)
            missing = ready(client)
            total = entities(client)
            redis.start()
            # The second has an embedded graph of its own, which is not the one in use.
            wait_until(lambda: ready(client).status == "ok", "the cache")
            wait_until(lambda: list(ready(other).failed()) == ["graph"], "the cache of the other")
            writers.wait(30)
        seen = entities(other)
        check_kept(client, ENTITIES, writers)

    assert (missing.code, missing.status) == (200, "degraded")
    assert missing.failed() == {"cache": "connection refused"}
    assert writers.refused == {}
    assert writers.unanswered == []
    assert total > 0
    assert seen == len(writers.acknowledged)


def test_one_that_hangs_delays_a_call_a_second_at_most(
    replicas: tuple[Gateway, Gateway], redis: RedisServer
) -> None:
    redis.pause()
    try:
        with Writers(replicas[0], ENTITIES, entity) as writers:
            writers.wait(50)
        with client_of(replicas[0]) as client:
            missing = ready(client)
    finally:
        redis.resume()

    assert missing.failed() == {"cache": "no answer in time"}
    assert writers.refused == {}
    assert writers.longest < 1.5
