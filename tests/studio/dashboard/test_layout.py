"""Every page as wide as a telephone and a desk: nothing is cut off, every button is named."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import pytest
from playwright.sync_api import expect

from tests.harness.dashboard_page import PATIENCE, SCOPES, Board, token

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, WebSocketRoute

    from tests.harness.gateway_process import Gateway

pytestmark = pytest.mark.slow

Members: TypeAlias = dict[str, object]
WIDTHS = [390, 1280]
HUGE = 9_876_543_210
LONG = "/api/knowledge-graph/a-very-long-name-of-a-collection/{first_parameter}/and-more/{second}"
# What reaches over the page, or is longer than the box that hides the rest of it. Charts and code
# that may be scrolled are meant to be; the text for screen readers has no size.
CUT_OFF = """() => {
  const found = [];
  const wide = document.documentElement;
  if (wide.scrollWidth > wide.clientWidth) found.push(`the page: ${wide.scrollWidth}`);
  for (const at of document.querySelectorAll("body *")) {
    if (at.closest("svg, canvas, .uplot, .skip, legend, option, script, [hidden]")) continue;
    if (at.tagName === "INPUT" || at.tagName === "SELECT" || at.tagName === "TEXTAREA") continue;
    const box = at.getBoundingClientRect();
    if (box.width === 0 || box.height === 0) continue;
    const name = `${at.tagName}#${at.id}.${at.className}: ${at.textContent.slice(0, 60)}`;
    if (box.right > innerWidth + 0.5 || box.left < -0.5) found.push(`over the edge: ${name}`);
    if (at.matches("pre, #log") || getComputedStyle(at).display === "inline") continue;
    if (at.scrollWidth > at.clientWidth + 1)
      found.push(`cut off: ${name} ${at.scrollWidth} > ${at.clientWidth}`);
  }
  return found;
}"""


def enlarge(value: object, key: str = "") -> object:
    """Make counts huge and names long, as a gateway that runs for a year has them."""
    enlarged = value
    if isinstance(value, dict):
        members = msgspec.convert(value, Members)
        enlarged = {name: enlarge(inner, name) for name, inner in members.items()}
    elif isinstance(value, list):
        items = msgspec.convert(value, list[object])
        counts = key.endswith(("buckets", "bounds_seconds"))
        enlarged = items if counts else [enlarge(inner, key) for inner in items]
    elif isinstance(value, str):
        longer = {"route": LONG, **dict.fromkeys(("subject", "tenant"), f"{key}-{'x' * 90}")}
        enlarged = longer.get(key, value)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        enlarged = {"uptime_seconds": 31_535_999.5}.get(key, HUGE)
        enlarged = 123.456 if key.endswith(("0_seconds", "5_seconds", "9_seconds")) else enlarged
    return enlarged


def with_huge_figures(page: Page) -> None:
    """Enlarge the frames of the hub; the limits and the namespaces are there in any case."""
    extra = {
        "limits": [
            {"name": "subject", "rule": "100 per 1 s, 200 at once", "passed": 1, "refused": 1,
             "top": [{"subject": "s", "tenant": "t", "count": 1, "over": 1}]},
        ],
        "subjects": [{"subject": "s", "tenant": "t", "count": 1, "over": 1}],
        "refusals": {"conditional_request_precondition_failed": 1, "rate_limit_exceeded": 1},
    }  # fmt: skip

    def enlarged(frame: Members) -> Members:
        if frame["type"] != "metrics_update":
            return frame
        data = msgspec.convert(frame["data"], Members)
        return {**frame, "data": enlarge({**data, **extra})}

    def route(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def forward(text: str | bytes) -> None:
            written = text if isinstance(text, str) else text.decode()
            batch = written if written.startswith("[") else f"[{written}]"
            frames = msgspec.json.decode(batch, type=list[Members])
            socket.send(msgspec.json.encode([enlarged(frame) for frame in frames]).decode())

        server.on_message(forward)

    page.route_web_socket(re.compile("/ws/realtime"), route)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_on_the_dashboard_is_cut_off(
    browser: Browser, gateway: Gateway, width: int
) -> None:
    with gateway.client() as client:
        client.get(f"/{'a-long-path/' * 12}")
    with Board(browser, gateway, token(*SCOPES), width=width).live() as board:
        board.says("#log", "a-long-path")
        board.says("#routes", "unmatched")
        assert board.page.evaluate(CUT_OFF) == []

        with_huge_figures(board.page)
        board.page.reload()
        board.live()
        board.says("#routes", "a-very-long-name")
        board.says("#subjects", "tenant-xxx")
        board["#log summary"].first.click()
        assert board.page.evaluate(CUT_OFF) == []
        columns = board["#routes tbody tr"].first.locator("td.figure")
        for title in ("4xx", "5xx", "Refused"):
            expect(columns.locator(f"xpath=self::*[@data-label='{title}']")).to_be_visible()
        expect(board["#realtime-panel td[data-label='Dropped']"].first).to_be_visible()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("path", ["/dashboard", "/errors", "/errors/rate_limit_exceeded", "/docs"])
def test_nothing_on_the_other_pages_is_cut_off(
    browser: Browser, gateway: Gateway, path: str, width: int
) -> None:
    with Board(browser, gateway, None, width=width) as board:
        board.page.goto(f"{gateway.url}{path}")
        if path == "/docs":
            operations = board["details.operation"]
            expect(operations.first).to_be_visible(timeout=PATIENCE)
            board.page.evaluate(
                "for (const one of document.querySelectorAll('details')) one.open = true"
            )
        assert board.page.evaluate(CUT_OFF) == []


def test_every_button_says_what_it_does_and_no_more(browser: Browser, gateway: Gateway) -> None:
    with Board(browser, gateway, token(*SCOPES)).live() as board:
        expect(board["#routes th button"].first).to_be_visible()
        # A name with a colon is quoted once more there.
        names = set(re.findall(r'button "([^"]*)"', board["body"].aria_snapshot()))
        expected = {"Theme: auto", "Sign out", "Pause", "Route", "req/s", "Total", "p50", "p95"}
        assert names == expected | {"p99", "4xx", "5xx", "Refused", "Refused p50"}
        for name in ("Resume", "Pause", "Resume"):
            board["#log-hold"].click()
            expect(board["#log-hold"]).to_have_accessible_name(name)
            expect(board["#log-hold"]).to_have_text(name)
