"""The page in a real browser against a real gateway: what a person sees, hears and presses."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import pytest
from playwright.sync_api import expect
from prometheus_client.parser import text_string_to_metric_families

from tests.harness.dashboard_page import PATIENCE, SCOPES, SETTINGS, Board, token
from tests.harness.gateway_process import Gateway, bearer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow


def counted(gateway: Gateway) -> Mapping[tuple[str, ...], float]:
    """Read `/metrics`: sums of each metric by the labels that the page tells apart."""
    with gateway.client() as client:
        text = client.get("/metrics").text
    sums: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for family in text_string_to_metric_families(text):
        for name, labels, value, *_ in family.samples:
            told = [labels[key] for key in ("method", "route", "code", "limit") if key in labels]
            told += [labels["outcome"]] if "outcome" in labels else []
            sums[name, *told] += value
    return sums


def press_load(gateway: Gateway) -> None:
    """Ask for known things, some refused, and as a caller who asks too often."""
    greedy = bearer("intelligence:read", subject="greedy-importer")
    nobody: dict[str, str] = {}
    with gateway.client() as client:
        asked = [("/health", nobody)] * 30 + [("/nowhere", nobody)] * 7
        asked += [("/api/intelligence/entities", nobody)] * 4
        asked += [("/api/intelligence/entities/none", greedy)] * 25
        for path, headers in asked:
            client.get(path, headers=headers)


# --- the numbers ---


def test_the_numbers_on_the_page_are_those_of_metrics(browser: Browser, gateway: Gateway) -> None:
    with Board(browser, gateway, token(*SCOPES)).live() as board:
        press_load(gateway)
        truth = counted(gateway)

        for method, route in (
            ("GET", "/health"),
            ("GET", "/api/intelligence/entities/{entity_id}"),
            ("other", "unmatched"),
        ):
            total = truth["nexus_http_requests_total", method, route]
            assert total > 0
            row = board[f'tr[data-route="{method} {route}"] data']
            expect(row).to_have_attribute("value", f"{total:.0f}", timeout=PATIENCE)
        for code in ("not_found", "rate_limit_exceeded", "authentication_failed"):
            total = truth["nexus_refusals_total", code]
            assert total > 0
            shown = board[f'#codes [data-key="{code}"] data']
            expect(shown).to_have_attribute("value", f"{total:.0f}")
        refused = truth["nexus_limit_requests_total", "subject", "refused"]
        assert refused > 0
        expect(board['[data-limit="subject"] data'].first).to_have_attribute(
            "value", f"{refused:.0f}"
        )
        board.says('[data-limit="subject"]', "greedy-importer")
        board.says("#subjects", "greedy-importer")
        sockets = truth["nexus_realtime_sockets",]
        assert board.figure('[data-key="sockets"] data') == sockets == 1
        memory = truth["process_resident_memory_bytes",]
        assert board.figure("#tile-memory data") == pytest.approx(memory, rel=0.2)


def test_figures_come_every_500_milliseconds(browser: Browser, gateway: Gateway) -> None:
    with Board(browser, gateway, token(*SCOPES)).live() as board:
        wanted = 9

        def told() -> list[datetime]:
            updates = [frame for frame in board.frames if frame.type == "metrics_update"]
            return [datetime.fromisoformat(frame.timestamp) for frame in updates]

        while len(told()) < wanted:
            board.sockets[-1].wait_for_event("framereceived", timeout=PATIENCE)
        times = told()

    gaps = [(b - a).total_seconds() for a, b in pairwise(times)]
    # One that a busy machine made late is followed by one that is early: neither moves the rest.
    assert statistics.median(gaps) == pytest.approx(0.5, abs=0.05)
    assert sum(abs(gap - 0.5) <= 0.05 for gap in gaps) >= len(gaps) - 2
    assert statistics.mean(gaps) == pytest.approx(0.5, abs=0.05)


def test_what_happened_before_the_page_was_opened_is_shown(
    browser: Browser, gateway: Gateway
) -> None:
    press_load(gateway)

    with Board(browser, gateway, token(*SCOPES)).live() as board:
        board.says("#heat-says", "answers")
        expect(board["#chart-rate"]).to_have_attribute(
            "aria-label", re.compile("answered .*refused 4xx .*failed 5xx"), timeout=PATIENCE
        )


# --- the log ---


def test_the_log_is_told_line_by_line_filtered_and_opened(
    browser: Browser, gateway: Gateway
) -> None:
    with Board(browser, gateway, token(*SCOPES)).live() as board, gateway.client() as client:
        client.get("/first/of/them")
        client.get("/second/of/them?token=hush")
        board.says("#log", "/second/of/them")
        assert "hush" not in board["#log"].inner_text()

        board["#log-seek"].fill("first/of")
        expect(board["#log li"]).to_have_count(1)
        board["#log summary"].first.press("Enter")
        expect(board["#log dl"]).to_contain_text("not_found")
        board["#log-seek"].fill("no line has this")
        board.says("#log", "No line fits")
        board["#log-seek"].fill("")
        board["#log-level"].select_option("error")
        board.says("#log", "No line fits")

    with Board(browser, gateway, token(*SCOPES)).live() as later:
        later.says("#log", "/first/of/them")


def test_a_paused_log_stands_still(browser: Browser, gateway: Gateway) -> None:
    with Board(browser, gateway, token(*SCOPES)).live() as board, gateway.client() as client:
        client.get("/before/the/pause")
        board.says("#log", "/before/the/pause")
        board["#log-hold"].click()
        client.get("/during/the/pause")
        expect(board['tr[data-route="other unmatched"]']).to_be_visible()
        board.says("#log-hold", "Resume")
        assert "/during/the/pause" not in board["#log"].inner_text()

        board["#log-hold"].click()
        board.says("#log", "/during/the/pause")


def test_who_may_not_read_the_log_is_told_so_and_sees_the_rest(
    browser: Browser, gateway: Gateway
) -> None:
    with Board(browser, gateway, token("metrics:read")).live() as board:
        board.says("#log", "logs:read")
        expect(board["#routes tbody tr"].first).to_be_visible()


# --- the token ---


def test_a_token_is_asked_for_and_what_is_wrong_with_it_is_told(
    browser: Browser, gateway: Gateway
) -> None:
    with Board(browser, gateway, None) as board:
        expect(board["#token"]).to_be_focused()
        expect(board["#board"]).to_be_hidden()
        for given, told in (
            ("nonsense", "Refused"),
            ("no token", "characters"),
            (token("realtime:read"), "metrics:read"),
        ):
            board["#token"].fill(given)
            board["#token"].press("Enter")
            board.says("#sign-in-says", told)

        board["#token"].fill(token(*SCOPES))
        board["#token"].press("Enter")
        board.live()
        board.page.reload()
        board.live()
        board["#sign-out"].click()
        expect(board["#sign-in"]).to_be_visible()
        board.page.reload()
        expect(board["#sign-in"]).to_be_visible()


def test_a_kept_token_that_may_not_see_the_figures_is_told_so(
    browser: Browser, gateway: Gateway
) -> None:
    with Board(browser, gateway, token("realtime:read")) as board:
        board.says("#sign-in-says", "metrics:read")


def test_the_end_of_a_token_is_told_before_and_after(browser: Browser, gateway: Gateway) -> None:
    with Board(browser, gateway, token(*SCOPES, seconds=6)) as board:
        board.says("#expiry", "the token ends in")
        board.says("#sign-in-says", "expired")
        expect(board["#token"]).to_be_focused()


# --- the connection ---


def test_the_page_comes_back_by_itself_and_says_so(browser: Browser, tmp_path: Path) -> None:
    with Gateway(tmp_path, environment=SETTINGS) as before:
        board = Board(browser, before, token(*SCOPES)).live()
        port = before.port
        before.stop()
        board.says("#status", "connection lost")
        expect(board["#board"]).to_have_class("stale")
    with board, Gateway(tmp_path, environment=SETTINGS, port=port) as after:
        board.live()
        expect(board["#board"]).not_to_have_class("stale")
        expect(board["#tile-rate"]).to_be_visible()
        press_load(after)
        total = counted(after)["nexus_http_requests_total", "GET", "/health"]
        expect(board['tr[data-route="GET /health"] data']).to_have_attribute(
            "value", f"{total:.0f}", timeout=PATIENCE
        )
    # The browser itself says that it could not connect; nothing else may be wrong.
    assert all("ERR_CONNECTION" in said for said in board.complaints), board.complaints


# --- the page itself ---


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_comes_from_elsewhere_breaks_the_policy_or_runs_over(
    browser: Browser, gateway: Gateway, width: int, colours: Literal["light", "dark"]
) -> None:
    press_load(gateway)
    with Board(browser, gateway, token(*SCOPES), width=width, colours=colours).live() as board:
        board.says("#log", "/nowhere")
        board["#theme"].click()
        board["#theme"].click()
        wide = board.page.evaluate("document.documentElement.scrollWidth")
        hosts = {url.split("/")[2] for url in board.asked if not url.startswith("data:")}

        assert wide <= width
        assert hosts == {f"127.0.0.1:{gateway.port}"}
        assert board.complaints == []


def test_nothing_jumps_while_figures_come(browser: Browser, gateway: Gateway) -> None:
    press_load(gateway)
    with Board(browser, gateway, token(*SCOPES)).live() as board:
        board.says("#log", "/nowhere")
        # From here on all panels have what they show.
        shifted = board.page.evaluate(
            """() => new Promise((done) => {
                let sum = 0;
                new PerformanceObserver((list) => {
                    for (const entry of list.getEntries()) sum += entry.value;
                }).observe({ type: "layout-shift" });
                setTimeout(() => done(sum), 2500);
            })"""
        )

    assert shifted < 0.02


def test_the_table_is_sorted_by_keys(browser: Browser, gateway: Gateway) -> None:
    press_load(gateway)
    with Board(browser, gateway, token(*SCOPES)).live() as board:
        heads = board["#routes th"]
        expect(heads.nth(2)).to_have_attribute("aria-sort", "descending")
        head = board["#routes th button"].first
        head.focus()
        head.press("Enter")
        expect(heads.first).to_have_attribute("aria-sort", "ascending")
        names = board["#routes tbody code"].all_inner_texts()
        assert names == sorted(names)
        head.press("Space")
        expect(heads.first).to_have_attribute("aria-sort", "descending")
        expect(head).to_be_focused()


def test_every_stop_of_the_tab_key_is_seen_and_has_a_name(
    browser: Browser, gateway: Gateway
) -> None:
    with Board(browser, gateway, token(*SCOPES)).live() as board:
        expect(board["#routes th button"].first).to_be_visible()
        stops: list[str] = []
        for _ in range(24):
            board.page.keyboard.press("Tab")
            stop = board.page.evaluate(
                """() => {
                    const at = document.activeElement;
                    const seen = at.matches("input[type=radio]") ? at.nextElementSibling : at;
                    const { outlineStyle, outlineWidth } = getComputedStyle(seen);
                    const name = at.getAttribute("aria-label") ?? at.textContent.trim()
                        ?? at.labels?.[0]?.textContent;
                    return [at.id || at.tagName, name || at.labels?.[0]?.textContent || "",
                        outlineStyle !== "none" && parseFloat(outlineWidth) >= 2];
                }"""
            )
            identity, name, seen = stop
            stops.append(identity)
            assert name, stop
            assert seen, stop
            if identity == "log-hold":
                break

    for wanted in ("theme", "sign-out", "routes-seek", "log-seek", "log-level", "log-hold"):
        assert wanted in stops, stops
    assert stops.index("theme") < stops.index("routes-seek") < stops.index("log-seek")
