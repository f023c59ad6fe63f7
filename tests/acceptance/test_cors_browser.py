"""CORS as Chromium applies it: a page of one gateway calls another one."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import async_playwright

from tests.harness.gateway_process import SECRET, Gateway, bearer
from tests.harness.servers import lacking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Page

CALL = """
async ([url, method, headers, body]) => {
  try {
    const answer = await fetch(url, { method, headers, body });
    return [answer.status, [...answer.headers.keys()].sort().join(" ")];
  } catch (error) { return [0, error.name]; }
}
"""


@pytest.fixture
async def page(studio: Gateway) -> AsyncIterator[Page]:
    """A page whose origin is that of the studio."""
    chromium = shutil.which("chromium")
    if chromium is None:
        lacking("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opened = await browser.new_page()
        await opened.goto(f"{studio.url}/health")
        yield opened
        await browser.close()


async def test_a_browser_allows_a_page_what_the_gateway_allows(
    page: Page, studio: Gateway, tmp_path: Path
) -> None:
    settings = {"NEXUS_JWT_SECRET": SECRET, "NEXUS_CORS_ORIGINS": studio.url}
    token = bearer("*")
    json = {**token, "content-type": "application/json"}
    entity = '{"entity_id": "a", "entity_type": "t"}'
    with Gateway(tmp_path, environment=settings) as other:
        entities = f"{other.url}/api/intelligence/entities"
        calls: dict[str, list[object]] = {
            "simple": [f"{other.url}/health", "GET", {}, None],
            "refused": [entities, "GET", {}, None],
            "missing": [f"{other.url}/nowhere", "GET", {}, None],
            "token": [entities, "GET", token, None],
            "created": [entities, "POST", json, entity],
            "deleted": [f"{entities}/a", "DELETE", token, None],
            "query": [f"{entities}/search", "QUERY", json, "{}"],
            "header": [entities, "GET", {**token, "x-evil": "1"}, None],
            "method": [entities, "PATCH", json, "{}"],
        }
        found = {name: await page.evaluate(CALL, call) for name, call in calls.items()}

    assert {name: status for name, (status, _) in found.items()} == {
        "simple": 200,
        "refused": 401,
        "missing": 404,
        "token": 200,
        "created": 201,
        "deleted": 204,
        "query": 200,
        "header": 0,
        "method": 0,
    }
    assert {"etag", "location", "x-request-id"} <= set(found["created"][1].split())
    assert "www-authenticate" not in found["refused"][1].split()


async def test_a_browser_keeps_a_page_of_another_origin_out(page: Page, tmp_path: Path) -> None:
    settings = {"NEXUS_CORS_ORIGINS": "https://app.example.com"}
    with Gateway(tmp_path, environment=settings) as other:
        found = await page.evaluate(CALL, [f"{other.url}/health", "GET", {}, None])

    assert found == [0, "TypeError"]
