"""A socket's life: its token expires or is revoked, it falls silent, the server drains."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from nexus_gateway.client import Message, Realtime
from tests.acceptance.realtime.conftest import APPS
from tests.harness.gateway_process import PATIENCE, Gateway, code_of
from tests.harness.hub_socket import opened, token_of

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

ADMIN = {"authorization": f"Bearer {token_of('realtime:admin', subject='operator')}"}


def revoke(gateway: Gateway, **what: object) -> httpx.Response:
    with gateway.client(headers=ADMIN) as client:
        return client.post("/revocations", json=what)


async def test_an_expiring_token_is_warned_of_and_closed_with_4001(hub: Gateway) -> None:
    async with opened(hub, token=token_of(seconds=3)) as socket:
        warning = await socket.next("expiring")
        began = time.monotonic()
        code, _ = await socket.closed()

    assert code == 4001
    assert 0 < float(str(warning["seconds"])) <= 3
    assert time.monotonic() - began < 4


async def test_a_fresh_token_keeps_the_socket_open(hub: Gateway) -> None:
    async with opened(hub, token=token_of(seconds=2)) as socket:
        await socket.next("expiring")
        await socket.ask(type="auth", token=token_of(seconds=60))
        await asyncio.sleep(2.5)
        await socket.ask("pong", type="ping")


async def test_a_token_of_somebody_else_is_refused(hub: Gateway) -> None:
    async with opened(hub) as socket:
        refused = await socket.ask("error", type="auth", token=token_of(subject="bob"))
        await socket.ask("pong", type="ping")

    assert refused["code"] in {"permission_denied", "token_invalid", "authentication_failed"}


async def test_the_python_client_renews_its_token_by_itself(hub: Gateway) -> None:
    asked: list[float] = []

    def fresh() -> str:
        asked.append(time.monotonic())
        return token_of(seconds=2 if len(asked) == 1 else 60)

    async with Realtime(f"{hub.url}/ws/realtime", token=fresh) as client:
        subscription = client.subscribe("room:renewed")
        await subscription.ready()
        first = client.status.connection
        await asyncio.sleep(3)
        await client.publish("room:renewed", "still here")
        async with asyncio.timeout(PATIENCE):
            event = await anext(subscription)

    assert isinstance(event, Message)
    assert (len(asked), client.status.state) == (2, "closed")
    assert first


@pytest.mark.parametrize("by", ["jti", "sub"])
async def test_a_revocation_closes_sockets_within_a_second_and_refuses_requests(
    hub: Gateway, by: str
) -> None:
    name = f"revoked-{by}"
    token = token_of(subject=name, jti=name)
    headers = {"authorization": f"Bearer {token}"}
    async with opened(hub, token=token) as socket, opened(hub) as other:
        with hub.client(headers=headers) as client:
            before = client.get("/me")
        answer = revoke(
            hub, **{by: name}, **({"before": int(time.time()) + 5} if by == "sub" else {})
        )
        began = time.monotonic()
        code, _ = await socket.closed()
        closed_after = time.monotonic() - began
        await other.ask("pong", type="ping")
    with hub.client(headers=headers) as client:
        after = client.get("/me")
    with hub.client(headers=ADMIN) as client:
        listed = client.get("/revocations").json()

    assert (before.status_code, answer.status_code) == (200, 200)
    assert code == 4002
    assert closed_after < 1
    assert (after.status_code, code_of(after)) == (401, "token_revoked")
    assert name in {item.get(by) for item in listed["items"]}


def test_a_revocation_of_nothing_is_refused(hub: Gateway) -> None:
    answer = revoke(hub)

    assert answer.status_code in {400, 422}
    assert code_of(answer) == "validation_error"


def test_only_operators_revoke(hub: Gateway) -> None:
    with hub.client(headers={"authorization": f"Bearer {token_of()}"}) as client:
        answer = client.post("/revocations", json={"jti": "x"})

    assert (answer.status_code, code_of(answer)) == (403, "permission_denied")


async def test_a_socket_that_answers_no_ping_is_closed_with_4010(quick: Gateway) -> None:
    async with opened(quick) as socket:
        # The library answers pings by itself as long as it reads.
        socket.connection.protocol.recv_ping = None  # type: ignore[attr-defined]
        transport = socket.connection.transport
        transport.pause_reading()
        await asyncio.sleep(1.5)
        transport.resume_reading()
        code, _ = await socket.closed()

    assert code == 4010


async def test_a_socket_that_answers_pings_lives(quick: Gateway) -> None:
    async with opened(quick) as socket:
        await asyncio.sleep(1.5)
        await socket.ask("pong", type="ping")


async def test_an_operator_disconnects_a_subject(hub: Gateway) -> None:
    async with opened(hub, token=token_of(subject="banned")) as socket, opened(hub) as other:
        with hub.client(headers=ADMIN) as client:
            answer = client.post(
                "/api/realtime/connections:disconnect",
                json={"subject": "banned", "reason": "enough"},
            )
        closed = await socket.closed()
        await other.ask("pong", type="ping")

    assert answer.json() == {"sockets": 1}
    assert closed == (4009, "enough")


async def test_a_draining_server_sends_its_clients_away_and_they_come_back(
    tmp_path: Path,
) -> None:
    with Gateway(tmp_path, f"{APPS}:gateway") as gateway:
        async with opened(gateway) as socket:
            gateway.process.terminate()
            advice = await socket.next("reconnect")
            code, _ = await socket.closed()
        ended = await asyncio.to_thread(gateway.process.wait, PATIENCE)

    assert float(str(advice["delay_ms"])) > 0
    assert (code, ended) == (4012, 0)
