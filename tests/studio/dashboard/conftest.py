"""A real browser, and the gateway whose page tests look at in it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

from nexus_gateway.studio.dashboard.routes import DIST
from tests.harness.dashboard_page import SETTINGS
from tests.harness.gateway_process import Gateway
from tests.harness.servers import lacking

if TYPE_CHECKING:
    from collections.abc import Generator

    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    """Start Debian's Chromium; no longer than a module, for its loop runs as long."""
    found = shutil.which("chromium")
    if found is None:
        lacking("chromium")
    with sync_playwright() as playwright:
        # The sandbox needs rights that neither root nor containers have; the page is our own.
        browser = playwright.chromium.launch(executable_path=Path(found), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Generator[Gateway]:
    """The studio with a low limit, as it is served."""
    if not (DIST / "index.html").is_file():
        lacking("the built dashboard")
    with Gateway(tmp_path_factory.mktemp("dashboard"), environment=SETTINGS) as gateway:
        yield gateway
