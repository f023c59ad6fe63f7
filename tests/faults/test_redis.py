"""The Redis that replicas share goes away, hangs, and comes back: callers see none of it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.harness.gateway_clients import (
    ENTITIES,
    QUIET,
    REPORT,
    Writers,
    check_kept,
    client_of,
    entity,
    ready,
    serve,
)
from tests.harness.gateway_process import command_line, environment_of
from tests.harness.servers import free_port, running_redis
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from tests.harness.gateway_process import Gateway
    from tests.harness.servers import RedisServer


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


def command(redis: RedisServer, *words: str) -> None:
    """Tell the server something, as an operator does."""
    asked = ["redis-cli", "-p", str(redis.port), *words]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout == "OK\n"


def test_one_that_refuses_writes_shows_in_health_and_nobody_else_notices(
    replicas: tuple[Gateway, Gateway], redis: RedisServer
) -> None:
    with client_of(replicas[0]) as client:
        command(redis, "CONFIG", "SET", "maxmemory", "1")
        try:
            missing = ready(client)
            with Writers(replicas[0], ENTITIES, entity) as writers:
                writers.wait(30)
            told = client.post("/api/realtime/channels/entities:acme/publish", json={"data": 1})
        finally:
            command(redis, "CONFIG", "SET", "maxmemory", "0")
        wait_until(lambda: ready(client).status == "ok", "the cache")

    assert (missing.code, missing.status) == (200, "degraded")
    assert missing.failed() == {"cache": "the server refuses: OOM"}
    assert writers.refused == {}
    assert told.status_code < 500, told.text


def test_a_node_of_a_cluster_is_refused_at_start(tmp_path: Path, url: str) -> None:
    bus = str(free_port())
    with running_redis("--cluster-enabled", "yes", "--cluster-port", bus) as node:
        started = subprocess.run(
            command_line("serve", "--port", "0"),
            env=environment_of(
                tmp_path, {**QUIET, "NEXUS_DATABASE_URL": url, "NEXUS_REDIS_URL": node.url}
            ),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert started.returncode == 1
    assert "NEXUS_REDIS_URL is a node of a Redis Cluster" in started.stderr
    assert "Traceback" not in started.stderr
