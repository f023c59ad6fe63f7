"""PostgreSQL goes away in the middle of writes, hangs, or is too slow."""

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
    refusals,
    serve,
)
from tests.harness.gateway_process import run
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.harness.gateway_process import Gateway
    from tests.harness.servers import PostgresServer

DEADLINE = 3.5
"""Seconds: the wait for a connection, a statement, and what a hanging server is given more."""
ROOM = "/api/intelligence"
EVERYTHING: list[tuple[str, str, object]] = [
    ("GET", ENTITIES, None),
    ("POST", ENTITIES, entity("x")),
    ("GET", f"{ENTITIES}/x", None),
    ("PUT", f"{ENTITIES}/x", entity("x")),
    ("PATCH", f"{ENTITIES}/x", {"name": "x"}),
    ("DELETE", f"{ENTITIES}/x", None),
    ("DELETE", f"{ENTITIES}/x?purge=true", None),
    ("POST", f"{ENTITIES}/x/restore", None),
    ("GET", f"{ENTITIES}/x/history", None),
    ("GET", f"{ENTITIES}/search?q=x", None),
    ("POST", f"{ENTITIES}:batch", {"items": [entity("x")]}),
    ("GET", f"{ROOM}/recommendations/x", None),
    ("GET", f"{ROOM}/entity-types", None),
    ("GET", f"{ROOM}/entity-types/x", None),
    ("PUT", f"{ROOM}/entity-types/x", {"attributes": {"type": "object"}}),
    ("DELETE", f"{ROOM}/entity-types/x", None),
    ("GET", f"{REPORT}?required=totals", None),
    ("GET", f"{REPORT}/jobs/x", None),
]


@pytest.fixture
def gateway(tmp_path: Path, url: str) -> Iterator[Gateway]:
    with serve(tmp_path / "gateway", NEXUS_DATABASE_URL=url) as gateway:
        yield gateway


def test_killed_in_the_middle_of_writes_nothing_acknowledged_is_lost_and_it_comes_back(
    gateway: Gateway, postgres: PostgresServer
) -> None:
    with client_of(gateway) as client:
        with Writers(gateway, ENTITIES, entity) as writers:
            writers.wait(50)
            postgres.kill()
            missing = ready(client)
            refused = refusals(client, EVERYTHING)
            postgres.start()
            wait_until(lambda: ready(client).code == 200, "ready again")
            writers.wait(50)
        check_kept(client, ENTITIES, writers)

    assert (missing.code, missing.failed()["database"]) == (503, "connection refused")
    unlike = [
        (what, answer)
        for what, answer in refused
        if (answer.status, answer.retry_after) != (503, "1") or answer.seconds > DEADLINE
    ]
    assert unlike == []
    assert {answer.code for _, answer in refused} <= {"database_error", "service_unavailable"}
    assert set(writers.refused) == {(503, "database_error")}
    assert writers.unanswered == []
    assert writers.longest < DEADLINE


def test_one_that_hangs_is_given_up_within_the_deadline_and_used_again(
    gateway: Gateway, postgres: PostgresServer
) -> None:
    with client_of(gateway) as client:
        client.post(ENTITIES, json=entity("before"))
        postgres.pause()
        try:
            answers = refusals(client, [("GET", f"{ENTITIES}/before", None)] * 8)
            missing = ready(client)
        finally:
            postgres.resume()
        wait_until(lambda: ready(client).code == 200, "ready again")
        found = client.get(f"{ENTITIES}/before").status_code

    assert {(answer.status, answer.code) for _, answer in answers} == {(503, "database_error")}
    assert max(answer.seconds for _, answer in answers) < DEADLINE
    assert (missing.code, "database" in missing.failed()) == (503, True)
    assert found == 200


def test_a_slow_one_exhausts_the_pool_and_the_wait_for_it_is_bounded(
    gateway: Gateway, postgres: PostgresServer, url: str
) -> None:
    lock = "BEGIN; LOCK TABLE entity; SELECT pg_sleep(60)"
    end = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE query ~ 'pg_sleep' AND pid <> pg_backend_pid()"
    )
    holder = subprocess.Popen(
        [*postgres.psql(url.rsplit("/", 1)[1]), "-c", lock],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with client_of(gateway) as client:
        wait_until(lambda: client.get(f"{ENTITIES}/x").status_code == 503, "the lock")
        answers = refusals(client, [("GET", f"{ENTITIES}/x", None)] * 12)
        alive = client.get("/health/live").status_code
        postgres.run(end)
        holder.wait(10)
        wait_until(lambda: client.get(f"{ENTITIES}/x").status_code == 404, "the pool again")

    assert {(answer.status, answer.code) for _, answer in answers} == {(503, "database_error")}
    # Four connections: the others wait for one in vain, and are told before those who have one.
    waited = sorted(answer.seconds for _, answer in answers)
    assert waited[0] < 0.9
    assert waited[-1] < DEADLINE
    assert alive == 200


def test_a_gateway_does_not_start_without_it_and_says_why(tmp_path: Path) -> None:
    url = "postgresql://nexus:hunter2@127.0.0.1:1/nexus"

    done = run(tmp_path, "serve", environment={**QUIET, "NEXUS_DATABASE_URL": url})

    assert done.returncode == 1
    assert "the database does not answer" in done.stderr
    assert "hunter2" not in done.stderr
