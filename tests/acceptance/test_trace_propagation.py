"""A handler's outgoing calls carry the trace of its caller (W3C Trace Context, level 2).

The cases are those of the specification and of the Working Group's test suite, which drives a
service in the same way: it posts the URLs that the service is to call.
"""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.harness.gateway_process import Gateway, read_answer

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

TRACE = "12345678901234567890123456789012"
PARENT = "1234567890123456"
VALID = f"00-{TRACE}-{PARENT}-01"


class Received(NamedTuple):
    """The trace that a call carried: its three fields, and `tracestate` where there is one."""

    trace: str
    span: str
    flags: str
    state: str | None


class Callee(ThreadingHTTPServer):
    """Whom the service calls; it remembers the headers of each call."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.calls: list[Received] = []
        self.url = f"http://127.0.0.1:{self.server_port}/callback"


class _Answering(BaseHTTPRequestHandler):
    server: Callee  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        [parent] = self.headers.get_all("traceparent", [])
        fields = re.fullmatch("00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", parent)
        assert fields is not None
        states = self.headers.get_all("tracestate")
        received = Received(fields[1], fields[2], fields[3], ",".join(states) if states else None)
        self.server.calls.append(received)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Write nothing."""


class Harness:
    """Posts to the service, and tells what its calls carried."""

    def __init__(self, gateway: Gateway, callee: Callee) -> None:
        self._gateway = gateway
        self._callee = callee

    def calls(self, *lines: tuple[str, str], count: int = 1) -> Sequence[Received]:
        """Send a request with these header lines, as they stand, that asks for calls."""
        self._callee.calls.clear()
        asked = json.dumps([{"url": self._callee.url, "arguments": []}] * count)
        head = "".join(f"{name}:{value}\r\n" for name, value in lines)
        fixed = f"host: x\r\ncontent-length: {len(asked)}\r\ncontent-type: application/json\r\n"
        with self._gateway.connect() as connection:
            connection.sendall(f"POST /test HTTP/1.1\r\n{fixed}{head}\r\n{asked}".encode())
            answer = read_answer(connection)
        assert (answer.status, json.loads(answer.body)) == (200, [200] * count)
        assert len(self._callee.calls) == count
        return self._callee.calls

    def call(self, *lines: tuple[str, str]) -> Received:
        """Send a request that asks for one call."""
        return self.calls(*lines)[0]

    def state(self, *lines: str) -> str | None:
        """Tell what becomes of `tracestate` lines beside a valid `traceparent`."""
        received = self.call(("traceparent", VALID), *(("tracestate", line) for line in lines))
        assert received.trace == TRACE
        return received.state


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Generator[Harness]:
    """The service, and whom it calls."""
    folder = tmp_path_factory.mktemp("propagation")
    with (
        Callee() as callee,
        Gateway(folder, "tests.acceptance.apps.propagation:gateway") as gateway,
    ):
        thread = threading.Thread(target=callee.serve_forever, args=(0.05,))
        thread.start()
        yield Harness(gateway, callee)
        callee.shutdown()
        thread.join()


def test_a_call_continues_the_trace_with_a_span_of_its_own(harness: Harness) -> None:
    received = harness.call(("traceparent", VALID))

    assert (received.trace, received.flags, received.state) == (TRACE, "01", None)
    assert received.span != PARENT


@pytest.mark.parametrize("name", ["TraceParent", "TrAcEpArEnT", "TRACEPARENT"])
def test_the_name_of_the_header_is_read_in_any_case(harness: Harness, name: str) -> None:
    assert harness.call((name, VALID)).trace == TRACE


@pytest.mark.parametrize(
    "value",
    [f" {VALID}", f"\t{VALID}", f"{VALID} ", f"{VALID}\t", f"\t {VALID} \t"],
)
def test_white_space_around_a_traceparent_is_not_part_of_it(harness: Harness, value: str) -> None:
    assert harness.call(("traceparent", value)).trace == TRACE


@pytest.mark.parametrize("version", ["01", "cc", "fe"])
def test_a_later_version_is_continued_as_version_00(harness: Harness, version: str) -> None:
    later = f"{version}-{TRACE}-{PARENT}-01"

    assert harness.call(("traceparent", later)).trace == TRACE
    assert harness.call(("traceparent", f"{later}-what-the-future-brings")).trace == TRACE
    assert harness.call(("traceparent", f"{later}.what")).trace != TRACE


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        f"{VALID}.",
        f"{VALID}-what-the-future-brings",
        f"ff-{TRACE}-{PARENT}-01",
        f".0-{TRACE}-{PARENT}-01",
        f"0.-{TRACE}-{PARENT}-01",
        f"000-{TRACE}-{PARENT}-01",
        f"0000-{TRACE}-{PARENT}-01",
        f"0-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-.{TRACE[1:]}-{PARENT}-01",
        f"00-{TRACE[:-1]}.-{PARENT}-01",
        f"00-{TRACE}3-{PARENT}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE[:-1]}A-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-.{PARENT[1:]}-01",
        f"00-{TRACE}-{PARENT[:-1]}.-01",
        f"00-{TRACE}-{PARENT}7-01",
        f"00-{TRACE}-{PARENT[:-1]}-01",
        f"00-{TRACE}-{PARENT}-.0",
        f"00-{TRACE}-{PARENT}-0.",
        f"00-{TRACE}-{PARENT}-001",
        f"00-{TRACE}-{PARENT}-1",
    ],
)
def test_a_malformed_traceparent_starts_another_trace(harness: Harness, wrong: str) -> None:
    received = harness.call(("traceparent", wrong), ("tracestate", "foo=1"))

    assert received.trace not in wrong
    assert received.trace != TRACE
    assert received.state is None


def test_without_a_traceparent_or_with_two_another_trace_is_started(harness: Harness) -> None:
    for lines in (
        [],
        [("trace-parent", VALID)],
        [("trace.parent", VALID)],
        [("traceparent", VALID), ("traceparent", VALID)],
        [("traceparent", VALID), ("traceparent", f"00-{'1' * 32}-{PARENT}-01")],
    ):
        received = harness.call(*lines, ("tracestate", "foo=1"))
        assert received.trace not in {TRACE, "1" * 32}
        assert received.state is None


@pytest.mark.parametrize(
    ("sent", "passed_on"),
    [("00", "00"), ("01", "01"), ("02", "02"), ("03", "03"), ("fc", "00"), ("ff", "03")],
)
def test_the_flags_that_are_defined_are_passed_on(
    harness: Harness, sent: str, passed_on: str
) -> None:
    assert harness.call(("traceparent", f"{VALID[:-2]}{sent}")).flags == passed_on


def test_a_trace_that_starts_here_is_random(harness: Harness) -> None:
    assert int(harness.call().flags, 16) & 2


@pytest.mark.parametrize("parent", [VALID, f"00-{'0' * 32}-{PARENT}-01", None])
def test_every_call_has_a_span_of_its_own_in_the_one_trace(
    harness: Harness, parent: str | None
) -> None:
    lines = [] if parent is None else [("traceparent", parent)]

    received = harness.calls(*lines, count=3)

    assert len({call.trace for call in received}) == 1
    assert len({call.span for call in received}) == 3
    assert (received[0].trace == TRACE) == (parent == VALID)
    assert "0" * 32 not in {call.trace for call in received}


@pytest.mark.parametrize("name", ["TraceState", "TrAcEsTaTe", "TRACESTATE"])
def test_the_name_of_the_state_is_read_in_any_case(harness: Harness, name: str) -> None:
    assert harness.call(("traceparent", VALID), (name, "foo=1")).state == "foo=1"


def test_a_state_under_another_name_is_none(harness: Harness) -> None:
    for name in ("trace-state", "trace.state"):
        assert harness.call(("traceparent", VALID), (name, "foo=1")).state is None


@pytest.mark.parametrize(
    ("lines", "passed_on"),
    [
        (["foo=1,bar=2"], "foo=1,bar=2"),
        (["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], "foo=1,bar=2,rojo=1,congo=2,baz=3"),
        ([""], None),
        (["foo=1", ""], "foo=1"),
        (["", "foo=1"], "foo=1"),
        (["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
        (["foo=1\t \t,\t \tbar=2,\t \tbaz=3"], "foo=1,bar=2,baz=3"),
        ([" foo=1"], "foo=1"),
        (["\tfoo=1"], "foo=1"),
        (["foo=1 "], "foo=1"),
        (["foo=1\t"], "foo=1"),
        (["\t foo=1 \t"], "foo=1"),
        (["foo=1,foo=1"], "foo=1"),
        (["foo=1,foo=2"], "foo=1"),
        (["foo=1", "foo=1"], "foo=1"),
        (["foo=1", "foo=2", "bar=3"], "foo=1,bar=3"),
        (["foo =1"], None),
        (["FOO=1"], None),
        (["foo.bar=1"], None),
        (["foo@=1,bar=2"], "foo@=1,bar=2"),
        (["@foo=1,bar=2"], None),
        (["foo@@bar=1,bar=2"], "foo@@bar=1,bar=2"),
        (["foo@bar@baz=1,bar=2"], "foo@bar@baz=1,bar=2"),
        (["foo=bar=baz"], None),
        (["foo=,bar=3"], None),
        (["foo=ü"], None),
        (["foo=1", "z" * 256 + "=1"], "foo=1," + "z" * 256 + "=1"),
        (["foo=1", "z" * 257 + "=1"], None),
        (["foo=1", "t" * 241 + "@" + "v" * 14 + "=1"], f"foo=1,{'t' * 241}@{'v' * 14}=1"),
        (["foo=1", "t" * 242 + "@v=1"], f"foo=1,{'t' * 242}@v=1"),
        (["foo=1", "t@" + "v" * 254 + "=1"], f"foo=1,t@{'v' * 254}=1"),
        (["foo=1", "t@" + "v" * 255 + "=1"], None),
    ],
)
def test_a_state_is_passed_on_unless_it_breaks_a_rule(
    harness: Harness, lines: list[str], passed_on: str | None
) -> None:
    assert harness.state(*lines) == passed_on


@pytest.mark.parametrize("vendor", ["", "@a-z0-9_-*/"])
def test_every_character_that_is_allowed_is_passed_on(harness: Harness, vendor: str) -> None:
    value = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in ",=")
    member = f"abcdefghijklmnopqrstuvwxyz0123456789_-*/{vendor}={value}"

    assert harness.state(member) == member


def test_a_state_has_32_members_at_most(harness: Harness) -> None:
    members = [f"bar{number:02}={number:02}" for number in range(1, 34)]
    lines = [",".join(members[start : start + 10]) for start in (0, 10, 20)]

    assert harness.state(*lines, ",".join(members[30:32])) == ",".join(members[:32])
    assert harness.state(*lines, ",".join(members[30:])) is None
