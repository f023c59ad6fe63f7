"""The log's newest lines on the channel `log`: for whoever may read them, and without secrets."""

from __future__ import annotations

import msgspec

from tests.acceptance.support import Gateway, bearer, code_of

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
