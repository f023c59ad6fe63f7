"""The hub by REST: publish, channels, presence, history, disconnect, and what they refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.harness.gateway_process import Gateway, code_of
from tests.harness.hub_socket import opened, token_of

if TYPE_CHECKING:
    import httpx

ROOM = "/api/realtime"


def call(hub: Gateway, method: str, path: str, *scopes: str, **more: object) -> httpx.Response:
    headers = {"authorization": f"Bearer {token_of(*scopes, subject='caller')}"}
    with hub.client(headers=headers) as client:
        return client.request(method, f"{ROOM}{path}", **more)  # type: ignore[arg-type]


async def test_what_is_published_by_rest_reaches_sockets(hub: Gateway) -> None:
    async with opened(hub) as socket:
        await socket.subscribe("room:rest")
        answer = call(
            hub, "POST", "/channels/room:rest/publish", json={"data": {"x": 1}, "key": "k"}
        )
        message = await socket.next("message")

    place = answer.json()
    assert answer.status_code == 200
    assert (message["epoch"], message["offset"]) == (place["epoch"], place["offset"])
    assert (message["data"], message["key"], message["publisher"]) == ({"x": 1}, "k", "caller")


def test_history_by_rest_is_what_is_kept_after_a_position(hub: Gateway) -> None:
    places = [
        call(hub, "POST", "/channels/room:kept/publish", json={"data": number}).json()
        for number in range(5)
    ]
    after = {"epoch": places[2]["epoch"], "offset": places[2]["offset"]}

    whole = call(hub, "GET", "/channels/room:kept/history").json()
    rest = call(hub, "GET", "/channels/room:kept/history", params=after).json()
    two = call(hub, "GET", "/channels/room:kept/history", params={"limit": 2}).json()

    assert [item["data"] for item in whole["items"]] == [0, 1, 2, 3, 4]
    assert ([item["data"] for item in rest["items"]], rest["recovered"]) == ([3, 4], True)
    assert len(two["items"]) == 2
    assert whole["offset"] == places[-1]["offset"]


async def test_presence_by_rest_is_who_is_subscribed(hub: Gateway) -> None:
    async with opened(hub, token=token_of(subject="bob")) as bob:
        await bob.subscribe("room:who")
        there = call(hub, "GET", "/channels/room:who/presence").json()
        await bob.ask(type="unsubscribe", channel="room:who")
        gone = call(hub, "GET", "/channels/room:who/presence").json()

    member = {"connection": bob.welcome["connection"], "subject": "bob"}
    assert (there["members"], gone["members"]) == ([member], [])


async def test_channels_in_use_are_listed_page_by_page(hub: Gateway) -> None:
    async with opened(hub) as socket:
        for number in range(5):
            await socket.subscribe(f"room:list-{number}")
        found: list[str] = []
        params: dict[str, object] = {"prefix": "room:list-", "limit": 2}
        for _ in range(10):
            page = call(hub, "GET", "/channels", "realtime:admin", params=params).json()
            found += [item["channel"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            params["cursor"] = page["next_cursor"]

    assert found == [f"room:list-{number}" for number in range(5)]


async def test_one_connection_is_closed_and_its_subject_keeps_the_others(hub: Gateway) -> None:
    async with opened(hub) as first, opened(hub) as second:
        answer = call(
            hub,
            "POST",
            "/connections:disconnect",
            "realtime:admin",
            json={"connection": first.welcome["connection"]},
        )
        code, _ = await first.closed()
        await second.ask("pong", type="ping")

    assert answer.json() == {"sockets": 1}
    assert code == 4009


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/channels/nowhere/publish", {"data": 1}, 404, "not_found"),
        ("POST", "/channels/news/publish", {"data": 1}, 403, "permission_denied"),
        ("POST", "/channels/scoped:x/publish", {"data": 1}, 403, "permission_denied"),
        ("POST", "/channels/room:x/publish", {}, 422, "validation_error"),
        ("POST", "/channels/room:x/publish", {"data": 1, "x": 1}, 422, "validation_error"),
        ("POST", "/channels/room:x/publish", [1, "key"], 422, "validation_error"),
        ("POST", "/channels/small:x/publish", {"data": "x" * 200}, 413, "payload_too_large"),
        ("GET", "/channels/scoped:x/history", None, 403, "permission_denied"),
        ("GET", "/channels/nowhere/history", None, 404, "not_found"),
        ("GET", "/channels/scoped:x/presence", None, 403, "permission_denied"),
        ("GET", "/channels/room:x/history?limit=many", None, 400, "validation_error"),
        ("GET", "/channels/room:x/history?offset=-1&epoch=e", None, 400, "validation_error"),
        ("GET", "/channels", None, 403, "permission_denied"),
        ("POST", "/connections:disconnect", {"subject": "x"}, 403, "permission_denied"),
    ],
)
def test_what_is_wrong_is_refused_in_the_standard_shape(
    hub: Gateway, method: str, path: str, body: object, status: int, code: str
) -> None:
    answer = call(hub, method, path, json=body)

    assert (answer.status_code, code_of(answer)) == (status, code), answer.text
    assert answer.json()["request_id"]


@pytest.mark.parametrize("half", ["epoch=abc", "offset=1"])
def test_half_of_a_position_is_one_that_is_not_known(hub: Gateway, half: str) -> None:
    answer = call(hub, "GET", f"/channels/room:x/history?{half}")

    assert (answer.status_code, answer.json()["recovered"]) == (200, False)


def test_a_disconnection_of_nobody_is_refused(hub: Gateway) -> None:
    answer = call(hub, "POST", "/connections:disconnect", "realtime:admin", json={})

    assert answer.status_code in {400, 422}
    assert code_of(answer) == "validation_error"


@pytest.mark.parametrize(
    ("path", "body", "extra"),
    [
        ("/api/realtime/connections:disconnect", {"subject": "nobody"}, "x"),
        ("/api/realtime/connections:disconnect", {"subject": "nobody"}, "jti"),
        ("/api/realtime/connections:disconnect", {"subject": "nobody"}, "channel"),
        ("/api/realtime/connections:disconnect", {"subject": "nobody"}, "limit"),
        ("/revocations", {"sub": "nobody"}, "x"),
        ("/revocations", {"sub": "nobody"}, "subject"),
        ("/revocations", {"sub": "nobody"}, "prefix"),
    ],
)
def test_a_field_that_the_schema_does_not_list_is_refused(
    hub: Gateway, path: str, body: dict[str, str], extra: str
) -> None:
    headers = {"authorization": f"Bearer {token_of('realtime:admin', subject='caller')}"}
    with hub.client(headers=headers) as client:
        answer = client.post(path, json=body | {extra: "1"})

    assert (answer.status_code, code_of(answer)) == (422, "validation_error"), answer.text
    assert extra in answer.json()["error"]


def test_sockets_and_messages_are_counted(hub: Gateway) -> None:
    with hub.client() as client:
        text = client.get("/metrics").text

    assert "nexus_realtime" in text or "nexus_hub" in text


def test_what_the_gateway_says_of_itself_no_operator_says(hub: Gateway) -> None:
    said = call(hub, "POST", "/channels/metrics/publish", "realtime:admin", json={"data": 1})

    assert (said.status_code, code_of(said)) == (403, "permission_denied")
