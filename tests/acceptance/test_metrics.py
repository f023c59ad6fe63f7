"""Counters are exact, their series are bounded, and every reader gets the form it knows."""

from __future__ import annotations

import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import msgspec
import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_open,  # pyright: ignore[reportUnknownVariableType]
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.harness.gateway_process import PATIENCE, SECRET, Gateway, bearer, code_of, exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    import httpx
    from prometheus_client.metrics_core import Metric
    from prometheus_client.samples import Sample

# The package has types for one of its parsers only.
_parse_open: Callable[[str], Iterator[Metric]] = parse_open  # pyright: ignore[reportUnknownVariableType]
FORMS = [f"/api/metrics{form}" for form in ("", "/routes", "/subjects", "/timeseries")]
OPEN = "application/openmetrics-text; version=1.0.0"


@pytest.fixture
def counted(tmp_path: Path) -> Generator[Gateway]:
    settings = {"NEXUS_JWT_SECRET": SECRET, "NEXUS_LOG_LEVEL": "error"}
    with Gateway(tmp_path, environment=settings) as gateway:
        yield gateway


class Caller(msgspec.Struct):
    """Who was counted, and how often."""

    subject: str
    count: int
    over: int


class Limit(msgspec.Struct):
    """What a limit did."""

    name: str
    rule: str
    passed: int
    refused: int
    top: list[Caller]


class Line(msgspec.Struct):
    """A route in the summary."""

    route: str
    method: str
    total: int
    client_errors: int


class Second(msgspec.Struct):
    """An item of `/api/metrics/timeseries`."""

    timestamp: str
    seconds: float
    requests: int
    client_errors: int
    buckets: list[int]
    p99_seconds: float
    resident_bytes: int


class Series(msgspec.Struct):
    """`/api/metrics/timeseries`."""

    bounds_seconds: list[float]
    items: list[Second]


class Figures(msgspec.Struct):
    """What both JSON forms say."""

    total: int
    errors: int
    p50_seconds: float
    p95_seconds: float
    p99_seconds: float
    refused: int
    refused_p50_seconds: float
    buckets: list[int]
    refused_buckets: list[int]


class Summary(msgspec.Struct):
    """`/api/metrics`."""

    requests: Figures
    statuses: dict[str, int]
    refusals: dict[str, int]
    uptime_seconds: float
    bounds_seconds: list[float]
    limits: list[Limit]
    subjects: list[Caller]
    routes: list[Line]


class ByRoute(Figures, kw_only=True):
    """An item of `/api/metrics/routes`."""

    route: str
    method: str
    statuses: dict[str, int]


class Routes(msgspec.Struct):
    """`/api/metrics/routes`."""

    items: list[ByRoute]


def samples(client: httpx.Client) -> list[Sample]:
    """Scrape as OpenMetrics; the parser refuses what is off the standard."""
    answer = client.get("/metrics", headers={"accept": OPEN})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    return [sample for family in _parse_open(answer.text) for sample in family.samples]


def count(found: list[Sample], name: str, **labels: str) -> float:
    """Add up the samples of a name that have these labels."""
    return sum(
        sample.value
        for sample in found
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def test_counters_equal_the_requests_that_were_sent(counted: Gateway) -> None:
    def send(path: str) -> None:
        with counted.client() as client:
            for _ in range(50):
                client.get(path)

    with ThreadPoolExecutor(8) as clients:
        list(clients.map(send, ["/health"] * 4 + ["/nowhere"] * 2 + ["/api/metrics"] * 2))
    with counted.client() as client:
        found = samples(client)

    name = "nexus_http_requests_total"
    assert count(found, name, route="/health", method="GET", status="200") == 200
    assert count(found, name, route="unmatched", status="404") == 100
    assert count(found, name, route="/api/metrics", status="401") == 100
    assert count(found, name) == 400
    buckets = "nexus_http_request_duration_seconds"
    assert count(found, f"{buckets}_count") == 400
    assert count(found, f"{buckets}_bucket", le="+Inf") == 400
    assert count(found, "nexus_refusals_total", code="not_found") == 100
    assert count(found, "nexus_refusals_total", code="authentication_failed") == 100


def test_malformed_requests_are_counted_too(counted: Gateway) -> None:
    for sent in (b"GARBAGE\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
        exchange(counted, sent)

    with counted.client() as client:
        found = samples(client)

    assert count(found, "nexus_http_requests_total", route="unmatched", status="400") == 2
    assert count(found, "nexus_refusals_total", code="malformed_request") == 2


def test_random_paths_and_methods_add_no_series(counted: Gateway) -> None:
    with counted.client(headers=bearer("*")) as client:
        ask_for_strange_things(client)
        before = len(samples(client))
        # The plain client of the standard library is the fastest that there is.
        connection = HTTPConnection("127.0.0.1", counted.port)
        for _ in range(5000):
            connection.request("GET", f"/{secrets.token_hex(8)}")
            connection.getresponse().read()
        connection.close()
        ask_for_strange_things(client)
        found = samples(client)

    name = "nexus_http_requests_total"
    assert len(found) == before
    assert count(found, name, route="unmatched", status="404") == 5004
    assert count(found, name, route="/api/intelligence/entities/{entity_id}", status="404") == 2


def ask_for_strange_things(client: httpx.Client) -> None:
    """Ask for an entity, paths and methods that are new each time."""
    new = secrets.token_hex(8)
    client.get(f"/api/intelligence/entities/{new}")
    client.get(f"/{new}")
    client.request(f"M{new}", "/nowhere")
    client.request(f"M{new}", "/health")
    client.get("/metrics")


def test_scrapers_of_the_older_form_are_served(counted: Gateway) -> None:
    with counted.client() as client:
        client.get("/health")
        answer = client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = [sample for family in parse_text(answer.text) for sample in family.samples]
    assert count(found, "nexus_http_requests_total", route="/health") == 1
    assert "# EOF" not in answer.text


@pytest.mark.parametrize(
    ("accept", "opened"),
    [
        (OPEN, True),
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", True),
        ("text/plain", False),
        ("*/*", False),
    ],
)
def test_the_form_is_negotiated(counted: Gateway, accept: str, *, opened: bool) -> None:
    with counted.client() as client:
        answer = client.get("/metrics", headers={"accept": accept})

    assert answer.headers["content-type"].startswith("application/openmetrics-text") == opened
    assert answer.text.endswith("# EOF\n") == opened


def test_a_bucket_has_the_trace_of_one_of_its_requests(counted: Gateway) -> None:
    with counted.client() as client:
        sent = client.get("/health").headers["traceparent"].split("-")[1]
        found = samples(client)

    exemplars = [
        sample.exemplar
        for sample in found
        if sample.exemplar is not None and sample.labels["route"] == "/health"
    ]
    assert [exemplar.labels for exemplar in exemplars] == [{"trace_id": sent}]


def test_json_figures_need_their_scope(counted: Gateway) -> None:
    with counted.client() as client:
        for path in FORMS:
            refused = client.get(path, headers=bearer("intelligence:read"))
            assert (refused.status_code, code_of(refused)) == (403, "permission_denied")
            assert client.get(path, headers=bearer("metrics:read")).status_code == 200


def test_json_figures_are_those_of_the_counters(counted: Gateway) -> None:
    with counted.client(headers=bearer("metrics:read")) as client:
        for _ in range(30):
            client.get("/health")
        client.get("/nowhere")
        summary = msgspec.json.decode(client.get("/api/metrics").content, type=Summary)
        routes = msgspec.json.decode(client.get("/api/metrics/routes").content, type=Routes)

    assert (summary.requests.total, summary.requests.errors) == (31, 0)
    assert summary.statuses == {"200": 30, "404": 1}
    assert summary.refusals == {"not_found": 1}
    [health] = [item for item in routes.items if item.route == "/health"]
    assert (health.total, health.statuses) == (30, {"200": 30})
    assert 0 < health.p50_seconds <= health.p95_seconds <= health.p99_seconds < 1
    assert sum(health.buckets) == 30
    assert sum(summary.requests.buckets) == 31
    assert len(summary.requests.buckets) == len(summary.bounds_seconds) + 1
    lines = {(line.route, line.total, line.client_errors) for line in summary.routes}
    assert lines == {("/health", 30, 0), ("unmatched", 1, 1)}


def test_a_limit_tells_what_it_did_and_whom_it_refused_most(tmp_path: Path) -> None:
    settings = {"NEXUS_JWT_SECRET": SECRET, "NEXUS_RATE_LIMIT": "1/min burst 5"}
    path = "/api/intelligence/entities"
    with Gateway(tmp_path, environment=settings) as gateway, gateway.client() as client:
        for subject, requests in (("bob", 7), ("alice", 12)):
            for _ in range(requests):
                client.get(path, headers=bearer("*", subject=subject))
        summary = msgspec.json.decode(
            client.get("/api/metrics", headers=bearer("metrics:read", subject="op")).content,
            type=Summary,
        )
        subjects = client.get("/api/metrics/subjects", headers=bearer("metrics:read")).json()
        found = samples(client)

    [limit] = [limit for limit in summary.limits if limit.name == "subject"]
    assert (limit.rule, limit.passed, limit.refused) == ("1 per 60 s, 5 at once", 10, 9)
    assert [(who.subject, who.count, who.over) for who in limit.top] == [
        ("alice", 7, 0),
        ("bob", 2, 0),
    ]
    name = "nexus_limit_requests_total"
    assert count(found, name, limit="subject", outcome="passed") == 10
    assert count(found, name, limit="subject", outcome="refused") == 9
    assert [(who.subject, who.count) for who in summary.subjects] == [("alice", 12), ("bob", 7)]
    assert subjects["items"][0] == {"subject": "alice", "count": 12, "over": 0}


def test_what_is_refused_is_timed_apart_from_a_slow_back_end(tmp_path: Path) -> None:
    app = "tests.acceptance.apps.limits:gateway"
    with Gateway(tmp_path, app) as gateway, gateway.client() as client:
        statuses = [client.get("/slow", headers=bearer("*")).status_code for _ in range(8)]
        client.get("/slow/nowhere")
        routes = msgspec.json.decode(client.get("/figures").content, type=Routes)
        text = client.get("/metrics").text

    assert statuses == [200] * 2 + [429] * 6
    [slow] = [item for item in routes.items if item.route == "/slow"]
    assert (slow.total, slow.refused, sum(slow.refused_buckets)) == (8, 6, 6)
    assert slow.p50_seconds > 0.05
    assert 0 < slow.refused_p50_seconds < slow.p50_seconds
    name = "nexus_http_request_duration_seconds_count"
    assert f'{name}{{route="/slow",method="GET",outcome="answered"}} 2\n' in text
    assert f'{name}{{route="/slow",method="GET",outcome="refused"}} 6\n' in text
    assert f'{name}{{route="unmatched",method="other",outcome="refused"}} 1\n' in text


def test_the_last_seconds_add_up_to_what_was_sent(counted: Gateway) -> None:
    with counted.client(headers=bearer("metrics:read")) as client:
        for _ in range(40):
            client.get("/health")
        for _ in range(2):
            client.get("/nowhere")
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = client.get("/api/metrics/timeseries")
            series = msgspec.json.decode(answer.content, type=Series)
            if sum(second.client_errors for second in series.items) == 2:
                break
            assert time.monotonic() < deadline

    assert sum(second.requests for second in series.items) >= 42
    for second in series.items:
        assert 0.9 < second.seconds < PATIENCE
        assert sum(second.buckets) == second.requests
        assert len(second.buckets) == len(series.bounds_seconds) + 1
        assert second.resident_bytes > 1 << 20


def test_a_request_that_runs_is_in_flight(counted: Gateway) -> None:
    assert counted.metric("nexus_http_requests_in_flight") == 1  # the scrape itself
    with counted.connect():
        assert counted.metric("nexus_connections_open") >= 2
