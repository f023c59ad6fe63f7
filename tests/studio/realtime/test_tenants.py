"""No token of a tenant reaches channels of another, whatever the two are called."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nexus_gateway.realtime.hub import segment
from nexus_gateway.server.settings import Settings
from nexus_gateway.server.tokens import mint
from nexus_gateway.studio.app import compose
from nexus_gateway.testing import Client, request
from tests.harness.tokens import TOKEN_LIFETIME_S
from tests.harness.waiting import Polling

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nexus_gateway.testing import Answer

TENANTS = st.one_of(
    st.sampled_from(["acme", "acme:eu", "acme%3Aeu", "acme:", "*", "{tenant}", "ACME", "a/b", "."]),
    st.text(st.sampled_from("ae:%3A*{}/.é"), min_size=1, max_size=8),
)
FAMILIES = (
    "graph:{}:changes",
    "graph:{}:near:n",
    "entities:{}:changes",
    "room:{}:x",
    "workflow:{}:x",
)
SCOPES = (
    "knowledge-graph:read", "intelligence:read", "intelligence:write", "orchestration:read",
    "realtime:read", "realtime:write", "realtime:admin",
)  # fmt: skip


class Studio:
    def __init__(self, client: Client, own: Settings) -> None:
        self._client = client
        self._secret = own.secret() or b""

    def call(
        self, tenant: str, line: str, value: object = None, *, scopes: tuple[str, ...] = SCOPES
    ) -> Answer:
        token = mint(self._secret, "auth0|1", scopes, TOKEN_LIFETIME_S, tenant=tenant)
        asked = request(line).bearer(token)
        return (asked if value is None else asked.json(value)).reply(self._client)

    def history(self, tenant: str, channel: str, scopes: tuple[str, ...] = SCOPES) -> Answer:
        place = f"/api/realtime/channels/{quote(channel, safe='')}/history"
        return self.call(tenant, f"GET {place}", scopes=scopes)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder: Path = tmp_path_factory.mktemp("tenants")
    own = Settings(data_dir=folder, log_level="error", rate_limit="")
    with Client(compose(own)) as client:
        yield Studio(client, own)


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(TENANTS, TENANTS)
@example("acme", "acme:eu")
@example("acme:eu", "acme")
@example("/./", "acme")
@example("acme", "/./")
def test_a_channel_is_its_own_tenant_s(studio: Studio, one: str, other: str) -> None:
    for family in FAMILIES:
        channel = family.format(segment(one))
        for scopes in (SCOPES[:-1], SCOPES, ("*",)):
            reachable = addressable(channel)
            own = studio.history(one, channel, scopes)
            assert own.status == (200 if reachable else 400), own.body
            expected = 400 if not reachable else 200 if one == other else 403
            assert studio.history(other, channel, scopes).status == expected, channel
            place = f"/api/realtime/channels/{quote(channel, safe='')}/publish"
            answer = studio.call(other, f"POST {place}", {"data": 1}, scopes=scopes)
            assert one == other or answer.status == (403 if reachable else 400)


def addressable(channel: str) -> bool:
    """Say whether a path can name a channel: dot segments are refused, also encoded again."""
    for _ in range(4):
        if {".", ".."} & set(re.split(r"[/\\]", channel)):
            return False
        decoded = unquote(channel)
        if decoded == channel:
            return True
        channel = decoded
    return False


def test_a_tenant_with_a_colon_reads_its_own_changes_and_no_prefix_does(studio: Studio) -> None:
    made = studio.call(
        "acme:eu", "PUT /api/intelligence/entities/n", {"name": "secret", "entity_type": "thing"}
    )
    assert made.status in {200, 201}, made.body
    own = f"entities:{segment('acme:eu')}:changes"
    told = b""
    polling = Polling("the change is in the history")
    while b"secret" not in told:
        polling.pause()
        answer = studio.history("acme:eu", own)
        assert answer.status == 200, answer.body
        told = answer.body

    assert b"secret" in told
    for channel in (own, "entities:acme:eu:changes"):
        answer = studio.history("acme", channel)
        assert answer.status == 403 or b"secret" not in answer.body


def test_an_operator_of_a_tenant_lists_its_own_channels(studio: Studio) -> None:
    for tenant in ("acme", "acme:eu"):
        room = quote(f"room:{segment(tenant)}:x", safe="")
        done = studio.call(tenant, f"POST /api/realtime/channels/{room}/publish", {"data": 1})
        assert done.status == 200, done.body

    listed = studio.call("acme", "GET /api/realtime/channels?limit=1000")

    names = [one["channel"] for one in msgspec.json.decode(listed.body)["items"]]
    assert "room:acme:x" in names
    assert {name.split(":")[1] for name in names} == {"acme"}
