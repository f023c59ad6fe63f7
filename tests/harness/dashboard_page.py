"""The dashboard in a real browser, as tests look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import msgspec
from playwright.sync_api import expect

from nexus_gateway.server.tokens import mint
from tests.harness.gateway_process import SECRET, Gateway
from tests.harness.tokens import TOKEN_LIFETIME_S

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Literal

    from playwright.sync_api import Browser, Locator, Page, WebSocket

PATIENCE = 15_000
"""Milliseconds that a page may take on a busy machine."""
SETTINGS = {"NEXUS_JWT_SECRET": SECRET, "NEXUS_RATE_LIMIT": "5/s burst 5"}
SCOPES = ("metrics:read", "logs:read")


class Frame(msgspec.Struct):
    """A frame of the hub, as far as tests look at it."""

    type: str
    timestamp: str = ""


def token(*scopes: str, seconds: int = TOKEN_LIFETIME_S, subject: str = "operator") -> str:
    """Make a token for the page."""
    return mint(SECRET.encode(), subject, scopes, seconds)


class Board:
    """The dashboard in a tab of its own; what it asked for and complained of is kept."""

    def __init__(
        self,
        browser: Browser,
        gateway: Gateway,
        given: str | None,
        *,
        width: int = 1280,
        colours: Literal["light", "dark"] = "light",
    ) -> None:
        """Open it; with a token as after signing in, without one signed out."""
        self._context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=colours
        )
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.frames: list[Frame] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.sockets: list[WebSocket] = []
        self.page.on("websocket", self._opened)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        if given is not None:
            self.page.add_init_script(
                f"if (!window.name) sessionStorage.setItem('nexus.token', {given!r});"
                "window.name = 'opened'"
            )
        self.page.goto(f"{gateway.url}/dashboard")

    def _opened(self, socket: WebSocket) -> None:
        self.asked.append(socket.url)
        self.sockets.append(socket)
        socket.on("framereceived", self._received)

    def _received(self, text: str | bytes) -> None:
        decoded: object = msgspec.json.decode(text)
        for frame in decoded if isinstance(decoded, list) else [decoded]:  # pyright: ignore[reportUnknownVariableType]
            self.frames.append(msgspec.convert(frame, Frame))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the tab."""
        self._context.close()

    def __getitem__(self, selector: str) -> Locator:
        """Find parts of the page."""
        return self.page.locator(selector)

    def says(self, selector: str, words: str) -> None:
        """Wait until a part of the page says something."""
        expect(self[selector]).to_contain_text(words, timeout=PATIENCE)

    def live(self) -> Self:
        """Wait for the first figures."""
        self.says("#status", "live")
        expect(self["#tile-rate"]).to_be_visible(timeout=PATIENCE)
        return self

    def figure(self, selector: str) -> float:
        """Read what a figure is exactly."""
        value = self[selector].first.get_attribute("value")
        assert value is not None
        return float(value)
