"""The log's newest lines on the channel `log`: for whoever may read them, and without secrets."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.harness.gateway_process import SECRET, Gateway, bearer, code_of

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = "/api/realtime/channels/log/events"
# Python's brotli keeps what exceeds 32 KB of an event to itself until more comes.
GZIP = {"accept-encoding": "gzip"}
SECRET_LOOKING = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


class Line(msgspec.Struct):
    """A line, as far as it is looked at."""

    level: str
    path: str = ""


class Lines(msgspec.Struct):
    """What a message of the channel holds."""

    lines: list[Line]
    left_out: int


class Frame(msgspec.Struct):
    """A message of the channel."""

    data: Lines


def test_a_line_is_told_to_whoever_may_read_it_without_what_looks_like_a_secret(
    studio: Gateway,
) -> None:
    told: list[Line] = []
    with (
        studio.client() as client,
        client.stream("GET", EVENTS, headers=bearer("logs:read") | GZIP) as events,
    ):
        client.get(f"/read/along/{SECRET_LOOKING}?token=hush")
        for text in events.iter_lines():
            assert "hush" not in text
            assert SECRET_LOOKING not in text
            if "/read/along/" in text:
                told = msgspec.json.decode(text.removeprefix("data: "), type=Frame).data.lines
                break

    assert Line("warning", "/read/along/[redacted]") in told


def test_the_log_is_nobodys_without_its_scope(studio: Gateway) -> None:
    with studio.client() as client:
        answer = client.get(EVENTS, headers=bearer("metrics:read", "realtime:read"))

    assert (answer.status_code, code_of(answer)) == (403, "permission_denied")


@pytest.mark.parametrize("protocol", ["http1", "http2"])
def test_whoever_has_a_good_token_is_named_whatever_the_answer(
    tmp_path: Path, protocol: str
) -> None:
    settings = {"NEXUS_JWT_SECRET": SECRET, "NEXUS_RATE_LIMIT": "1/min burst 2"}
    path = "/api/intelligence/entities"
    with Gateway(tmp_path, environment=settings) as gateway:
        with gateway.client(http1=protocol == "http1", http2=protocol == "http2") as client:
            statuses = [
                client.get(path, headers=bearer("metrics:read", subject="lacks")).status_code,
                client.get(f"{path}/none", headers=bearer("*", subject="asks")).status_code,
                *(
                    client.get(path, headers=bearer("*", subject="greedy")).status_code
                    for _ in range(3)
                ),
                client.get(path, headers={"authorization": "Bearer none"}).status_code,
                client.get(path).status_code,
            ]
        lines = [line for line in gateway.lines() if line["message"] == "request"]

    assert statuses == [403, 404, 200, 200, 429, 401, 401]
    assert [(line["status"], line.get("subject")) for line in lines] == [
        (403, "lacks"),
        (404, "asks"),
        (200, "greedy"),
        (200, "greedy"),
        (429, "greedy"),
        (401, None),
        (401, None),
    ]


def test_a_socket_that_lacks_a_scope_is_named_in_the_log(tmp_path: Path) -> None:
    with Gateway(tmp_path, "tests.acceptance.apps.realtime:gateway") as gateway:
        address = f"ws://127.0.0.1:{gateway.port}/guarded"
        token = bearer("room:read", subject="by-header")
        with pytest.raises(InvalidStatus), connect(address, additional_headers=token):
            pass
        offered = f"nexus.bearer.{bearer(subject='by-subprotocol')['authorization'][7:]}"
        with (
            pytest.raises(InvalidStatus),
            connect(address, subprotocols=[Subprotocol("nexus.json"), Subprotocol(offered)]),
        ):
            pass
        names = [Subprotocol("nexus.json"), Subprotocol("nexus.auth")]
        with connect(address, subprotocols=names) as socket, suppress(ConnectionClosed):
            first = bearer(subject="by-message")["authorization"][7:]
            socket.send(msgspec.json.encode({"type": "auth", "token": first}).decode())
            socket.recv(5)
        lines = gateway.lines()

    refused = [line.get("subject") for line in lines if line.get("status") == 403]
    closed = [(line["code"], line.get("subject")) for line in lines if line["message"] == "socket"]
    assert refused == ["by-header", "by-subprotocol"]
    assert closed == [(4003, "by-message")]
