"""Jobs, over both engines: what is accepted is done once its process lives, and not forgotten."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from nexus_gateway.studio.storage.errors import StorageUnavailable
from nexus_gateway.studio.storage.jobs import JobRefused, Jobs
from nexus_gateway.studio.storage.worker import Worker
from tests.harness.waiting import Polling, never

if TYPE_CHECKING:
    from collections.abc import Callable

    from nexus_gateway.studio.storage.engine import Engine
    from nexus_gateway.studio.storage.jobs import Job, State
    from nexus_gateway.studio.storage.worker import Attempt, Handler


@pytest.fixture
def jobs(engine: Engine) -> Jobs:
    return Jobs(engine, attempts=2)


def worker(jobs: Jobs, handler: Handler, **settings: float) -> Worker:
    timing = {"lease": 5.0, "poll": 0.02, "first_delay": 0.01, **settings}
    return Worker(jobs, {"sum": handler}, slots=2, **timing)


async def until(jobs: Jobs, job: Job, holds: Callable[[Job], bool]) -> Job:
    """Wait until a job stands so."""
    polling = Polling("the job has reached a state")
    while True:
        found = await jobs.get(job.tenant, job.id)
        assert found is not None
        if holds(found):
            return found
        await polling.turn()


async def ended(jobs: Jobs, job: Job, state: State) -> Job:
    return await until(jobs, job, lambda found: found.state == state)


# --- keeping them ---


async def test_a_job_is_kept_as_it_was_given(jobs: Jobs) -> None:
    job, new = await jobs.add("acme", "sum", {"numbers": [1, 2]})

    payload = await jobs.payload("acme", job.id)
    assert new
    assert (job.state, job.attempts, job.tenant, job.kind) == ("queued", 0, "acme", "sum")
    assert await jobs.get("acme", job.id) == job
    assert payload is not None
    assert bytes(payload) == b'{"numbers":[1,2]}'


async def test_nobody_sees_the_jobs_of_another_tenant(jobs: Jobs) -> None:
    job, _ = await jobs.add("acme", "sum", {})

    assert await jobs.get("other", job.id) is None
    assert await jobs.payload("other", job.id) is None
    assert await jobs.page("other") == []
    assert await jobs.cancel("other", job.id) is None
    assert await jobs.retry("other", job.id) is None


async def test_a_key_is_of_one_unfinished_job_only(jobs: Jobs) -> None:
    first, _ = await jobs.add("acme", "sum", 1, key="k")

    again, new = await jobs.add("acme", "sum", 2, key="k")
    elsewhere = [
        await jobs.add("other", "sum", 1, key="k"),
        await jobs.add("acme", "max", 1, key="k"),
    ]
    await jobs.cancel("acme", first.id)
    after, anew = await jobs.add("acme", "sum", 3, key="k")

    assert (again.id, new) == (first.id, False)
    assert [made for _, made in elsewhere] == [True, True]
    assert anew
    assert after.id != first.id


async def test_of_many_that_are_added_at_once_under_one_key_one_is_kept(jobs: Jobs) -> None:
    added = await asyncio.gather(*(jobs.add("acme", "sum", n, key="k") for n in range(8)))

    assert sum(new for _, new in added) == 1
    assert len({job.id for job, _ in added}) == 1


async def test_jobs_are_listed_by_kind_and_state_the_newest_first(jobs: Jobs) -> None:
    made = [(await jobs.add("acme", kind, {}))[0] for kind in ("sum", "max", "sum", "sum")]
    await jobs.cancel("acme", made[0].id)

    everything = await jobs.page("acme", limit=3)
    rest = await jobs.page("acme", before=everything[-1].number)
    queued = await jobs.page("acme", kind="sum", state="queued")

    assert [job.id for job in everything] == [job.id for job in reversed(made[1:])]
    assert [job.id for job in rest] == [made[0].id]
    assert [job.id for job in queued] == [made[3].id, made[2].id]


# --- claims ---


async def test_a_claim_is_of_one_worker_only(jobs: Jobs) -> None:
    for number in range(6):
        await jobs.add("acme", "sum", number)

    claims = await asyncio.gather(*(jobs.claim(["sum"], limit=3, lease=60) for _ in range(4)))

    claimed = [claim.job.id for part in claims for claim in part]
    assert len(claimed) == len(set(claimed)) == 6
    assert all(claim.job.attempts == 1 for part in claims for claim in part)


async def test_only_named_kinds_that_are_due_are_claimed(jobs: Jobs) -> None:
    await jobs.add("acme", "max", 1)
    await jobs.add("acme", "sum", 2, delay=60)

    assert await jobs.claim(["sum", "min"], limit=5, lease=60) == []


async def test_a_lease_that_ended_is_taken_over_and_its_old_holder_locked_out(jobs: Jobs) -> None:
    await jobs.add("acme", "sum", 1)
    (old,) = await jobs.claim(["sum"], limit=1, lease=0)

    (new,) = await jobs.claim(["sum"], limit=1, lease=60)

    assert new.job.id == old.job.id
    assert not await jobs.beat(old.job, lease=60)
    assert not await jobs.finish(old.job, "late")
    assert not await jobs.fail(old.job, "late", delay=0)
    assert not await jobs.refuse(old.job, "late")
    assert not await jobs.release(old.job)
    assert await jobs.finish(new.job, "in time")


async def test_a_job_whose_processes_all_died_becomes_a_dead_letter(jobs: Jobs) -> None:
    job, _ = await jobs.add("acme", "sum", 1)
    for _ in range(2):
        await jobs.claim(["sum"], limit=1, lease=0)

    assert await jobs.claim(["sum"], limit=1, lease=0) == []

    dead = await jobs.get("acme", job.id)
    assert dead is not None
    assert dead.state == "dead"
    assert "process" in (dead.error or "")


async def test_a_dead_letter_is_queued_again_with_all_its_attempts(jobs: Jobs) -> None:
    job, _ = await jobs.add("acme", "sum", 1, key="k")
    (claim,) = await jobs.claim(["sum"], limit=1, lease=60)
    await jobs.refuse(claim.job, "no numbers")

    queued = await jobs.retry("acme", job.id)

    assert queued is not None
    assert (queued.state, queued.attempts, queued.error) == ("queued", 0, None)


async def test_a_dead_letter_whose_key_is_taken_stays(jobs: Jobs) -> None:
    job, _ = await jobs.add("acme", "sum", 1, key="k")
    await jobs.cancel("acme", job.id)
    await jobs.add("acme", "sum", 2, key="k")

    again = await jobs.retry("acme", job.id)

    assert again is not None
    assert again.state == "cancelled"


async def test_a_finished_job_is_not_cancelled_and_forgotten_after_a_while(jobs: Jobs) -> None:
    job, _ = await jobs.add("acme", "sum", 1)
    waiting, _ = await jobs.add("acme", "max", 1)
    (claim,) = await jobs.claim(["sum"], limit=1, lease=60)
    await jobs.finish(claim.job, 3)

    done = await jobs.cancel("acme", job.id)
    await jobs.prune(older=-1)

    assert done is not None
    assert done.finished
    assert done.result is not None
    assert bytes(done.result) == b"3"
    assert await jobs.get("acme", job.id) is None
    assert await jobs.get("acme", waiting.id) == waiting


# --- workers ---


async def test_a_worker_does_what_is_added_and_keeps_the_result(jobs: Jobs) -> None:
    async def total(attempt: Attempt) -> object:
        await attempt.progress({"done": 1})
        return {"payload": attempt.payload}

    async with worker(jobs, total, poll=5):
        job, _ = await jobs.add("acme", "sum", [1, 2])
        done = await ended(jobs, job, "done")

    assert (done.progress, done.attempts) is not None
    assert done.result is not None
    assert bytes(done.result) == b'{"payload":[1,2]}'
    assert done.progress is not None
    assert bytes(done.progress) == b'{"done":1}'


async def test_a_handler_that_fails_is_tried_again_and_then_a_dead_letter(jobs: Jobs) -> None:
    attempts: list[int] = []

    async def fail(attempt: Attempt) -> object:
        attempts.append(attempt.job.attempts)
        raise KeyError("secret")

    async with worker(jobs, fail):
        job, _ = await jobs.add("acme", "sum", 1)
        dead = await ended(jobs, job, "dead")

    assert attempts == [1, 2]
    assert dead.error == "KeyError"


async def test_a_handler_that_refuses_is_not_tried_again(jobs: Jobs) -> None:
    async def refuse(attempt: Attempt) -> object:
        raise JobRefused("there are no numbers")

    async with worker(jobs, refuse):
        job, _ = await jobs.add("acme", "sum", 1)
        failed = await ended(jobs, job, "failed")

    assert (failed.error, failed.attempts) == ("there are no numbers", 1)


async def test_no_more_run_at_once_than_there_are_slots(jobs: Jobs) -> None:
    running = most = 0

    async def work(attempt: Attempt) -> object:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(20):  # as long as these take, a third one could begin
            await jobs.get(attempt.job.tenant, attempt.job.id)
        running -= 1
        return None

    async with worker(jobs, work):
        added = [(await jobs.add("acme", "sum", number))[0] for number in range(6)]
        for job in added:
            await ended(jobs, job, "done")

    assert most == 2


async def test_a_cancelled_job_is_cancelled_while_it_runs(jobs: Jobs) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(attempt: Attempt) -> object:
        begun.set()
        try:
            await never()
        finally:
            cancelled.set()
        return None

    async with worker(jobs, hang, lease=0.15):
        job, _ = await jobs.add("acme", "sum", 1)
        await begun.wait()
        await jobs.cancel("acme", job.id)
        async with asyncio.timeout(5):
            await cancelled.wait()
        assert (await ended(jobs, job, "cancelled")).attempts == 1


async def test_progress_of_a_cancelled_job_ends_its_handler(jobs: Jobs) -> None:
    begun, go, reached = asyncio.Event(), asyncio.Event(), False

    async def work(attempt: Attempt) -> object:
        nonlocal reached
        begun.set()
        await go.wait()
        await attempt.progress(1)
        reached = True
        return None

    async with worker(jobs, work):
        job, _ = await jobs.add("acme", "sum", 1)
        await begun.wait()
        await jobs.cancel("acme", job.id)
        go.set()
        await ended(jobs, job, "cancelled")

    assert not reached


async def lease_until(jobs: Jobs, job: Job) -> int:
    """Read when a job's lease ends, in microseconds."""
    found = await jobs.get(job.tenant, job.id)
    assert found is not None
    return found.due_at


async def test_a_long_job_keeps_its_lease(jobs: Jobs) -> None:
    runs = 0

    async def work(attempt: Attempt) -> object:
        nonlocal runs
        runs += 1
        begun = await lease_until(jobs, attempt.job)
        polling = Polling("the lease would have ended twice")
        while await lease_until(jobs, attempt.job) < begun + 600_000:
            await polling.turn()
        return None

    async with worker(jobs, work, lease=0.3), worker(jobs, work, lease=0.3):
        job, _ = await jobs.add("acme", "sum", 1)
        done = await ended(jobs, job, "done")

    assert (runs, done.attempts) == (1, 1)


async def test_what_runs_when_a_worker_closes_is_begun_by_the_next_at_once(jobs: Jobs) -> None:
    begun = asyncio.Event()

    async def hang(attempt: Attempt) -> object:
        begun.set()
        await never()
        return None

    async def work(attempt: Attempt) -> object:
        return attempt.job.attempts

    async with worker(jobs, hang, lease=60):
        job, _ = await jobs.add("acme", "sum", 1)
        await begun.wait()
    async with worker(jobs, work, lease=60):
        done = await ended(jobs, job, "done")

    assert done.attempts == 1


async def test_a_worker_goes_on_after_its_database_was_away(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, failures = jobs.claim, 0

    async def failing(*args: object, **names: object) -> object:
        nonlocal failures
        failures += 1
        if failures <= 2:
            raise StorageUnavailable("away")
        return await claim(["sum"], limit=1, lease=5)

    async def work(attempt: Attempt) -> object:
        return None

    monkeypatch.setattr(jobs, "claim", failing)
    async with worker(jobs, work):
        job, _ = await jobs.add("acme", "sum", 1)
        await ended(jobs, job, "done")

    assert failures >= 3
