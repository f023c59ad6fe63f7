"""The credentials of one client, removed from its statuses, errors and log."""

from __future__ import annotations

import re
from collections import deque
from urllib.parse import parse_qsl, unquote, urlsplit

from nexus_gateway.client.errors import RealtimeError
from nexus_gateway.values.credentials import redacted

_TOKENS_MAX = 4
"""Only the newest tokens are searched for."""
_SECRET_NAME = re.compile(r"(token|key|secret|password|jwt|auth|signature)$", re.IGNORECASE)


class Redaction:
    """Removes the credentials of one client from texts."""

    def __init__(self, url: str) -> None:
        self._of_url = _secrets_of(url)
        self._tokens: deque[str] = deque(maxlen=_TOKENS_MAX)

    def remember(self, token: str) -> None:
        """Remove a token from all texts from now on."""
        if token not in self._tokens:
            self._tokens.append(token)

    def text(self, text: str) -> str:
        """Return a text without credentials."""
        return redacted(text, (*self._tokens, *self._of_url))

    def error(self, code: str, message: str, retry_after: float | None = None) -> RealtimeError:
        """Make an error from a message of the hub."""
        return RealtimeError(self.text(code), self.text(message), retry_after)


def _secrets_of(url: str) -> tuple[str, ...]:
    """List the credentials in a URL: its password, and secret values of its query."""
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return (url,)
    pairs = parse_qsl(parts.query)
    found = [value for name, value in pairs if _SECRET_NAME.search(name) is not None]
    found += [] if password is None else [password, unquote(password)]
    return tuple(found)
