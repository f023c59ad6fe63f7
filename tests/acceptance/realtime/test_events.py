"""The same channels as server-sent events: `Last-Event-ID` goes on where a stream was cut."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import msgspec
import pytest

from tests.harness.gateway_process import PATIENCE, Gateway, code_of
from tests.harness.hub_socket import Frame, token_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

AUTHORIZED = {"authorization": f"Bearer {token_of()}"}


class Event(msgspec.Struct):
    """One event, as a browser reads it."""

    event: str = "message"
    id: str = ""
    data: str = ""

    def frame(self) -> Frame:
        return msgspec.json.decode(self.data, type=Frame)


class Stream:
    """The events of one request."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._events = self._read()

    def next(self) -> Event:
        return next(self._events)

    def _read(self) -> Iterator[Event]:
        event = Event()
        for line in self.response.iter_lines():
            name, _, value = line.partition(":")
            if not line:
                if event.data:
                    yield event
                event = Event()
            elif name in {"event", "id", "data"}:
                setattr(event, name, value.removeprefix(" "))


@contextmanager
def listening(
    hub: Gateway, channel: str, last: str | None = None, *, by: str = "header"
) -> Generator[Stream]:
    headers = AUTHORIZED | ({"last-event-id": last} if last and by == "header" else {})
    params = {"last_event_id": last} if last and by == "query" else {}
    place = f"/api/realtime/channels/{channel}/events"
    with (
        hub.client(headers=headers | {"accept": "text/event-stream"}) as client,
        client.stream("GET", place, params=params) as response,
    ):
        yield Stream(response)


def publish(hub: Gateway, channel: str, *values: object) -> None:
    with hub.client(headers=AUTHORIZED) as client:
        for value in values:
            answer = client.post(f"/api/realtime/channels/{channel}/publish", json={"data": value})
            assert answer.status_code == 200, answer.text


def test_each_message_is_an_event_with_its_place(hub: Gateway) -> None:
    with listening(hub, "room:sse") as stream:
        publish(hub, "room:sse", {"x": "ä\nb"}, 2)
        events = [stream.next(), stream.next()]

    frame = events[0].frame()
    assert stream.response.headers["content-type"].startswith("text/event-stream")
    assert stream.response.headers["cache-control"] == "no-store"
    assert (frame["type"], frame["channel"], frame["data"]) == (
        "message",
        "room:sse",
        {"x": "ä\nb"},
    )
    assert events[0].id == f"{frame['epoch']}:{frame['offset']}"
    assert events[1].frame()["offset"] == int(str(frame["offset"])) + 1


@pytest.mark.parametrize("by", ["header", "query"])
def test_a_stream_goes_on_where_it_was_cut(hub: Gateway, by: str) -> None:
    channel = f"room:sse-{by}"
    with listening(hub, channel) as stream:
        publish(hub, channel, "before")
        last = stream.next().id
    publish(hub, channel, *range(100))
    with listening(hub, channel, last, by=by) as stream:
        found = [stream.next().frame()["data"] for _ in range(100)]

    assert found == list(range(100))


def test_what_is_lost_is_told_first(hub: Gateway) -> None:
    channel = "short:sse"
    with listening(hub, channel) as stream:
        publish(hub, channel, "before")
        last = stream.next().id
    publish(hub, channel, *range(20))
    with listening(hub, channel, last) as stream:
        first = stream.next()

    assert first.event == "recovered"
    assert first.frame()["recovered"] is False


@pytest.mark.parametrize("last", ["nonsense", "x:-1", ":::", "e:99999999999999999999999"])
def test_an_id_that_nobody_gave_is_lost_or_refused_and_never_believed(
    hub: Gateway, last: str
) -> None:
    publish(hub, "room:sse-bad", 1)

    with listening(hub, "room:sse-bad", last) as stream:
        if stream.response.status_code == 200:
            assert stream.next().event == "recovered"
        else:
            assert stream.response.status_code == 400


@pytest.mark.parametrize(
    ("channel", "status", "code"),
    [("nowhere", 404, "not_found"), ("scoped:x", 403, "permission_denied")],
)
def test_what_may_not_be_heard_is_refused(
    hub: Gateway, channel: str, status: int, code: str
) -> None:
    with hub.client(headers=AUTHORIZED) as client:
        answer = client.get(f"/api/realtime/channels/{channel}/events")

    assert (answer.status_code, code_of(answer)) == (status, code)


def test_without_a_token_it_is_refused(hub: Gateway) -> None:
    answer = httpx.get(f"{hub.url}/api/realtime/channels/room:x/events", timeout=PATIENCE)

    assert answer.status_code == 401
