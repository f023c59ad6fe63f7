"""How frames are written: MessagePack, the seed's spelling, and compressed."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.harness.gateway_process import PATIENCE
from tests.harness.hub_socket import Frame, Socket, opened

if TYPE_CHECKING:
    from tests.harness.gateway_process import Gateway

msgpack = importlib.import_module("msgpack")  # another's reading of the same bytes, untyped
VALUES = [None, True, -1, 2**40, 1.5, "ä\n", [], {}, [1, [2]], {"a": {"b": None}}]


async def test_messagepack_says_the_same_as_json(hub: Gateway) -> None:
    async with (
        opened(hub, protocols=("nexus.msgpack",)) as packed,
        opened(hub, protocols=("nexus.json",)) as plain,
    ):
        await packed.subscribe("room:packed")
        await plain.subscribe("room:packed")
        for value in VALUES:
            await packed.publish("room:packed", value)
            await plain.publish("room:packed", value)
        from_packed = await packed.messages(2 * len(VALUES))
        from_plain = await plain.messages(2 * len(VALUES))

    expected = [value for value in VALUES for _ in range(2)]
    assert [frame["data"] for frame in from_packed] == expected
    assert from_packed == from_plain


async def test_messagepack_is_read_by_another_library(hub: Gateway) -> None:
    async with opened(hub, protocols=("nexus.msgpack",), welcomed=False) as socket:
        welcome = msgpack.unpackb(await socket.connection.recv())
        await socket.connection.send(msgpack.packb([{"type": "ping", "id": "p"}]))
        answer = msgpack.unpackb(await socket.connection.recv())

    assert welcome["type"] == "welcome"
    assert answer in ({"type": "pong", "id": "p"}, [{"type": "pong", "id": "p"}])


@pytest.mark.parametrize("content", [b"\xc1", b"\x81", b"\xff", b"", b"\xdd\xff\xff\xff\xff"])
async def test_broken_messagepack_is_answered_by_an_error(hub: Gateway, content: bytes) -> None:
    async with opened(hub, protocols=("nexus.msgpack",)) as socket:
        await socket.connection.send(content)
        refused = await socket.next("error")
        await socket.ask("pong", type="ping")

    assert refused["code"] in {"malformed_body", "validation_error"}


async def test_binary_frames_on_a_socket_of_json_are_unsupported(hub: Gateway) -> None:
    async with opened(hub) as socket:
        await socket.connection.send(b'{"type":"ping"}')
        code, _ = await socket.closed()

    assert code == 1003


class Seed(msgspec.Struct, rename="pascal"):
    """A frame in the seed's spelling."""

    ack: Frame | None = None
    message: Frame | None = None
    error: Frame | None = None


async def said(socket: Socket, text: str, *, frames: int = 1) -> list[Seed | str]:
    """Send text as it is, and read what comes in the seed's spelling."""
    await socket.connection.send(text)
    async with asyncio.timeout(PATIENCE):
        found = [await socket.connection.recv(decode=False) for _ in range(frames)]
    return [msgspec.json.decode(one, type=Seed | str) for one in found]


async def test_the_seed_s_spelling_is_answered_in_kind(hub: Gateway) -> None:
    async with opened(hub) as socket:
        subscribed = await said(socket, '{"Subscribe":{"channel":"room:seed"}}')
        pong = await said(socket, '"Ping"')
        refused = await said(socket, '{"Subscribe":{"channel":"nowhere"}}')
        data, old = '"data":{"x":1},"id":7', '"message":"m"'
        heard = await said(socket, f'{{"Publish":{{"channel":"room:seed",{data}}}}}', frames=2)
        heard += await said(socket, f'{{"Publish":{{"channel":"room:seed",{old}}}}}')

    assert [one["channel"] for one in acks(subscribed)] == ["room:seed"]
    assert pong == ["Pong"]
    assert [one.error["code"] for one in refused if isinstance(one, Seed) and one.error] == [
        "not_found"
    ]
    assert [one["id"] for one in acks(heard)] == [7]
    messages = [one.message for one in heard if isinstance(one, Seed) and one.message]
    assert [(one["channel"], one["data"]) for one in messages] == [
        ("room:seed", {"x": 1}),
        ("room:seed", "m"),
    ]
    assert not any("type" in one for one in messages)


def acks(frames: list[Seed | str]) -> list[Frame]:
    return [one.ack for one in frames if isinstance(one, Seed) and one.ack is not None]


async def test_a_socket_that_changes_its_spelling_is_answered_in_the_new_one(
    hub: Gateway,
) -> None:
    async with opened(hub) as socket:
        seed = await said(socket, '"Ping"')
        await socket.connection.send('{"type":"ping"}')
        plain = await socket.next()

    assert (seed, plain) == (["Pong"], {"type": "pong"})


async def test_deflate_is_agreed_on_where_it_is_offered(hub: Gateway) -> None:
    block = "the same words again and again " * 1000
    async with (
        opened(hub, compression="deflate") as small,
        opened(hub, compression=None) as large,
    ):
        await small.subscribe("room:deflate")
        await large.subscribe("room:deflate")
        await small.publish("room:deflate", block)
        from_small, from_large = await small.next("message"), await large.next("message")
        agreed = [str(one) for one in small.connection.protocol.extensions]

    assert from_small == from_large
    assert "Deflate" in "".join(agreed)
