"""The TypeScript client with the real hub, in Node and in headless Chromium."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import pytest
from playwright.sync_api import sync_playwright

from tests.harness.gateway_process import ROOT, Gateway
from tests.harness.hub_socket import token_of
from tests.harness.servers import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

Platform = Literal["node", "chromium"]
HERE = Path(__file__).parent
BUNDLER = ROOT / "node_modules/.bin/esbuild"
SCENARIO_SECONDS_MAX = 30.0
ADMIN = token_of("realtime:admin", subject="operator")


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client and the scenarios as one file, for browsers and Node."""
    if shutil.which("node") is None or not BUNDLER.exists():
        lacking("esbuild of Node")
    made = tmp_path_factory.mktemp("client") / "scenarios.mjs"
    client = ROOT / "clients/typescript/src/index.ts"
    subprocess.run(
        [
            str(BUNDLER), str(HERE / "scenarios.mjs"), "--bundle", "--format=esm",
            f"--alias:nexus-warp-realtime={client}", f"--outfile={made}", "--log-level=warning",
        ],
        check=True,
    )  # fmt: skip
    return made


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page of Debian's Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        lacking("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


class Runner:
    """Runs scenarios on one platform."""

    def __init__(self, bundle: Path, page: Page | None) -> None:
        self._bundle = bundle
        self._page = page

    def run(self, gateway: Gateway, name: str, **more: str) -> object:
        """Run one, with a token of its own; what it saw."""
        options = {
            "url": f"ws://127.0.0.1:{gateway.port}/ws/realtime",
            "token": token_of(subject="typescript", jti=more.get("jti")),
            "admin": ADMIN,
            **more,
        }
        if self._page is None:
            return self._in_node(name, options)
        self._page.goto(f"{gateway.url}/asyncapi.json")
        content = self._bundle.read_text()
        return self._page.evaluate(
            """async ([content, name, options]) => {
              const url = URL.createObjectURL(new Blob([content], {type: "text/javascript"}));
              return await (await import(url))[name](options);
            }""",
            [content, name, options],
        )

    def _in_node(self, name: str, options: dict[str, str]) -> object:
        done = subprocess.run(
            [
                "node", str(HERE / "scenario.mjs"), str(self._bundle), name,
                msgspec.json.encode(options).decode(),
            ],
            stdout=subprocess.PIPE, check=True, timeout=SCENARIO_SECONDS_MAX,
        )  # fmt: skip
        return msgspec.json.decode(done.stdout)


@pytest.fixture(params=["node", "chromium"])
def runner(request: pytest.FixtureRequest, bundle: Path) -> Runner:
    """Each platform."""
    platform: Platform = request.param
    return Runner(bundle, request.getfixturevalue("page") if platform == "chromium" else None)


def test_subscribing_again_gets_its_own_answers_and_no_gap(hub: Gateway, runner: Runner) -> None:
    found = runner.run(hub, "resubscribe")

    assert found == {"gaps": [], "acks": 20, "follows": True}


def test_a_burst_is_published_whole_and_in_order(hub: Gateway, runner: Runner) -> None:
    assert runner.run(hub, "burst") == {"failed": 0, "inOrder": True}


def test_closed_while_the_token_is_fetched_it_never_connects(hub: Gateway, runner: Runner) -> None:
    assert runner.run(hub, "closedEarly") == ["connecting", "closed"] * 2


def test_a_revocation_is_told_to_subscriptions_and_refuses_new_ones(
    hub: Gateway, runner: Runner, request: pytest.FixtureRequest
) -> None:
    found = runner.run(hub, "revoked", jti=f"stolen-{request.node.name}")

    message = "the connection is closed: 4002 the token has been revoked"
    errors = [{"code": "closed", "message": message}]
    assert found == {"errors": errors, "refused": "closed", "code": 4002}


def test_times_that_no_timer_can_hold_do_not_elapse_at_once(hub: Gateway, runner: Runner) -> None:
    assert runner.run(hub, "longTimes") == ["connecting", "connected"]


def test_throttled_timers_keep_a_connection_that_answers(
    quick: Gateway, bundle: Path, page: Page
) -> None:
    runner = Runner(bundle, page)

    assert runner.run(quick, "throttled") == ["connecting", "connected"]


def test_callbacks_that_throw_and_credentials_that_are_wrong(hub: Gateway, runner: Runner) -> None:
    found = runner.run(hub, "faults")

    errors = ["connecting", "connected", "message", "message", "closed"]
    assert found == {"offsets": 2, "errors": errors, "refused": "RealtimeError", "quoted": False}
