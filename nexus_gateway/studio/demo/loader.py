"""Loading entities through the HTTP API, in batches over one connection.

A batch is a set of upserts, so one whose answer got lost is sent again without harm. A gateway that
refuses for now (429, 503) is given the time that it asks for.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeAlias
from urllib.parse import urlsplit

import msgspec

from nexus_gateway.studio.demo.errors import DemoError
from nexus_gateway.studio.intelligence.models import Draft, Imported
from nexus_gateway.values.credentials import check_token, redacted

Progress: TypeAlias = Callable[[int], None]
"""Is told how many entities are loaded so far."""

BATCH = 500
TARGET = "/api/intelligence/entities:batch"
TRIES = 20
"""Times that one batch is sent."""
LONGEST_WAIT = 60
"""Seconds to wait between two tries, whatever the gateway asks for."""
TIMEOUT = 60.0
"""Seconds to wait for an answer."""


class Loaded(msgspec.Struct, frozen=True):
    """What became of a load."""

    created: int
    updated: int
    unchanged: int
    seconds: float

    @property
    def total(self) -> int:
        """All entities that were sent."""
        return self.created + self.updated + self.unchanged


def load(
    drafts: Iterable[Draft], *, url: str, token: str, progress: Progress = lambda _: None
) -> Loaded:
    """Send entities to a gateway.

    Args:
        drafts: what to load; read as it is sent.
        url: the gateway, `http://127.0.0.1:8000`.
        token: a bearer token with the scope `intelligence:write`.
        progress: is told how many are loaded so far.

    Raises:
        DemoError: the gateway cannot be reached, refuses for good, or has less than was sent.
    """
    started = time.perf_counter()
    read = created = updated = unchanged = 0
    sender = Sender(url, token)
    try:
        for batch in batches(drafts, BATCH):
            done = sender.send(batch)
            read += len(batch)
            created += done.created
            updated += done.updated
            unchanged += done.unchanged
            progress(created + updated + unchanged)
    finally:
        sender.close()
    check_loaded("entities", read, created + updated + unchanged)
    return Loaded(created, updated, unchanged, time.perf_counter() - started)


def check_loaded(what: str, sent: int, loaded: int) -> None:
    """Compare what the gateway has confirmed with what it was sent.

    Raises:
        DemoError: it is not the same.
    """
    if sent != loaded:
        raise DemoError(f"{sent:,} {what} were sent, and the gateway confirmed {loaded:,}")


def connection_to(url: str) -> http.client.HTTPConnection:
    """Make a connection to a gateway; it opens with its first request, and the caller closes it.

    Raises:
        DemoError: the URL is not one of HTTP.
    """
    expected = f"expected a URL such as http://127.0.0.1:8000, found {redacted(url)!r}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise DemoError(expected) from None  # its text quotes a part of the URL
    if "@" in parts.netloc:
        raise DemoError("a URL with a user or a password is not supported: give --token")
    if parts.scheme not in ("http", "https") or parts.hostname is None:
        raise DemoError(expected)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname, port, timeout=TIMEOUT)


def bearer(token: str) -> str:
    """Give the value of the header `authorization`.

    Raises:
        DemoError: it is not a token; the message does not quote it.
    """
    try:
        return f"Bearer {check_token(token)}"
    except ValueError as error:
        raise DemoError(f"--token: {error}") from None


def batches(drafts: Iterable[Draft], size: int) -> Iterator[list[Draft]]:
    """Cut into lists of `size`."""
    waiting = iter(drafts)
    while batch := list(islice(waiting, size)):
        yield batch


class Sender:
    """A connection to a gateway that is made again where it breaks; its owner closes it.

    Args:
        url: the gateway.
        token: a bearer token.
        target: the path of what takes the content.
        sleep: waits some seconds.

    Raises:
        DemoError: the URL is not one of HTTP, or the token is none.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        target: str = TARGET,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._connection = connection_to(url)
        self.target = urlsplit(url).path.rstrip("/") + target
        self._authorization = bearer(token)
        self._token = token
        self._sleep = sleep

    def send(self, batch: list[Draft]) -> Imported:
        """Send one batch until it is taken.

        Raises:
            DemoError: the gateway cannot be reached, or refuses for good.
        """
        content = msgspec.json.encode({"items": batch})
        return msgspec.json.decode(self.deliver(content, "application/json"), type=Imported)

    def deliver(self, content: bytes, content_type: str) -> bytes:
        """Send any content until it is taken; the answer.

        Raises:
            DemoError: the gateway cannot be reached, or refuses for good.
        """
        problem = ""
        for attempt in range(TRIES):
            try:
                status, wait, answer = self._post(content, content_type)
            except (OSError, http.client.HTTPException) as exc:
                self._connection.close()
                problem = f"{type(exc).__name__}: {exc}"
                if isinstance(exc, ConnectionRefusedError) and attempt == 0:
                    raise DemoError(f"no gateway answers there ({exc}): start one first") from exc
                self._sleep(min(0.1 * 2**attempt, 5.0))
                continue
            if status < 300:
                return answer
            said = redacted(answer.decode(errors="replace"), (self._token,))
            problem = f"{status} {said[:500]}"
            if status not in (429, 503):
                raise DemoError(f"the gateway refuses: {problem}")
            self._sleep(wait)
        raise DemoError(f"the gateway did not take a batch in {TRIES} tries: {problem}")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _post(self, content: bytes, content_type: str) -> tuple[int, float, bytes]:
        headers = {"authorization": self._authorization, "content-type": content_type}
        self._connection.request("POST", self.target, body=content, headers=headers)
        response = self._connection.getresponse()
        asked = response.getheader("retry-after") or ""
        wait = float(asked) if asked.isdecimal() else 1.0
        return response.status, min(wait, LONGEST_WAIT), response.read()
