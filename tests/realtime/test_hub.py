"""`Hub`: what a program publishes and asks for, through the real core."""

from __future__ import annotations

import time

import msgspec
import pytest

from nexus_gateway import Routes, auth, get, param, path, plan, post, public, require
from nexus_gateway.realtime.hub import Hub, HubError, Limits, allow, namespace
from nexus_gateway.realtime.terminal import Disconnection, Position
from nexus_gateway.server import Application, Server
from nexus_gateway.testing import request
from tests.harness.in_process import SECRET, TOKENS, bearer, refused, token


def a_hub() -> Hub:
    return Hub(
        namespace(
            "news:*", subscribe=allow(), publish=allow("news:write"), history=10, presence=True
        ),
        namespace("short", max_bytes=10),
    )


def an_application(hub: Hub) -> Application:
    channel = path("channels") / param("channel", str)
    routes = Routes(
        (channel & post() & require()).hub("publish"),
        (channel / "history" & get() & require()).hub("history"),
        (channel / "presence" & get() & require()).hub("presence"),
        (path("channels") & get() & public()).hub("channels"),
        (path("revocations") & post() & public()).hub("revoke"),
        (path("revocations") & get() & public()).hub("revocations"),
        (path("ws") & get() & auth()).hub("socket"),
        (path("me") & get() & require()).answer("you"),
    )
    return Application(routes, tokens=TOKENS, secrets={"test": SECRET}, hub=hub)


async def test_what_a_program_publishes_gets_a_place_and_is_kept() -> None:
    hub = a_hub()

    async with Server(an_application(hub)) as server:
        first = await hub.publish("news:a", {"number": 1})
        second = await server.publish("news:a", [2], key="k")
        kept = await hub.history("news:a")
        later = await hub.history("news:a", after=first)
        elsewhere = await hub.history("news:a", after=Position("other", 1))
        listed = await hub.channels(prefix="news:")

    assert (first.offset, second) == (1, Position(first.epoch, 2))
    assert [(item.offset, item.data, item.key) for item in kept.items] == [
        (1, {"number": 1}, None),
        (2, [2], "k"),
    ]
    assert ([item.offset for item in later.items], later.recovered) == ([2], True)
    assert elsewhere.recovered is False
    assert [(channel.channel, channel.offset) for channel in listed.items] == [("news:a", 2)]


async def test_json_that_is_made_already_is_published_as_it_is() -> None:
    hub = a_hub()

    async with Server(an_application(hub)):
        await hub.publish("news:a", msgspec.Raw(b'{"a": [1]}'))
        kept = await hub.history("news:a")

    assert kept.items[0].data == {"a": [1]}


@pytest.mark.parametrize(
    ("channel", "value", "code"),
    [
        ("nowhere", 1, "not_found"),
        ("", 1, "validation_error"),
        ("short", "more than ten bytes", "payload_too_large"),
    ],
)
async def test_what_cannot_be_published_is_told_by_a_code(
    channel: str, value: object, code: str
) -> None:
    hub = a_hub()

    async with Server(an_application(hub)):
        with pytest.raises(HubError) as told:
            await hub.publish(channel, value)

    assert told.value.code == code


async def test_a_hub_without_an_open_server_says_so() -> None:
    hub = a_hub()

    with pytest.raises(RuntimeError, match="no open server"):
        await hub.publish("news:a", 1)

    async with Server(an_application(hub)):
        pass
    with pytest.raises(RuntimeError, match="no open server"):
        await hub.publish("news:a", 1)


async def test_a_program_asks_for_controls_and_is_told_what_is_wrong() -> None:
    hub = a_hub()

    async with Server(an_application(hub)):
        there = await hub.presence("news:a")
        closed = await hub.disconnect(Disconnection(subject="nobody"))
        with pytest.raises(HubError, match="either a subject or a connection") as told:
            await hub.disconnect(Disconnection())
        with pytest.raises(HubError, match="either a token's jti or a sub"):
            await hub.revoke()

    assert (there.members, closed.sockets, told.value.code) == ([], 0, "validation_error")


async def test_a_revoked_subject_is_refused_and_a_token_that_is_newer_is_not() -> None:
    hub = a_hub()

    async with Server(an_application(hub)) as server:
        before = bearer(request("GET /me"))
        other = bearer(request("GET /me"), subject="bob")
        assert (await before.send(server)).status == 200
        revocation = await server.revoke(sub="alice")
        status, error = refused(await before.send(server))
        assert (await other.send(server)).status == 200
        listed = await hub.revocations()

    assert (status, error.code) == (401, "token_revoked")
    assert listed.items == [revocation]
    assert revocation.before == pytest.approx(time.time() + 1, abs=2)


async def test_callers_may_what_the_namespace_says() -> None:
    async with Server(an_application(a_hub())) as server:
        post = request("POST /channels/news:a").json({"data": 1})
        status, error = refused(await bearer(post).send(server))
        written = await bearer(post, "news:write").send(server)
        unknown = refused(await bearer(request("POST /channels/x").json({"data": 1})).send(server))
        kept = await bearer(request("GET /channels/news:a/history?limit=1")).send(server)
        wrong = refused(await bearer(request("GET /channels/news:a/history?limit=x")).send(server))
        bad = refused(await bearer(post.json({"value": 1}), "news:write").send(server))

    assert (status, error.code) == (403, "permission_denied")
    assert (written.status, unknown[0]) == (200, 404)
    assert b'"publisher":"alice"' in kept.body.replace(b" ", b"")
    assert (wrong[0], wrong[1].code, bad[1].code) == (400, "validation_error", "validation_error")


async def test_a_socket_is_refused_over_http_without_a_token_or_with_a_bad_one() -> None:
    upgrade = (
        request("GET /ws")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    )

    async with Server(an_application(a_hub())) as server:
        none = refused(await upgrade.send(server))
        bad = upgrade.header("sec-websocket-protocol", "nexus.json, nexus.bearer.x")
        wrong = refused(await bad.send(server))
        in_query = refused(await request(f"GET /ws?token={token()}").send(server))

    assert (none[0], none[1].code) == (401, "authentication_failed")
    assert (wrong[0], wrong[1].code) == (401, "token_invalid")
    assert in_query[0] == 401


@pytest.mark.parametrize("name", ["", "a*", "a:*:b", "*:a"])
def test_a_name_that_matches_no_channel_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a namespace is"):
        namespace(name)


def test_numbers_that_make_no_hub_are_refused() -> None:
    with pytest.raises(ValueError, match="queue must be at least 1"):
        namespace("a", queue=0)
    with pytest.raises(ValueError, match="must not be negative"):
        namespace("a", history=-1)
    with pytest.raises(ValueError, match="needs a heartbeat"):
        Hub(limits=Limits(sockets=0))
    with pytest.raises(ValueError, match="scopes"):
        allow("a", anonymous=True)
    with pytest.raises(ValueError, match="expected a rate"):
        Hub(limits=Limits(kibibytes="many"))


def test_a_chain_must_extract_the_channel_that_its_operation_needs() -> None:
    with pytest.raises(TypeError, match="takes one text"):
        (path("x") & get()).hub("events")
    with pytest.raises(TypeError, match="takes no text"):
        (path("x") / param("a", str) & get()).hub("channels")
    with pytest.raises(TypeError, match="at most one text"):
        (path("x") / param("a", str) / param("b", str) & get()).hub("socket")


def test_a_hub_route_without_a_hub_is_an_error_at_start() -> None:
    with pytest.raises(ValueError, match="`hub` needs `hub` in the plan"):
        Server((path("ws") & get() & public()).hub("socket"))


def test_the_limits_of_a_hub_are_written_in_its_plan() -> None:
    limits = Limits(messages="10/s burst 20", kibibytes="1/s burst 2", tenant_messages="5/min")

    written = Hub(limits=limits, redis_url="redis://x").plan

    assert isinstance(written.messages, plan.Limit)
    assert (written.messages.requests, written.messages.shared) == (10, True)
    assert written.bytes == plan.Rate(amount=1024, period_ms=1000, burst=2048)
    assert written.tenant_messages == plan.Rate(amount=5, period_ms=60_000, burst=5)
    assert written.redis is not None
