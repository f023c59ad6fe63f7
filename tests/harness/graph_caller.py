"""A caller of `/api/knowledge-graph` with a token of its own, and what its answers hold."""

from __future__ import annotations

import time

import msgspec

from nexus_gateway.server.tokens import mint
from nexus_gateway.testing import Answer, Client, Request, request
from tests.harness.in_process import SECRET
from tests.harness.tokens import TOKEN_LIFETIME_S

ROOM = "/api/knowledge-graph"
SCOPES = ("knowledge-graph:read", "knowledge-graph:write")


class Heard:
    """A publisher that keeps what it was given."""

    def __init__(self) -> None:
        self.said: list[tuple[str, object]] = []

    async def publish(self, channel: str, value: object) -> None:
        self.said.append((channel, value))


class Caller:
    """Calls the room as somebody of a tenant."""

    def __init__(self, client: Client, tenant: str | None, subject: str) -> None:
        self._client = client
        self._who = tenant, subject
        self._token = mint(
            SECRET, subject, SCOPES, TOKEN_LIFETIME_S, tenant=tenant, now=int(time.time())
        )

    def call(
        self, line: str, value: object = msgspec.UNSET, *, headers: dict[str, str] | None = None
    ) -> Answer:
        method, _, target = line.partition(" ")
        asked: Request = request(f"{method} {ROOM}{target}").bearer(self._token)
        for name, text in (headers or {}).items():
            asked = asked.header(name, text)
        if value is not msgspec.UNSET:
            asked = asked.json(value)
        return self._client.send(asked)

    def token(self, scope: str) -> str:
        """Make another token of the same caller, for one scope."""
        tenant, subject = self._who
        return mint(SECRET, subject, [scope], TOKEN_LIFETIME_S, tenant=tenant, now=int(time.time()))

    def read(self, target: str) -> dict[str, object]:
        answer = self.call(f"GET {target}")
        assert answer.status == 200, answer.body
        return msgspec.json.decode(answer.body, type=dict[str, object])

    def node(self, name: str, /, **more: object) -> Answer:
        draft = {"entity_id": name, "entity_type": "thing", **more}
        answer = self.call("POST /nodes", draft)
        assert answer.status == 201, answer.body
        return answer

    def edge(self, source: str, target: str, kind: str = "depends", **more: object) -> str:
        draft = {"source": source, "target": target, "type": kind, **more}
        answer = self.call("POST /edges", draft)
        assert answer.status == 201, answer.body
        return str(msgspec.json.decode(answer.body, type=dict[str, object])["edge_id"])


def ids(answer: dict[str, object], name: str = "items") -> list[str]:
    """Read the ids of a list of nodes, or of neighbours."""
    found = msgspec.convert(answer[name], list[dict[str, object]])
    nodes = [msgspec.convert(one.get("node", one), dict[str, object]) for one in found]
    return [str(node["entity_id"]) for node in nodes]
