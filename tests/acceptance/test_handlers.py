"""Handlers may block, hang, fail and be given up: everybody else is answered as before."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection

from tests.harness.gateway_process import PATIENCE, Gateway, bearer, code_of

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

APPLICATION = "tests.acceptance.apps.handlers:gateway"


@pytest.fixture(scope="module", params=["plain", "eager"])
def handlers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Gateway]:
    """The handlers, their first step run by the loop's next turn, or at once."""
    folder = tmp_path_factory.mktemp(request.param)
    settings = {"NEXUS_EAGER": str(request.param == "eager").lower()}
    with Gateway(folder, APPLICATION, environment=settings) as gateway:
        yield gateway


@contextmanager
def asked(gateway: Gateway, path: str) -> Generator[None]:
    """Send a request, and go away without its answer at the end."""
    with gateway.connect() as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        yield


def wait_for(gateway: Gateway, said: str) -> None:
    """Ask until a handler said something."""
    until = time.monotonic() + PATIENCE
    with gateway.client() as client:
        while said not in client.get("/seen").json():
            assert time.monotonic() < until, f"nobody said {said!r}"


def test_a_blocked_loop_leaves_the_core_s_answers_as_fast_as_before(handlers: Gateway) -> None:
    with ThreadPoolExecutor(1) as other, handlers.client() as client:
        started = time.monotonic()
        blocked = other.submit(httpx.get, f"{handlers.url}/block/1.2", timeout=PATIENCE)
        took: list[float] = []
        while not blocked.done():
            for path, status in [
                ("/health", 200),
                ("/metrics", 200),
                ("/nowhere", 404),
                ("/secret", 401),
                ("/block/x", 400),
            ]:
                began = time.monotonic()
                assert client.get(path).status_code == status
                took.append(time.monotonic() - began)
        spent = time.monotonic() - started
        answer = blocked.result()
        client.get("/seen")  # the loop is free again, for the next test

    # A busy machine may be late once; the loop would make everything late until it is free.
    assert sorted(took)[int(len(took) * 0.95)] < 0.1
    assert max(took) < 0.4
    assert (answer.status_code, code_of(answer)) == (504, "deadline_exceeded")
    assert 0.5 <= spent < 2


def test_blocking_does_not_delay_others(handlers: Gateway) -> None:
    with ThreadPoolExecutor(4) as others, handlers.client() as client:
        sleeping = [
            others.submit(httpx.get, f"{handlers.url}/sleep/0.3", timeout=PATIENCE)
            for _ in range(4)
        ]
        slowest, asked = 0.0, 0
        while not all(one.done() for one in sleeping):
            began = time.monotonic()
            assert client.get("/limited").text == "in time"
            slowest, asked = max(slowest, time.monotonic() - began), asked + 1

    assert [one.result().text for one in sleeping] == ["slept"] * 4
    assert asked > 3
    assert slowest < 0.15


def test_a_client_that_goes_away_cancels_its_handler(handlers: Gateway) -> None:
    with asked(handlers, "/wait/away"):
        wait_for(handlers, "away begins")

    wait_for(handlers, "away cancelled")
    wait_for(handlers, "away ends")


def test_a_stream_of_http2_that_is_reset_cancels_its_handler(handlers: Gateway) -> None:
    peer = H2Connection(H2Configuration(client_side=True))
    peer.initiate_connection()
    asked = {":method": "GET", ":path": "/wait/reset", ":scheme": "http", ":authority": "x"}
    peer.send_headers(1, list(asked.items()), end_stream=True)
    with handlers.connect() as connection:
        connection.sendall(peer.data_to_send())
        wait_for(handlers, "reset begins")
        peer.reset_stream(1)
        connection.sendall(peer.data_to_send())

        wait_for(handlers, "reset cancelled")


def test_a_deadline_cancels_the_handler(handlers: Gateway) -> None:
    started = time.monotonic()
    with handlers.client() as client:
        answer = client.get("/late/dead")

    assert (answer.status_code, code_of(answer)) == (504, "deadline_exceeded")
    assert 0.1 <= time.monotonic() - started < 0.3
    wait_for(handlers, "dead cancelled")


def test_a_handler_that_does_not_give_up_is_answered_for(handlers: Gateway) -> None:
    with handlers.client() as client:
        answer = client.get("/stubborn/mule")
        wait_for(handlers, "mule goes on")
        again = client.get("/limited")

    assert (answer.status_code, again.status_code) == (504, 200)


def test_context_variables_do_not_leak_from_request_to_request(handlers: Gateway) -> None:
    async def ask(client: httpx.AsyncClient, path: str, number: int) -> list[str]:
        answer = await client.get(f"{handlers.url}/{path}/n{number}")
        found: list[str] = answer.json()
        return found

    async def ask_all() -> None:
        # The gateway closes idle connections after a second, perhaps just when one is used again.
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(limits=limits) as client:
            for path in ("remember", "remember_at_once"):
                found = await asyncio.gather(*(ask(client, path, n) for n in range(30)))
                assert found == [["nobody", f"n{number}"] for number in range(30)]

    asyncio.run(ask_all())


def test_callers_are_not_mixed_up(handlers: Gateway) -> None:
    async def ask(client: httpx.AsyncClient, name: str) -> str:
        answer = await client.get(f"{handlers.url}/who", headers=bearer(subject=name))
        return answer.text

    async def ask_all() -> None:
        names = [f"caller-{number}" for number in range(200)]
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=20)) as client:
            assert await asyncio.gather(*(ask(client, name) for name in names)) == names

    asyncio.run(ask_all())


def test_timeouts_and_task_groups_work_in_a_handler(handlers: Gateway) -> None:
    with handlers.client() as client:
        assert client.get("/limited").text == "in time"
        assert client.post("/together", json={"numbers": [1, 2, 3]}).json() == [1, 4, 9]
        assert client.post("/together", json={"numbers": [1, -2, 3]}).status_code == 500
        assert client.get("/task").json() == {"task": True, "same": True}


def test_between_two_handlers_no_task_is_the_current_one(handlers: Gateway) -> None:
    with handlers.client() as client:
        for _ in range(3):
            assert client.get("/between").json() == {"task": True}
        wait_for(handlers, "between None")
        assert {one for one in client.get("/seen").json() if one.startswith("between")} == {
            "between None"
        }


@pytest.mark.parametrize(
    "kind", ["keep", "cancel", "mark", "call back", "name", "own", "awkward", "nothing"]
)
def test_no_handler_finds_the_trace_that_another_left_on_its_task(
    handlers: Gateway, kind: str
) -> None:
    fresh = {
        "name": "nexus-call", "kept": False, "marked": False, "cancelling": 0, "among all": True,
        "own": None, "awkward": True,
    }  # fmt: skip
    with handlers.client() as client:
        answers = [client.get(f"/trace/{each}") for each in (kind, "nothing", kind, "nothing")]
        found = [answer.json() for answer in answers]
        if kind == "call back":
            wait_for(handlers, "called back True")

    assert found == [fresh] * 4


def test_a_task_that_a_handler_kept_comes_to_its_end(handlers: Gateway) -> None:
    with handlers.client() as client:
        before = len(client.get("/keepers").json())
        client.get("/trace/keep")
        client.get("/trace/cancel")
        kept = client.get("/keepers").json()

    assert kept[before:] == [[True, False], [True, True]]


def test_the_first_event_comes_at_once_also_where_it_is_compressed(handlers: Gateway) -> None:
    for accepted in ("identity", "gzip", "br"):
        started = time.monotonic()
        headers = {"accept-encoding": accepted}
        with handlers.client() as client, client.stream("GET", "/events", headers=headers) as got:
            lines = got.iter_lines()
            assert next(lines) == "data: 0"
            first = time.monotonic() - started
            assert [next(lines), next(lines)] == ["", "data: 1"]

        assert first < 0.15
        assert got.headers["content-type"].startswith("text/event-stream")
        assert got.headers.get("content-encoding", "identity") == accepted


def test_a_client_that_leaves_a_stream_ends_it(tmp_path: Path) -> None:
    with Gateway(tmp_path, APPLICATION) as gateway:
        with gateway.client() as client, client.stream("GET", "/events") as got:
            next(got.iter_lines())

        wait_for(gateway, "events end")


@pytest.mark.parametrize("accepted", ["identity", "gzip", "br"])
def test_a_whole_stream_decodes_to_what_was_written(handlers: Gateway, accepted: str) -> None:
    with handlers.client() as client:
        answer = client.get("/three", headers={"accept-encoding": accepted})

    assert answer.text == "".join(f"line {number}\n" * 50 for number in range(3))


@pytest.mark.parametrize("accepted", ["identity", "gzip"])
def test_a_handler_that_fails_in_the_middle_cuts_the_connection(
    handlers: Gateway, accepted: str
) -> None:
    with handlers.client() as client, pytest.raises(httpx.RemoteProtocolError):
        client.get("/breaking", headers={"accept-encoding": accepted})


def test_a_handler_that_fails_before_its_first_chunk_answers_500(handlers: Gateway) -> None:
    with handlers.client() as client:
        answer = client.get("/breaking_at_once")

    assert (answer.status_code, code_of(answer)) == (500, "internal_error")


def test_a_slow_reader_does_not_make_memory_grow(handlers: Gateway) -> None:
    before = handlers.metric("process_resident_memory_bytes")

    with handlers.connect() as connection:
        connection.sendall(b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        flooded = settled(handlers)
        after = handlers.metric("process_resident_memory_bytes")

    assert flooded < 1000, "the handler wrote on and on"
    assert after - before < 16 << 20


def settled(gateway: Gateway) -> int:
    """Wait until the flood stands still; the chunks that were written."""
    last, same = -1, 0
    with gateway.client() as client:
        while same < 20:
            seen = [word for word in client.get("/seen").json() if word.startswith("flood ")]
            now = int(seen[-1].removeprefix("flood ")) if seen else 0
            last, same = now, same + 1 if now == last else 0
    return last


def test_more_calls_than_may_wait_are_refused_at_once(tmp_path: Path) -> None:
    target = "tests.acceptance.apps.handlers:crowded"
    with Gateway(tmp_path, target) as gateway, ThreadPoolExecutor(24) as others:
        blocked = others.submit(httpx.get, f"{gateway.url}/block/1", timeout=PATIENCE)
        with gateway.client() as client:
            while gateway.metric("nexus_python_calls_total") < 1:
                pass
            waiting = [others.submit(client.get, "/limited", timeout=PATIENCE) for _ in range(20)]
            answers = [one.result() for one in waiting]
            assert client.get("/limited").status_code == 200

    refused = [answer for answer in answers if answer.status_code == 503]
    assert blocked.result().status_code == 504
    assert len(refused) >= 10
    assert {code_of(answer) for answer in refused} == {"service_unavailable"}
    assert all("retry-after" in answer.headers for answer in refused)
    assert max(answer.elapsed.total_seconds() for answer in refused) < 0.3
