"""One definition of JSON at every entry point: what is accepted is read back everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from nexus_gateway.realtime.terminal import History
from tests.acceptance.realtime.test_events import listening
from tests.harness.hub_socket import opened, token_of
from tests.harness.json_cases import PACKED, TEXTS

if TYPE_CHECKING:
    from tests.harness.gateway_process import Gateway

SENT = [case for case in TEXTS if len(case.content) <= 20_000]
"""Those that fit a frame."""
READABLE = [case for case in SENT if case.accepted]
AUTHORIZED = {"authorization": f"Bearer {token_of()}", "content-type": "application/json"}


def value_of(content: bytes) -> object:
    return msgspec.json.decode(content)


async def test_every_listener_gets_what_any_way_to_publish_has_accepted(hub: Gateway) -> None:
    channel = "room:strict"
    expected: list[object] = []
    async with (
        opened(hub) as plain,
        opened(hub, protocols=("nexus.msgpack",)) as packed,
    ):
        await plain.subscribe(channel)
        await packed.subscribe(channel)
        with hub.client(headers=AUTHORIZED) as http, listening(hub, channel) as stream:
            for case in SENT:
                posted = b'{"data":' + case.content + b"}"
                answer = http.post(f"/api/realtime/channels/{channel}/publish", content=posted)
                assert (answer.status_code == 200) is case.accepted, (case.name, answer.text)
                assert case.accepted or answer.status_code in (400, 422), case.name
                said = http.post(f"/say/{channel}", content=case.content)
                # No body at all is another matter.
                assert (said.status_code == 200) is case.accepted or not case.content, case.name
                if case.accepted:
                    expected += [value_of(case.content)] * 2
            kept = http.get(f"/api/realtime/channels/{channel}/history", params={"limit": 1000})
            streamed = [stream.next().frame()["data"] for _ in expected]
        from_plain = [frame["data"] for frame in await plain.messages(len(expected))]
        from_packed = [frame["data"] for frame in await packed.messages(len(expected))]
        history = await packed.ask("history", type="history", channel=channel, limit=1000)

    assert kept.status_code == 200
    listed = msgspec.json.decode(kept.content, type=History)
    assert [item.data for item in listed.items] == expected
    assert from_plain == expected
    assert from_packed == expected
    assert streamed == expected
    items = msgspec.convert(history, History).items
    assert [item.data for item in items] == expected


async def test_a_frame_of_json_is_taken_by_the_same_rule(hub: Gateway) -> None:
    async with opened(hub) as socket:
        for case in SENT:
            # Text that is not UTF-8 ends its socket, and what has no value is no frame.
            if case.hex or not case.content.strip():
                continue
            data = case.content.decode()
            frame = f'{{"type":"publish","channel":"room:frame","data":{data},"id":1}}'
            async with opened(hub) as one:
                await one.connection.send(frame)
                answer = await one.next()
            assert answer["type"] == ("ack" if case.accepted else "error"), (case.name, answer)
        await socket.ask("pong", type="ping")


async def test_a_frame_of_messagepack_is_taken_by_the_same_rule(hub: Gateway) -> None:
    head = b"\x83\xa4type\xa7publish\xa7channel\xabroom:packed\xa4data"
    for case in PACKED:
        async with opened(hub, protocols=("nexus.msgpack",)) as socket:
            await socket.connection.send(head + case.content)
            if not case.accepted:
                refused = await socket.next("error")
                assert refused["code"] in ("malformed_body", "validation_error"), case.name
            await socket.ask("pong", type="ping")


@pytest.mark.parametrize("identifier", ['"\\ud800"', "1e3", "18446744073709551616"])
async def test_an_id_that_cannot_be_sent_back_is_refused(hub: Gateway, identifier: str) -> None:
    async with opened(hub) as socket:
        await socket.connection.send(f'{{"type":"ping","id":{identifier}}}')
        refused = await socket.next("error")

    assert (refused["code"], refused.get("id")) == ("validation_error", None)
