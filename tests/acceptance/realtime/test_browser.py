"""A browser's ways in, in headless Chromium: the bearer subprotocol, or the first message."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import msgspec
import pytest
from playwright.async_api import async_playwright

from tests.harness.hub_socket import Frame, opened, token_of
from tests.harness.servers import lacking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Page

    from tests.harness.gateway_process import Gateway

# Opens a socket, says what it is told to, and gives all frames and the close.
SPEAK = """
([url, protocols, first, send, until]) => new Promise((resolve) => {
  const socket = new WebSocket(url, protocols);
  const seen = { protocol: null, frames: [], code: null };
  socket.onopen = () => {
    seen.protocol = socket.protocol;
    if (first) socket.send(JSON.stringify(first));
  };
  socket.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    seen.frames.push(frame);
    if (frame.type === "welcome") for (const one of send) socket.send(JSON.stringify(one));
    if (frame.type === until) socket.close(1000);
  };
  socket.onclose = ({ code }) => { seen.code = code; resolve(seen); };
})
"""
SUBSCRIBE = [{"type": "subscribe", "channel": "user:bob", "id": 1}]


class Seen(msgspec.Struct):
    """What a page saw of its socket."""

    protocol: str | None
    frames: list[Frame]
    code: int


@pytest.fixture
async def page(hub: Gateway) -> AsyncIterator[Page]:
    """A page of the gateway in Debian's Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        lacking("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opened_page = await browser.new_page()
        await opened_page.goto(f"{hub.url}/asyncapi.json")
        yield opened_page
        await browser.close()


async def speak(page: Page, hub: Gateway, protocols: list[str], first: object = None) -> Seen:
    url = f"ws://127.0.0.1:{hub.port}/ws/realtime"
    found = await page.evaluate(SPEAK, [url, protocols, first, SUBSCRIBE, "ack"])
    return msgspec.convert(found, Seen)


async def test_a_browser_comes_in_with_a_token_as_subprotocol(page: Page, hub: Gateway) -> None:
    token = token_of(subject="bob")

    seen = await speak(page, hub, ["nexus.json", f"nexus.bearer.{token}"])

    assert (seen.protocol, seen.code) == ("nexus.json", 1000)
    assert [frame["type"] for frame in seen.frames] == ["welcome", "ack"]


async def test_a_browser_comes_in_with_a_token_in_its_first_message(
    page: Page, hub: Gateway
) -> None:
    first = {"type": "auth", "token": token_of(subject="bob")}

    seen = await speak(page, hub, ["nexus.json", "nexus.auth"], first)

    assert seen.code == 1000
    assert [frame["type"] for frame in seen.frames] == ["welcome", "ack"]


async def test_a_browser_with_a_bad_token_never_has_an_open_socket(
    page: Page, hub: Gateway
) -> None:
    seen = await speak(page, hub, ["nexus.json", f"nexus.bearer.{token_of(seconds=-60)}"])

    assert (seen.protocol, seen.frames, seen.code) == (None, [], 1006)


async def test_a_browser_with_a_bad_first_message_is_told_by_the_code(
    page: Page, hub: Gateway
) -> None:
    seen = await speak(page, hub, ["nexus.json", "nexus.auth"], {"type": "auth", "token": "x"})

    assert (seen.frames, seen.code) == ([], 4003)


async def test_a_browser_and_a_program_share_a_channel(page: Page, hub: Gateway) -> None:
    url = f"ws://127.0.0.1:{hub.port}/ws/realtime"
    protocols = ["nexus.json", f"nexus.bearer.{token_of(subject='browser')}"]
    send = [
        {"type": "subscribe", "channel": "room:shared", "id": 1},
        {"type": "publish", "channel": "room:shared", "data": "from the browser"},
    ]
    async with opened(hub) as socket:
        await socket.subscribe("room:shared")
        found = await page.evaluate(SPEAK, [url, protocols, None, send, "message"])
        message = await socket.next("message")

    assert (message["data"], message["publisher"]) == ("from the browser", "browser")
    assert msgspec.convert(found, Seen).frames[-1]["offset"] == message["offset"]
