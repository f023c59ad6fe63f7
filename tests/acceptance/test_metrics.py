"""Counters are exact, their series are bounded, and every reader gets the form it knows."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import msgspec
import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_open,  # pyright: ignore[reportUnknownVariableType]
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.acceptance.support import SECRET, Gateway, bearer, code_of, exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    import httpx
    from prometheus_client.metrics_core import Metric
    from prometheus_client.samples import Sample

# The package has types for one of its parsers only.
_parse_open: Callable[[str], Iterator[Metric]] = parse_open  # pyright: ignore[reportUnknownVariableType]
OPEN = "application/openmetrics-text; version=1.0.0"


@pytest.fixture
def counted(tmp_path: Path) -> Generator[Gateway]:
    settings = {"NEXUS_JWT_SECRET": SECRET, "NEXUS_LOG_LEVEL": "error"}
    with Gateway(tmp_path, environment=settings) as gateway:
        yield gateway


class Figures(msgspec.Struct):
    """What both JSON forms say."""

    total: int
    errors: int
    p50_seconds: float
    p95_seconds: float
    p99_seconds: float


class Summary(msgspec.Struct):
    """`/api/metrics`."""

    requests: Figures
    statuses: dict[str, int]
    refusals: dict[str, int]
    uptime_seconds: float


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
        for path in ("/api/metrics", "/api/metrics/routes"):
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


def test_a_request_that_runs_is_in_flight(counted: Gateway) -> None:
    assert counted.metric("nexus_http_requests_in_flight") == 1  # the scrape itself
    with counted.connect():
        assert counted.metric("nexus_connections_open") >= 2
