"""The studio's hub: its channels, what the settings decide, and its documents."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import msgspec
import pytest

from nexus_gateway.server.settings import Settings
from nexus_gateway.server.tokens import mint
from nexus_gateway.studio.app import compose
from nexus_gateway.studio.realtime.channels import hub_of, namespaces
from nexus_gateway.testing import request
from tests.harness.tokens import TOKEN_LIFETIME_S

if TYPE_CHECKING:
    from nexus_gateway.testing import Client

Json = dict[str, object]


def test_only_rooms_of_programs_are_open_to_publishers() -> None:
    open_to_publish = {rules.name for rules in namespaces() if rules.publish is not None}

    assert open_to_publish == {"room:{tenant}:*", "public:*"}


def test_no_channel_can_be_heard_without_a_token() -> None:
    assert [rules.name for rules in namespaces() if rules.subscribe is None] == []
    assert not any(rules.subscribe.anonymous for rules in namespaces() if rules.subscribe)


def test_frames_count_in_the_limit_of_requests() -> None:
    limit = hub_of(Settings(rate_limit="10/s burst 20")).plan.messages

    assert limit is not None
    assert (limit.name, limit.requests, limit.burst) == ("subject", 10, 20)
    assert hub_of(Settings(rate_limit="")).plan.messages is None


def test_a_redis_makes_the_channels_shared_and_its_url_stays_out_of_the_plan() -> None:
    alone = hub_of(Settings())
    shared = hub_of(Settings(redis_url="redis://:hush@cache/0", redis_prefix="blue"))

    assert alone.plan.redis is None
    assert shared.plan.redis is not None
    assert shared.plan.redis.prefix == "blue"
    written = compose(Settings(redis_url="redis://:hush@cache/0")).compile().plan.to_json()
    assert b"hush" not in written


def test_the_counters_of_a_replica_stay_with_it() -> None:
    metrics = next(rules for rules in namespaces() if rules.name == "metrics")

    assert (metrics.shared, metrics.overflow) == (False, "conflate")


def test_the_log_is_heard_by_its_own_scope_and_stays_with_its_replica() -> None:
    log = next(rules for rules in namespaces() if rules.name == "log")

    assert log.subscribe is not None
    assert (log.subscribe.scopes, log.publish, log.shared) == (("logs:read",), None, False)


@pytest.mark.parametrize(
    ("document", "key", "places"),
    [
        (
            "openapi",
            "paths",
            {
                "/ws/realtime", "/ws/realtime/{channel}", "/api/realtime/channels",
                "/api/realtime/channels/{channel}/events",
                "/api/realtime/channels/{channel}/history",
                "/api/realtime/channels/{channel}/presence",
                "/api/realtime/channels/{channel}/publish",
                "/api/realtime/connections:disconnect", "/api/admin/revocations",
            },
        ),
        ("asyncapi", "channels", {"ws_realtime", "ws_realtime_channel"}),
    ],
)  # fmt: skip
def test_the_documents_have_its_places(
    client: Client, document: str, key: str, places: set[str]
) -> None:
    answer = request(f"GET /{document}.json").reply(client)

    described = msgspec.json.decode(answer.body, type=Json)
    assert places <= set(msgspec.convert(described[key], Json))


@pytest.mark.parametrize(
    "line",
    [
        "GET /ws/realtime", "GET /api/realtime/channels/public:x/history",
        "POST /api/realtime/channels/public:x/publish", "POST /api/realtime/connections:disconnect",
        "GET /api/admin/revocations", "POST /api/admin/revocations",
    ],
)  # fmt: skip
def test_nothing_is_answered_without_a_token(client: Client, line: str) -> None:
    assert request(line).json({}).reply(client).status == 401


HISTORY = "/api/realtime/channels/room:acme:x/history"


@pytest.mark.parametrize(
    ("field", "text"),
    [("limit", ""), ("limit", "-1"), ("limit", "+1"), ("limit", "4294967296"), ("limit", "nan"),
     ("limit", "2e-313"), ("limit", "1.0"), ("offset", "18446744073709551616")],
)  # fmt: skip
def test_a_number_out_of_range_is_refused_with_its_range(
    settings: Settings, client: Client, field: str, text: str
) -> None:
    token = mint(settings.secret() or b"", "alice", ["*"], TOKEN_LIFETIME_S, tenant="acme")
    asked = request(f"GET {HISTORY}?{field}={quote(text)}").bearer(token)
    answer = asked.reply(client)

    assert answer.status == 400
    detail = msgspec.json.decode(answer.body)["details"][0]
    assert (detail["location"], detail["field"], detail["kind"]) == ("query", field, "int")
    assert detail["message"].startswith("expected an int from 0 to ")


@pytest.mark.parametrize("half", ["epoch=", "epoch=x", "offset=0", "offset=7"])
def test_half_a_position_is_one_that_nobody_knows(
    settings: Settings, client: Client, half: str
) -> None:
    token = mint(settings.secret() or b"", "alice", ["*"], TOKEN_LIFETIME_S, tenant="acme")
    answer = request(f"GET {HISTORY}?{half}").bearer(token).reply(client)

    assert answer.status == 200
    assert msgspec.json.decode(answer.body)["recovered"] is False
