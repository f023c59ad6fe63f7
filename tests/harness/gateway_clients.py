"""The whole gateway as a process over real servers, and those who use it while these go away."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, Self

import httpx
import msgspec

from nexus_gateway.server.tokens import mint
from tests.harness.gateway_process import SECRET, Gateway
from tests.harness.tokens import TOKEN_LIFETIME_S
from tests.harness.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

ENTITIES = "/api/intelligence/entities"
NODES = "/api/knowledge-graph/nodes"
REPORT = "/api/intelligence/comprehensive-report"
QUIET = {
    "NEXUS_JWT_SECRET": SECRET,
    "NEXUS_LOG_LEVEL": "error",
    "NEXUS_RATE_LIMIT": "1000000/s",
    "NEXUS_DATABASE_POOL": "4",
    "NEXUS_DATABASE_WAIT": "0.5",
    "NEXUS_DATABASE_TIMEOUT": "1",
}
PATIENCE = 30.0


class Check(msgspec.Struct):
    """What one dependency said."""

    status: str
    reason: str | None = None


class Ready(msgspec.Struct):
    """`/health/ready`."""

    status: str
    checks: dict[str, Check]
    code: int = 0

    def failed(self) -> dict[str, str | None]:
        """Tell what is missing, and why."""
        return {name: one.reason for name, one in self.checks.items() if one.status == "failed"}


def serve(folder: Path, **environment: str) -> Gateway:
    """Start a gateway whose data is in a folder, which may hold those of one before."""
    folder.mkdir(exist_ok=True)
    return Gateway(folder, environment={**QUIET, **environment})


def client_of(gateway: Gateway, tenant: str = "acme", timeout: float = PATIENCE) -> httpx.Client:
    """Make a client with a token for everything of a tenant; the caller closes it."""
    token = mint(SECRET.encode(), "alice", ["*"], TOKEN_LIFETIME_S, tenant=tenant)
    headers = {"authorization": f"Bearer {token}"}
    return httpx.Client(base_url=gateway.url, headers=headers, timeout=timeout)


def ready(client: httpx.Client) -> Ready:
    """Ask what is missing; the gateway lives whatever it is."""
    answer = client.get("/health/ready")
    found = msgspec.json.decode(answer.content, type=Ready)
    found.code = answer.status_code
    assert client.get("/health/live").status_code == 200
    return found


class Refusal(NamedTuple):
    """An answer that is not a success."""

    status: int
    code: str
    retry_after: str | None
    seconds: float


def refusal(client: httpx.Client, method: str, target: str, value: object = None) -> Refusal:
    """Send a request and read what is wrong with it, and how long it took to say so."""
    started = time.monotonic()
    answer = client.request(method, target, json=value)
    seconds = time.monotonic() - started
    code = answer.json().get("code", "") if answer.content else ""
    return Refusal(answer.status_code, code, answer.headers.get("retry-after"), seconds)


def refusals(
    client: httpx.Client, requests: Sequence[tuple[str, str, object]]
) -> list[tuple[str, Refusal]]:
    """Send requests at once, and read what is wrong with each."""

    def ask(request: tuple[str, str, object]) -> tuple[str, Refusal]:
        method, target, value = request
        return f"{method} {target}", refusal(client, method, target, value)

    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(ask, requests))


class Writers:
    """Threads that create things one after another until they are stopped.

    Args:
        gateway: where to.
        target: the collection.
        draft: makes a body of an id.
        threads: at once.
        prefix: of the ids; the graph keeps a node of each entity, too.
    """

    def __init__(
        self,
        gateway: Gateway,
        target: str,
        draft: Callable[[str], Mapping[str, object]],
        *,
        threads: int = 4,
        prefix: str = "w",
    ) -> None:
        self._gateway = gateway
        self._target = target
        self._draft = draft
        self._prefix = prefix
        self.acknowledged: list[str] = []
        self.refused: Counter[tuple[int, str]] = Counter()
        self.unanswered: list[str] = []
        self.longest = 0.0
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(number,)) for number in range(threads)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait(self, more: int) -> None:
        """Wait until so many further ones are acknowledged."""
        wanted = len(self.acknowledged) + more
        wait_until(lambda: len(self.acknowledged) >= wanted, "writers")

    def _write(self, thread: int) -> None:
        number = 0
        with client_of(self._gateway) as client:
            while not self._stop.is_set():
                number += 1
                name = f"{self._prefix}{thread}-{number}"
                started = time.monotonic()
                try:
                    answer = client.post(self._target, json=self._draft(name))
                except httpx.HTTPError:
                    self.unanswered.append(name)
                    self._stop.wait(0.02)
                    continue
                self.longest = max(self.longest, time.monotonic() - started)
                if answer.status_code == 201:
                    self.acknowledged.append(name)
                else:
                    self.refused[answer.status_code, answer.json()["code"]] += 1
                    self._stop.wait(0.02)


def entity(name: str) -> dict[str, object]:
    """Draft an entity."""
    return {"entity_id": name, "entity_type": "thing", "tags": ["a", name[:2]]}


def node(name: str) -> dict[str, object]:
    """Draft a node."""
    return {"entity_id": name, "entity_type": "thing"}


def stored(client: httpx.Client, target: str) -> list[str]:
    """List the ids of all that there is, page by page."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": "100"} | ({"cursor": cursor} if cursor else {})
        page = client.get(target, params=query)
        assert page.status_code == 200, page.text
        body = page.json()
        found += [item["entity_id"] for item in body["items"]]
        cursor = body["next_cursor"]
        if cursor is None:
            return found


def check_kept(client: httpx.Client, target: str, writers: Writers) -> None:
    """See that nothing acknowledged is lost and nothing is there twice."""
    found = Counter(stored(client, target))
    assert set(writers.acknowledged) <= set(found)
    assert max(found.values()) == 1
