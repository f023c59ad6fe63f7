"""The gateway itself is killed in the middle of writes, over every store it may have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.gateway_clients import (
    ENTITIES,
    NODES,
    REPORT,
    Writers,
    check_kept,
    client_of,
    entity,
    node,
    serve,
)
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["sqlite", "postgres"])
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    if request.param == "sqlite":
        return {}
    url: str = request.getfixturevalue("url")
    return {"NEXUS_DATABASE_URL": url}


def test_killed_in_the_middle_of_writes_it_has_all_that_it_acknowledged(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    folder = tmp_path / "gateway"
    with (
        serve(folder, **environment) as gateway,
        Writers(gateway, ENTITIES, entity) as entities,
        Writers(gateway, NODES, node, prefix="n") as nodes,
    ):
        entities.wait(50)
        nodes.wait(50)
        gateway.process.kill()

    with serve(folder, **environment) as again, client_of(again) as client:
        check_kept(client, ENTITIES, entities)
        check_kept(client, NODES, nodes)
        # Who got no answer may repeat it: it is there or it is made, and never twice.
        repeated = [client.post(ENTITIES, json=entity(name)) for name in entities.unanswered[:20]]
        check_kept(client, ENTITIES, entities)

    assert {answer.status_code for answer in repeated} <= {201, 409}


def test_a_job_that_was_accepted_is_done_by_whoever_comes_next(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    folder = tmp_path / "gateway"
    wanted = {"prefer": "respond-async"}
    with serve(folder, **environment) as gateway, client_of(gateway) as client:
        accepted = [client.get(REPORT, params={"top": top}, headers=wanted) for top in range(1, 6)]
        gateway.process.kill()

    assert {answer.status_code for answer in accepted} == {202}
    with serve(folder, **environment) as again, client_of(again) as client:
        places = [answer.headers["location"] for answer in accepted]
        wait_until(
            lambda: {client.get(place).json()["state"] for place in places} == {"done"}, "the jobs"
        )
