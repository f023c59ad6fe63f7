"""A caller of `/api/intelligence` with a token of its own, and what its answers hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.server.tokens import mint
from nexus_gateway.testing import Answer, Client, Request, request
from tests.harness.tokens import TOKEN_LIFETIME_S

if TYPE_CHECKING:
    from nexus_gateway.server.settings import Settings

ROOM = "/api/intelligence"
ENTITIES = f"{ROOM}/entities"
NDJSON = "application/x-ndjson"


class Caller:
    """Sends requests with a token of its own."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        scopes: str,
        tenant: str | None,
        subject: str = "alice",
    ) -> None:
        secret = settings.secret()
        assert secret is not None
        self._client = client
        self._token = mint(secret, subject, scopes.split(), TOKEN_LIFETIME_S, tenant=tenant)

    def send(self, what: Request) -> Answer:
        return what.bearer(self._token).reply(self._client)

    def get(self, target: str, **headers: str) -> Answer:
        return self.send(_with(request(f"GET {target}"), headers))

    def post(self, target: str, value: object) -> Answer:
        return self.send(request(f"POST {target}").json(value))

    def put(self, entity_id: str, value: object, **headers: str) -> Answer:
        return self.send(_with(request(f"PUT {ENTITIES}/{entity_id}").json(value), headers))

    def delete(self, entity_id: str, query: str = "", **headers: str) -> Answer:
        return self.send(_with(request(f"DELETE {ENTITIES}/{entity_id}{query}"), headers))

    def take(self, text: bytes, **headers: str) -> Answer:
        return self.send(_with(request(f"POST {ENTITIES}:import").body(text, NDJSON), headers))


def _with(asked: Request, headers: dict[str, str]) -> Request:
    for name, text in headers.items():
        asked = asked.header(name.replace("_", "-"), text)
    return asked


def document(answer: Answer) -> dict[str, object]:
    return msgspec.json.decode(answer.body, type=dict[str, object])


def rows(answer: Answer) -> list[dict[str, object]]:
    return msgspec.json.Decoder(dict[str, object]).decode_lines(answer.body)


def items(answer: Answer) -> list[dict[str, object]]:
    return msgspec.convert(document(answer)["items"], list[dict[str, object]])


def ids(answer: Answer) -> list[object]:
    return [item["entity_id"] for item in items(answer)]


def fields(answer: Answer) -> list[object]:
    details = msgspec.convert(document(answer)["details"], list[dict[str, object]])
    return [detail["field"] for detail in details]


def tool(entity_id: str, **more: object) -> dict[str, object]:
    return {"entity_id": entity_id, "entity_type": "tool", **more}
