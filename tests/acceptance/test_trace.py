"""Each request has ids: its caller's where they are well formed, told to all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.harness.gateway_process import Gateway, exchange

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


def ids(answer: httpx.Response) -> tuple[str, str]:
    """Read the trace and the span that an answer names."""
    found = re.fullmatch("00-([0-9a-f]{32})-([0-9a-f]{16})-0[0-3]", answer.headers["traceparent"])
    assert found is not None
    return found[1], found[2]


@pytest.mark.parametrize("path", ["/free", "/trace", "/nowhere", "/broken", "/secret"])
def test_a_trace_is_continued_with_a_new_span(client: httpx.Client, path: str) -> None:
    answer = client.get(path, headers={"traceparent": PARENT, "tracestate": "vendor=1,other=2"})

    trace, span = ids(answer)
    assert trace == TRACE
    assert span != SPAN
    assert answer.headers["traceresponse"] == answer.headers["traceparent"]
    assert answer.headers["tracestate"] == "vendor=1,other=2"


def test_a_handler_is_told_the_same_ids(client: httpx.Client) -> None:
    headers = {"traceparent": PARENT, "tracestate": "vendor=1", "x-request-id": "mine-1"}
    answer = client.get("/trace", headers=headers)

    assert answer.json() == {
        "trace_id": TRACE,
        "span_id": ids(answer)[1],
        "parent_id": SPAN,
        "request_id": "mine-1",
        "state": "vendor=1",
    }


@pytest.mark.parametrize(
    "malformed",
    [
        "garbage",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
    ],
)
def test_a_malformed_trace_is_replaced(client: httpx.Client, malformed: str) -> None:
    answer = client.get("/free", headers={"traceparent": malformed, "tracestate": "vendor=1"})

    assert answer.status_code == 200
    assert ids(answer)[0] != TRACE
    assert "tracestate" not in answer.headers


def test_each_request_has_ids_of_its_own(client: httpx.Client) -> None:
    answers = [client.get("/free") for _ in range(50)]

    assert len({ids(answer) for answer in answers}) == 50
    assert len({answer.headers["x-request-id"] for answer in answers}) == 50


@pytest.mark.parametrize("given", ["abc", "A-1_2.3:4", "x" * 128])
def test_a_well_formed_request_id_is_echoed(client: httpx.Client, given: str) -> None:
    assert client.get("/nowhere", headers={"x-request-id": given}).json()["request_id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", 'a"b', "a\tb", "<script>", "ü"])
def test_a_malformed_request_id_is_replaced(client: httpx.Client, given: str) -> None:
    answer = client.get("/free", headers=[(b"x-request-id", given.encode())])

    assert answer.headers["x-request-id"] != given
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


def test_every_request_is_one_line_of_json_with_its_ids_and_no_secret(tmp_path: Path) -> None:
    secret = {"authorization": "Bearer sesame", "cookie": "session=sesame"}
    with Gateway(tmp_path, "tests.acceptance.apps.sample:gateway") as gateway:
        with gateway.client(headers=secret) as client:
            answers = [
                client.get("/free?password=sesame", headers={"traceparent": PARENT}),
                client.get("/secret?token=sesame"),
                client.get("/nowhere?sesame"),
                client.post("/notes", content=b'{"title": 1, "password": "sesame"}'),
                client.get("/broken"),
                client.get('/nowhere/"%22%0A{', headers={"x-request-id": "quoted"}),
            ]
        malformed = exchange(gateway, b"GARBAGE sesame\r\n\r\n")
        lines = gateway.lines()
        text = "\n".join(gateway.text())

    requests = [line for line in lines if line["message"] == "request"]
    assert [line["status"] for line in requests] == [200, 401, 404, 422, 500, 404, 400]
    assert [line["request_id"] for line in requests] == [
        *(answer.headers["x-request-id"] for answer in answers),
        malformed.headers["x-request-id"],
    ]
    assert [line["trace_id"] for line in requests[:6]] == [ids(answer)[0] for answer in answers]
    assert [line["span_id"] for line in requests[:6]] == [ids(answer)[1] for answer in answers]
    assert "sesame" not in text
    assert "authorization" not in text.lower()


def test_a_line_says_what_was_asked_and_what_became_of_it(tmp_path: Path) -> None:
    with Gateway(tmp_path, "tests.acceptance.apps.sample:gateway") as gateway:
        with gateway.client() as client:
            client.get("/typed/5?limit=2")
            client.get("/typed/x")
            client.get("/broken")
        lines = gateway.lines()

    passed, refused, *failed = lines
    assert (passed["method"], passed["path"]) == ("GET", "/typed/5")
    assert (passed["route"], passed["level"]) == ("/typed/{number}", "info")
    assert passed["peer"] == "127.0.0.1"
    assert isinstance(passed["duration_ms"], float)
    assert (refused["level"], refused["code"]) == ("warning", "validation_error")
    assert "number" in str(refused["error"])
    assert {line["message"] for line in failed} >= {"request"}
    assert any("RuntimeError" in str(line.get("traceback")) for line in failed)
    assert all(line["level"] == "error" for line in failed)


def test_a_failing_handler_s_traceback_names_its_request(tmp_path: Path) -> None:
    with Gateway(tmp_path, "tests.acceptance.apps.sample:gateway") as gateway:
        with gateway.client() as client:
            answer = client.get("/broken")
        lines = gateway.lines()

    [failure] = [line for line in lines if "traceback" in line]
    assert failure.get("request_id") == answer.headers["x-request-id"]


def test_a_level_above_keeps_lines_out(tmp_path: Path) -> None:
    with Gateway(tmp_path, environment={"NEXUS_LOG_LEVEL": "warning"}) as gateway:
        with gateway.client() as client:
            client.get("/health")
            client.get("/nowhere")
        lines = gateway.lines()

    assert [line["path"] for line in lines] == ["/nowhere"]
