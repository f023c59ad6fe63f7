"""The service upon each of its stores: what is kept, refused, listed, found and summed up."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest

from nexus_gateway.studio.conditions import Condition
from nexus_gateway.studio.intelligence.errors import (
    AlreadyExists,
    BadQuery,
    NotFound,
    RevisionMismatch,
)
from nexus_gateway.studio.intelligence.models import (
    Content,
    Draft,
    Entity,
    Patch,
    Report,
    Selection,
    Window,
    version_of,
)
from nexus_gateway.studio.intelligence.postgres.store import PostgresEntities
from nexus_gateway.studio.intelligence.report.service import Reports
from nexus_gateway.studio.intelligence.service import Entities
from nexus_gateway.studio.storage.errors import BadText, StorageUnavailable
from nexus_gateway.studio.storage.postgres import Postgres
from tests.harness.waiting import Polling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_gateway.studio.intelligence.models import Count
    from nexus_gateway.studio.intelligence.store import EntityStore
    from nexus_gateway.studio.storage.postgres import Session
    from nexus_gateway.studio.storage.sqlite import Database

ANY = Condition()


def draft(entity_id: str, *tags: str, kind: str = "tool", **attributes: object) -> Draft:
    return Draft(entity_id=entity_id, entity_type=kind, tags=tags, attributes=attributes)


def ids(items: Sequence[Entity]) -> list[str]:
    return [entity.entity_id for entity in items]


async def report_of(entities: Entities, tenant: str, window: Window) -> Report:
    reports = Reports(entities.store, entities.clock, fresh=0)
    return (await reports.report(tenant, window)).report


async def fill(entities: Entities, *drafts: Draft, tenant: str = "") -> None:
    await entities.put_all(tenant, drafts)


# --- create, get, replace, change, delete ---


async def test_what_is_created_is_got(entities: Entities) -> None:
    made = await entities.create("", draft("a", "x", "y", "x", size=3, deep={"k": [1, None]}))

    assert await entities.get("", "a") == made
    assert made.tags == ("x", "y")
    assert msgspec.json.decode(made.attributes) == {"size": 3, "deep": {"k": [1, None]}}
    assert made.revision == 1
    assert made.created_at == made.updated_at


async def test_an_id_that_is_taken_is_refused(entities: Entities) -> None:
    await entities.create("", draft("a"))

    with pytest.raises(AlreadyExists, match="'a'"):
        await entities.create("", draft("a"))


async def test_of_many_who_create_the_same_one_does_and_its_tags_count_once(
    entities: Entities, store: EntityStore
) -> None:
    drafts = [draft(f"e{number % 5}", "a", "b") for number in range(20)]

    results = await asyncio.gather(
        *(entities.create("acme", one) for one in drafts), return_exceptions=True
    )

    refused = [result for result in results if isinstance(result, AlreadyExists)]
    assert len(refused) == 15
    assert [(one.value, one.count) for one in await store.by_tag("acme", 10)] == [
        ("a", 5),
        ("b", 5),
    ]


async def test_many_created_at_once_are_each_kept_and_told_once(
    entities: Entities, engine: Database | Postgres
) -> None:
    drafts = [draft(f"e{number}", "a", f"t{number % 3}") for number in range(100)]
    await entities.create("a", Draft(entity_id="held", entity_type="tool", aliases=("e7",)))

    results = await asyncio.gather(
        *(entities.create(tenant, one) for one in drafts for tenant in ("a", "b")),
        return_exceptions=True,
    )

    refused = [result for result in results if isinstance(result, BaseException)]
    assert [type(one).__name__ for one in refused] == ["AlreadyExists"]
    for tenant, count in (("a", 99), ("b", 100)):
        kept = await entities.page(tenant, Selection(limit=200))
        assert sorted(one.entity_id for one in kept.items if one.entity_id != "held") == sorted(
            one.entity_id for one in drafts if tenant == "b" or one.entity_id != "e7"
        )
        totals = {one.value: one.count for one in await entities.store.by_tag(tenant, 10)}
        assert totals["a"] == count
        assert sum(totals.values()) == 2 * count
        rows = await engine.query(
            "SELECT payload FROM outbox WHERE tenant = $1 AND row_key <> 'held'", tenant
        )
        told = [msgspec.json.decode(str(row[0]))["created"] for row in rows]
        assert sorted(one for ids in told for one in ids) == sorted(
            one.entity_id for one in kept.items if one.entity_id != "held"
        )


async def test_one_that_cannot_be_kept_keeps_no_other_from_being_made(entities: Entities) -> None:
    drafts = [draft(f"e{number}") for number in range(20)]
    # What routes refuse; the store must not lose the others for it.
    drafts[9] = msgspec.structs.replace(drafts[9], entity_id="bad")
    msgspec.structs.force_setattr(drafts[9], "name", "x\0y")

    results = await asyncio.gather(
        *(entities.create("", one) for one in drafts), return_exceptions=True
    )

    bad = results.pop(9)
    assert isinstance(bad, Entity | BadText)  # SQLite keeps it
    assert all(isinstance(result, Entity) for result in results)
    assert len((await entities.page("", Selection(limit=50))).items) == 19 + isinstance(bad, Entity)


WAITING = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'entity'::regclass"


async def test_an_entity_waits_for_those_before_it_as_long_as_the_database_lets_it(
    postgres_url: str,
) -> None:
    async with Postgres(postgres_url, pool=6, wait=0.3) as database:
        entities = Entities(PostgresEntities(database))

        async def hold(session: Session) -> list[asyncio.Task[Entity]]:
            await session.execute("LOCK TABLE entity")
            held_up: list[asyncio.Task[Entity]] = []
            for number in range(4):  # a batch of its own each, and there are four at most
                made = entities.create("", draft(f"e{number}"))
                held_up.append(asyncio.create_task(made))
                polling = Polling("the batch waits for the table")
                while len(await database.query(WAITING)) <= number:
                    await polling.turn()
            with pytest.raises(StorageUnavailable, match="too busy"):
                await entities.create("", draft("late"))
            return held_up

        await asyncio.gather(*await database.write(hold))
        kept = (await entities.page("", Selection())).items
        assert sorted(ids(kept)) == ["e0", "e1", "e2", "e3"]


async def test_what_is_not_there_cannot_be_got_changed_or_deleted(entities: Entities) -> None:
    with pytest.raises(NotFound):
        await entities.get("", "a")
    with pytest.raises(NotFound):
        await entities.patch("", "a", Patch(name="x"), ANY)
    with pytest.raises(NotFound):
        await entities.remove("", "a", ANY)


async def test_put_creates_and_then_replaces_everything(entities: Entities) -> None:
    content = Content(entity_type="tool", name="A", tags=("x",), attributes={"k": 1})

    first, new = await entities.put("", "a", content, ANY)
    second, newer = await entities.put("", "a", Content(entity_type="person"), ANY)

    assert (new, newer) == (True, False)
    assert (second.entity_type, second.name, second.tags) == ("person", None, ())
    assert (second.revision, second.created_at) == (2, first.created_at)


async def test_put_of_the_same_changes_nothing(entities: Entities) -> None:
    first, _ = await entities.put("", "a", Content(entity_type="tool", tags=("x",)), ANY)

    again, new = await entities.put("", "a", Content(entity_type="tool", tags=("x",)), ANY)

    assert (again, new) == (first, False)


async def test_patch_merges_attributes_and_leaves_the_rest(entities: Entities) -> None:
    await entities.create("", draft("a", "x", kind="tool", keep=1, drop=2, deep={"k": 1, "l": 2}))

    patch = Patch(name="A", attributes={"drop": None, "deep": {"l": None, "m": [None]}, "new": {}})
    changed = await entities.patch("", "a", patch, ANY)

    assert (changed.name, changed.tags, changed.entity_type) == ("A", ("x",), "tool")
    assert msgspec.json.decode(changed.attributes) == {
        "keep": 1,
        "deep": {"k": 1, "m": [None]},
        "new": {},
    }


async def test_patch_with_null_empties(entities: Entities) -> None:
    await entities.create("", draft("a", "x", k=1))

    changed = await entities.patch("", "a", Patch(name=None, tags=None, attributes=None), ANY)

    assert (changed.name, changed.tags, bytes(changed.attributes)) == (None, (), b"{}")


async def test_a_deleted_entity_is_gone_from_lists_and_totals(entities: Entities) -> None:
    await fill(entities, draft("a", "x", text="needle"), draft("b", "x"))

    await entities.remove("", "a", ANY)

    report = await report_of(entities, "", Window())
    assert ids((await entities.page("", Selection())).items) == ["b"]
    assert report.by_tag is not None
    assert [(count.value, count.count) for count in report.by_tag] == [("x", 1)]


async def test_a_condition_that_does_not_hold_stops_the_change(entities: Entities) -> None:
    entity = await entities.create("", draft("a"))
    other = Content(entity_type="other")

    for condition in (Condition(versions=("9",)), Condition(absent=True)):
        with pytest.raises(RevisionMismatch, match="has revision 1"):
            await entities.put("", "a", other, condition)
    with pytest.raises(RevisionMismatch, match="there is none"):
        await entities.put("", "b", other, Condition(present=True))

    assert await entities.get("", "a") == entity


async def test_a_condition_that_holds_lets_the_change_pass(entities: Entities) -> None:
    entity = await entities.create("", draft("a"))

    named = Condition(versions=("x", version_of(entity)))
    second = await entities.patch("", "a", Patch(name="A"), named)
    await entities.remove("", "a", Condition(versions=(str(second.revision),), present=True))
    _, new = await entities.put("", "a", Content(entity_type="tool"), Condition(absent=True))

    assert new


async def test_of_two_that_change_the_same_revision_one_is_refused(entities: Entities) -> None:
    entity = await entities.create("", draft("a"))
    expected = Condition(versions=(version_of(entity),))

    results = await asyncio.gather(
        *(entities.patch("", "a", Patch(name=name), expected) for name in ("x", "y")),
        return_exceptions=True,
    )

    assert sorted(type(result).__name__ for result in results) == ["Entity", "RevisionMismatch"]


async def test_a_new_entity_under_an_old_id_has_another_version(entities: Entities) -> None:
    old = await entities.create("", draft("a"))
    await entities.remove("", "a", ANY)
    new = await entities.create("", draft("a"))

    assert new.revision == old.revision
    assert version_of(new) != version_of(old)


async def test_a_batch_tells_what_became_of_each(entities: Entities) -> None:
    await fill(entities, draft("a", "x"), draft("b", "x"))

    done = await entities.put_all("", (draft("a", "x"), draft("b", "y"), draft("c"), draft("c")))

    assert (done.created, done.updated, done.unchanged) == (1, 1, 2)
    assert [(one.entity_id, one.result, one.revision) for one in done.items] == [
        ("a", "unchanged", 1),
        ("b", "updated", 2),
        ("c", "created", 1),
        ("c", "unchanged", 1),
    ]


# --- tenants ---


async def test_tenants_never_see_each_other(entities: Entities) -> None:
    await fill(entities, draft("a", "x", text="needle"), draft("b", "x"), tenant="one")
    await fill(entities, draft("a", "x", "z", kind="other"), tenant="two")

    assert (await entities.get("two", "a")).entity_type == "other"
    with pytest.raises(NotFound):
        await entities.get("two", "b")
    assert ids((await entities.page("two", Selection(tag="x"))).items) == ["a"]
    report = await report_of(entities, "two", Window())
    assert report.totals is not None
    assert (report.totals.entities, report.totals.tags) == (1, 2)


async def test_a_cursor_of_one_tenant_is_refused_for_another(entities: Entities) -> None:
    await fill(entities, draft("a"), draft("b"), tenant="one")
    page = await entities.page("one", Selection(limit=1))

    with pytest.raises(BadQuery, match="cursor"):
        await entities.page("two", Selection(limit=1, cursor=page.next_cursor))


# --- lists ---


async def test_pages_show_each_entity_once_while_others_come_and_go(entities: Entities) -> None:
    await fill(entities, *(draft(f"e{number}") for number in range(10)))

    seen: list[str] = []
    cursor: str | None = None
    for turn in range(20):
        page = await entities.page("", Selection(limit=3, cursor=cursor))
        seen += ids(page.items)
        cursor = page.next_cursor
        if cursor is None:
            break
        await entities.create("", draft(f"new{turn}"))
        if turn == 0:
            await entities.remove("", "e2", ANY)
            await entities.remove("", "e5", ANY)

    assert len(seen) == len(set(seen))
    assert {f"e{number}" for number in range(10)} - set(seen) == {"e5"}


async def test_a_list_is_narrowed_by_type_and_tag(entities: Entities) -> None:
    await fill(
        entities,
        draft("a", "x"),
        draft("b", "x", kind="person"),
        draft("c", "y", kind="person"),
    )

    by_type = await entities.page("", Selection(type="person"))
    by_tag = await entities.page("", Selection(tag="x"))
    by_both = await entities.page("", Selection(type="person", tag="x"))

    assert (ids(by_type.items), ids(by_tag.items)) == (["b", "c"], ["a", "b"])
    assert ids(by_both.items) == ["b"]
    assert by_both.next_cursor is None


# --- the report ---


async def test_the_report_sums_up(store: EntityStore) -> None:
    start = datetime(2026, 3, 1, 12, tzinfo=UTC)
    days = iter([start - timedelta(days=40), start - timedelta(days=1), start, start])
    entities = Entities(store, clock=lambda: next(days))
    await entities.create("", draft("old", "x"))
    await entities.put_all("", (draft("a", "x", "y"), draft("b", "x", kind="person")))
    await entities.create("", draft("c"))

    report = await report_of(entities, "", Window())

    assert report.generated_at == start
    assert report.degraded == ()
    assert report.totals is not None
    assert (report.totals.entities, report.totals.types, report.totals.tags) == (4, 2, 2)
    assert pairs(report.by_type) == [("tool", 3), ("person", 1)]
    assert pairs(report.by_tag) == [("x", 3), ("y", 1)]
    assert report.newest is not None
    assert ids(report.newest)[0] == "c"
    assert report.growth is not None
    assert len(report.growth) == 30
    assert [(growth.created, growth.total) for growth in report.growth[-3:]] == [
        (0, 1),
        (2, 3),
        (1, 4),
    ]


async def test_growth_by_the_hour_has_48_hours(entities: Entities) -> None:
    await fill(entities, draft("a"))

    growth = (await report_of(entities, "", Window(bucket="hour"))).growth

    assert growth is not None
    assert len(growth) == 48
    assert growth[-1].created == 1


async def test_a_section_that_fails_is_named_and_the_others_are_given(
    engine: Database | Postgres, entities: Entities
) -> None:
    await fill(entities, draft("a"))
    await engine.command("DROP TABLE tag_total")

    report = await report_of(entities, "", Window())

    assert report.degraded == ("by_tag", "totals")
    assert report.by_tag is None
    assert pairs(report.by_type) == [("tool", 1)]


async def test_a_report_without_any_section_is_refused(
    entities: Entities, engine: Database | Postgres
) -> None:
    for table in ("entity_tag", "entity_alias", "tag_total", "entity"):
        await engine.command(f"DROP TABLE {table}")

    with pytest.raises(StorageUnavailable):
        await report_of(entities, "", Window())


def pairs(counts: Sequence[Count] | None) -> list[tuple[str, int]]:
    assert counts is not None
    return [(count.value, count.count) for count in counts]
