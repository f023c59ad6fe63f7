"""The report: side by side, under one deadline, kept a while, told as events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from nexus_gateway import path
from nexus_gateway.server import Application, Server
from nexus_gateway.server.tokens import mint
from nexus_gateway.studio.app import compose
from nexus_gateway.studio.intelligence.models import Window
from nexus_gateway.studio.intelligence.report import routes as report_routes
from nexus_gateway.studio.intelligence.report.later import LaterReports
from nexus_gateway.studio.intelligence.report.service import Reports, SectionDone
from nexus_gateway.studio.intelligence.service import now
from nexus_gateway.studio.intelligence.sqlite.store import SqliteEntities
from nexus_gateway.studio.storage.cache_local import LocalCache
from nexus_gateway.studio.storage.cache_redis import RedisCache
from nexus_gateway.studio.storage.errors import StorageUnavailable
from nexus_gateway.studio.storage.jobs import Jobs
from nexus_gateway.testing import Answer, request
from tests.harness.entity_caller import ENTITIES, ROOM, Caller, document, fields, tool
from tests.harness.tokens import TOKEN_LIFETIME_S
from tests.harness.waiting import Polling

if TYPE_CHECKING:
    from nexus_gateway.server.settings import Settings
    from nexus_gateway.studio.storage.sqlite import Database
    from nexus_gateway.testing import Client

REPORT = f"{ROOM}/comprehensive-report"
SECTIONS = ["totals", "by_type", "by_tag", "growth", "newest", "graph"]


def entities(answer: Answer) -> object:
    return msgspec.convert(document(answer)["totals"], dict[str, object])["entities"]


def test_a_report_is_given_again_until_something_changes(alice: Caller) -> None:
    first = alice.get(REPORT)
    again = alice.get(REPORT)
    asked_anew = alice.get(REPORT, cache_control="no-cache")
    alice.post(ENTITIES, tool("a"))
    changed = alice.get(REPORT)
    alice.take(msgspec.json.encode(tool("b")))
    imported = alice.get(REPORT)
    alice.delete("a")
    deleted = alice.get(REPORT)

    assert (first.header("age"), first.header("cache-control")) == ("0", "private, max-age=5")
    assert first.body == again.body != asked_anew.body
    assert [entities(answer) for answer in (first, changed, imported, deleted)] == [0, 1, 2, 1]
    parts = msgspec.convert(document(first)["parts"], list[dict[str, object]])
    assert [(part["name"], part["status"]) for part in parts] == [(name, "ok") for name in SECTIONS]


def test_another_window_is_another_report(alice: Caller) -> None:
    day = msgspec.convert(document(alice.get(REPORT))["growth"], list[object])
    hour = msgspec.convert(document(alice.get(f"{REPORT}?bucket=hour"))["growth"], list[object])

    assert (len(day), len(hour)) == (30, 48)


def test_an_unknown_required_section_is_refused(alice: Caller) -> None:
    answer = alice.get(f"{REPORT}?required=nothing")

    assert (answer.status, fields(answer)) == (400, ["required"])


def test_progress_is_told_as_events(alice: Caller) -> None:
    answer = alice.get(REPORT, accept="text/event-stream")

    events = [event.split("\n") for event in answer.body.decode().split("\n\n")[:-1]]
    names = [event[0] for event in events]
    last = msgspec.json.decode(events[-1][1].removeprefix("data: "), type=dict[str, object])
    assert answer.header("content-type") == "text/event-stream"
    assert names == ["event: section"] * 6 + ["event: report"]
    assert last["degraded"] == []


async def never(tenant: str) -> object:
    await asyncio.Event().wait()
    return None


async def down(tenant: str) -> object:
    raise StorageUnavailable("no graph")


async def graph(tenant: str) -> object:
    return {"nodes": 3}


async def test_a_section_that_is_late_is_named_and_the_others_are_given(
    database: Database,
) -> None:
    reports = Reports(SqliteEntities(database), now, sections={"graph": never})

    kept = await reports.report("", Window(), seconds=0.2)

    assert kept.report.degraded == ("graph",)
    assert kept.report.parts[-1].status == "late"
    assert kept.report.totals is not None
    assert len(asyncio.all_tasks()) == 1


async def test_a_further_section_is_in_the_report(database: Database) -> None:
    reports = Reports(SqliteEntities(database), now, sections={"graph": graph})

    kept = await reports.report("", Window())

    assert kept.report.graph == msgspec.Raw(b'{"nodes":3}')
    assert reports.names[-1] == "graph"


async def test_a_degraded_report_is_not_kept(database: Database) -> None:
    reports = Reports(SqliteEntities(database), now, sections={"graph": down})

    first = await reports.report("", Window())
    second = await reports.report("", Window())

    assert first.report.parts[-1].status == "failed"
    assert second.report is not first.report


async def test_who_asks_at_the_same_moment_gets_the_same_report(database: Database) -> None:
    reports = Reports(SqliteEntities(database), now)

    first, second = await asyncio.gather(reports.report("", Window()), reports.report("", Window()))
    other = await reports.report("other", Window())

    assert first.report is second.report
    assert other.report is not first.report


async def test_a_change_while_a_report_is_made_is_not_overlooked(database: Database) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(tenant: str) -> object:
        begun.set()
        await go.wait()
        return None

    reports = Reports(SqliteEntities(database), now, sections={"graph": slow})
    making = asyncio.create_task(reports.report("", Window()))
    await begun.wait()
    await reports.forget("")
    go.set()

    old = await making
    new = await reports.report("", Window())

    assert new.report is not old.report


async def test_one_that_no_longer_waits_does_not_end_the_making(database: Database) -> None:
    reports = Reports(SqliteEntities(database), now)
    first = asyncio.create_task(reports.report("", Window()))
    await asyncio.sleep(0)
    second = asyncio.create_task(reports.report("", Window()))
    await asyncio.sleep(0)
    first.cancel()

    assert (await second).report.degraded == ()
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_steps_that_nobody_reads_end_their_sections(database: Database) -> None:
    reports = Reports(SqliteEntities(database), now, sections={"graph": never})
    steps = reports.steps("", Window(), seconds=60)

    first = await anext(steps)
    await steps.aclose()

    assert isinstance(first, SectionDone)
    assert len(asyncio.all_tasks()) == 1


async def test_a_required_section_that_is_missing_answers_503(
    database: Database, settings: Settings
) -> None:
    reports = Reports(SqliteEntities(database), now, sections={"graph": down})
    studio = compose(settings)
    later = LaterReports(reports, Jobs(database))
    application = Application(
        routes=report_routes.routes(reports, later, path("")),
        tokens=studio.tokens,
        secrets=studio.secrets,
    )
    secret = settings.secret()
    assert secret is not None
    token = mint(secret, "alice", ["intelligence:read"], TOKEN_LIFETIME_S)
    async with Server(application) as server:
        asked = request(f"GET {REPORT}?required=graph&required=totals").bearer(token)
        refused = await asked.send(server)
        partial = await request(f"GET {REPORT}?required=totals").bearer(token).send(server)

    assert (refused.status, document(refused)["code"]) == (503, "service_unavailable")
    assert refused.header("retry-after") == "1"
    assert (partial.status, document(partial)["degraded"]) == (200, ["graph"])
    assert partial.header("cache-control") == "private, max-age=0"


async def test_replicas_share_what_is_kept_and_what_is_forgotten(
    database: Database, redis_url: str
) -> None:
    async with RedisCache(redis_url) as one, RedisCache(redis_url) as two:
        here = Reports(SqliteEntities(database), now, cache=one)
        there = Reports(SqliteEntities(database), now, cache=two)
        first = await here.report("", Window())
        shared = await there.report("", Window())
        await here.forget("")
        anew = await there.report("", Window())

    assert (shared.report, shared.age > 0) == (first.report, True)
    assert anew.report.generated_at > first.report.generated_at


async def test_what_another_version_kept_is_made_anew(database: Database) -> None:
    cache = LocalCache()
    state = (await cache.look("report ", "day 20")).state
    await cache.keep("report ", "day 20", b'{"generated_at":1}', ttl=60, state=state)

    kept = await Reports(SqliteEntities(database), now, cache=cache).report("", Window())

    assert kept.age == 0


# --- later ---


def test_a_report_may_be_made_later(alice: Caller, client: Client, settings: Settings) -> None:
    alice.post(ENTITIES, tool("a"))

    accepted = alice.get(f"{REPORT}?top=3", prefer="wait=5, respond-async")
    place = accepted.header("location") or ""
    polling = Polling("the report is made")
    answer = alice.get(place)
    while document(answer)["state"] != "done":
        assert answer.header("retry-after") == "1"
        polling.pause()
        answer = alice.get(place)

    found = document(answer)
    report = msgspec.convert(found["report"], dict[str, object])
    assert (accepted.status, accepted.header("preference-applied")) == (202, "respond-async")
    assert (answer.status, answer.header("retry-after"), found["error"]) == (200, None, None)
    assert msgspec.convert(report["totals"], dict[str, object])["entities"] == 1
    assert sorted(msgspec.convert(found["done"], list[str])) == sorted(SECTIONS)
    assert Caller(client, settings, "*", "other").get(place).status == 404
    assert alice.get(f"{REPORT}/jobs/none").status == 404
