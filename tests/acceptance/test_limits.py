"""Limits are exact: a burst at once, then one each time the rate allows, and the headers say so."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import http_sf
import msgspec
import pytest

from tests.harness.gateway_process import ORIGIN, SECRET, Gateway, bearer, code_of

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    import httpx


@pytest.fixture
def limited(tmp_path: Path) -> Generator[Gateway]:
    with Gateway(tmp_path, "tests.acceptance.apps.limits:gateway") as gateway:
        yield gateway


def at_once(gateway: Gateway, path: str, headers: dict[str, str]) -> list[httpx.Response]:
    """Send 50 requests from 10 clients together."""

    def some(_: int) -> list[httpx.Response]:
        with gateway.client(headers=headers) as client:
            return [client.get(path) for _ in range(5)]

    with ThreadPoolExecutor(10) as clients:
        return [answer for answers in clients.map(some, range(10)) for answer in answers]


def statuses(answers: list[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


def item(header: str) -> tuple[str, dict[str, object]]:
    """Read a header that is a list with one item and its parameters (RFC 9651)."""
    found: object = http_sf.parse(header.encode(), tltype="list")
    [(name, parameters)] = msgspec.convert(found, list[tuple[str, dict[str, object]]])
    return name, parameters


def test_exactly_the_burst_passes_at_once_then_one_each_600_ms(limited: Gateway) -> None:
    with limited.client(headers=bearer()) as client:
        client.get("/again")  # a connection and a verified token, so that nothing else takes time
        started = time.monotonic()
        answers = at_once(limited, "/subject", bearer())
        burst_ended = time.monotonic()
        sent = refused_at = burst_ended
        while (answer := client.get("/subject")).status_code == 429:
            refused_at = sent
            time.sleep(0.005)
            sent = time.monotonic()
        passed = time.monotonic()

    counts = statuses(answers)
    # A slow machine takes more than 600 ms for the burst: more pass, one for each 600 ms.
    waits = counts[200] - 20 + 1
    assert 1 <= waits <= 1 + (burst_ended - started) / 0.6
    assert counts == {200: 19 + waits, 429: 31 - waits}
    assert answer.status_code == 200
    assert passed - started >= waits * 0.6, "none passes before its time"
    assert refused_at - burst_ended < waits * 0.6, "and none is refused after it"


def test_a_429_says_why_and_when_to_come_back(limited: Gateway) -> None:
    refused = next(a for a in at_once(limited, "/subject", bearer()) if a.status_code == 429)

    assert code_of(refused) == "rate_limit_exceeded"
    assert refused.headers["retry-after"] == "1"
    name, policy = item(refused.headers["ratelimit-policy"])
    assert (name, policy) == ("subject", {"q": 20, "w": 12})
    assert item(refused.headers["ratelimit"]) == ("subject", {"r": 0, "t": 1})


def test_who_obeys_retry_after_is_not_refused_again(limited: Gateway) -> None:
    refused = [a for a in at_once(limited, "/subject", bearer()) if a.status_code == 429][-1]

    time.sleep(int(refused.headers["retry-after"]))
    with limited.client(headers=bearer()) as client:
        assert client.get("/subject").status_code == 200


def test_every_answer_says_what_is_left(limited: Gateway) -> None:
    with limited.client(headers=bearer()) as client:
        left = [item(client.get("/subject").headers["ratelimit"])[1]["r"] for _ in range(5)]

    assert left == [19, 18, 17, 16, 15]


def test_another_subject_is_not_affected(limited: Gateway) -> None:
    at_once(limited, "/subject", bearer())

    assert statuses(at_once(limited, "/subject", bearer(subject="bob")))[200] == 20


def test_the_same_subject_with_another_token_is(limited: Gateway) -> None:
    started = time.monotonic()
    at_once(limited, "/subject", bearer())

    passed = statuses(at_once(limited, "/subject", bearer("more")))[200]

    assert passed <= (time.monotonic() - started) / 0.6


def test_each_route_counts_for_itself(limited: Gateway) -> None:
    at_once(limited, "/subject", bearer())

    assert statuses(at_once(limited, "/again", bearer()))[200] == 20


def test_limits_of_one_name_count_together(limited: Gateway) -> None:
    with limited.client(headers=bearer()) as client:
        found = [client.get(path).status_code for path in ("/one", "/two") * 3]

    assert found == [200, 200, 200, 200, 429, 429]


@pytest.mark.parametrize(("path", "burst"), [("/api", 5), ("/address", 3)])
def test_a_limit_by_api_or_by_address_counts_everybody_here(
    limited: Gateway, path: str, burst: int
) -> None:
    assert statuses(at_once(limited, path, {}))[200] == burst
    assert statuses(at_once(limited, path, bearer()))[200] <= 1


def test_the_older_headers_are_sent_where_they_are_asked_for(limited: Gateway) -> None:
    with limited.client() as client:
        headers = client.get("/legacy").headers

    assert (headers["x-ratelimit-limit"], headers["x-ratelimit-remaining"]) == ("20", "19")
    assert int(headers["x-ratelimit-reset"]) >= 1


def test_a_page_of_another_origin_may_read_what_a_429_says(limited: Gateway) -> None:
    answers = at_once(limited, "/subject", {**bearer(), "origin": ORIGIN})
    refused = next(answer for answer in answers if answer.status_code == 429)

    exposed = refused.headers["access-control-expose-headers"]
    assert refused.headers["access-control-allow-origin"] == ORIGIN
    assert {"retry-after", "ratelimit", "ratelimit-policy"} <= set(exposed.split(", "))


def test_the_limit_of_addresses_comes_before_everything_else(tmp_path: Path) -> None:
    settings = {"NEXUS_JWT_SECRET": SECRET, "NEXUS_ADDRESS_LIMIT": "60/min burst 5"}

    with Gateway(tmp_path, environment=settings) as gateway, gateway.client() as client:
        found = [
            client.get(path).status_code
            for path in ("/health", "/nowhere", "/api/metrics", "/metrics", "/health")
        ]
        refused = client.get("/nowhere")

    assert found == [200, 404, 401, 200, 200]
    assert (refused.status_code, code_of(refused)) == (429, "rate_limit_exceeded")
    assert item(refused.headers["ratelimit"])[0] == "address"


def test_the_studio_limits_each_subject(tmp_path: Path) -> None:
    settings = {"NEXUS_JWT_SECRET": SECRET, "NEXUS_RATE_LIMIT": "100/min burst 20"}
    place = "/api/intelligence/entities"

    with Gateway(tmp_path, environment=settings) as gateway:
        for subject in ("alice", "bob"):
            started = time.monotonic()
            counts = statuses(at_once(gateway, place, bearer("*", subject=subject)))
            more = (time.monotonic() - started) / 0.6

            assert 20 <= counts[200] <= 20 + more
            assert counts[200] + counts[429] == 50
