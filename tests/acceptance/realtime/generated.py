"""A client that is made of `/asyncapi.json` and knows nothing else.

It reads the document as any generator does: the address of the socket, the messages that the server
receives with the fields of their schemas, which messages answer them, and which are sent unasked.
What it sends and what it gets is checked against the schemas.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import msgspec
from jsonschema import Draft202012Validator
from websockets.asyncio.client import ClientConnection, connect

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

Json = dict[str, object]


class Document:
    """An AsyncAPI document, by its references."""

    def __init__(self, document: Json) -> None:
        self._document = document

    def at(self, reference: str) -> Json:
        """Follow a reference, and the ones that it leads to."""
        found: object = self._document
        for step in reference.removeprefix("#/").split("/"):
            found = msgspec.convert(found, Json)[step]
        object_ = msgspec.convert(found, Json)
        return self.at(str(object_["$ref"])) if "$ref" in object_ else object_

    def operations(self, socket: str) -> dict[str, Json]:
        """List the operations of a socket by the last part of their names."""
        named = msgspec.convert(self.at("#/operations"), dict[str, Json])
        return {
            name.partition(".")[2]: operation
            for name, operation in named.items()
            if operation["channel"] == {"$ref": f"#/channels/{socket}"}
        }

    def messages(self, listed: object) -> list[Json]:
        """Read a list of references to messages."""
        return [self.at(one["$ref"]) for one in msgspec.convert(listed, list[dict[str, str]])]

    def faults(self, message: Json, payload: Json) -> list[str]:
        """Compare a payload with the schema of its message."""
        schema = msgspec.convert(message["payload"], Json)
        whole = {**schema, "components": self._document["components"]}
        instance = json.loads(msgspec.json.encode(payload))
        found = Draft202012Validator(whole).iter_errors(instance)  # pyright: ignore[reportUnknownMemberType]  # its schemas are untyped
        return [str(fault.message) for fault in found]


class Client:
    """Methods by name: `call("publish", channel=..., data=...)`, as the operations say."""

    def __init__(self, document: Document, socket: str, connection: ClientConnection) -> None:
        self._document = document
        self._operations = document.operations(socket)
        self._connection = connection
        self._number = 0
        sent = [one for one in self._operations.values() if one["action"] == "send"]
        self._unasked = [message for one in sent for message in document.messages(one["messages"])]
        self.unasked: list[Json] = []

    async def call(self, name: str, **fields: object) -> Json:
        """Send the message of an operation and wait for one of its replies."""
        operation = self._operations[name]
        message = self._document.messages(operation["messages"])[0]
        self._number += 1
        payload: Json = {"type": message["name"], "id": self._number, **fields}
        assert self._document.faults(message, payload) == []
        await self._connection.send(msgspec.json.encode(payload).decode())
        reply = msgspec.convert(operation["reply"], Json)
        answers = self._document.messages(reply["messages"])
        while (frame := await self._next()).get("id") != self._number:
            self._check(frame, self._unasked)
            self.unasked.append(frame)
        self._check(frame, answers)
        return frame

    async def receive(self) -> Json:
        """Wait for a message that is sent unasked."""
        if self.unasked:
            return self.unasked.pop(0)
        frame = await self._next()
        self._check(frame, self._unasked)
        return frame

    async def _next(self) -> Json:
        return msgspec.json.decode(await self._connection.recv(decode=False), type=Json)

    def _check(self, frame: Json, messages: list[Json]) -> None:
        named = [message for message in messages if message["name"] == frame["type"]]
        assert named, f"{frame} is none of {[message['name'] for message in messages]}"
        assert self._document.faults(named[0], frame) == [], frame


@asynccontextmanager
async def connected(document: Json, socket: str, host: str, token: str) -> AsyncGenerator[Client]:
    """Connect to a socket of the document's server, with its bearer scheme."""
    read = Document(document)
    server = read.at("#/servers/gateway")
    schemes = [
        read.at(one["$ref"]) for one in msgspec.convert(server["security"], list[dict[str, str]])
    ]
    assert {"type": "http", "scheme": "bearer"}.items() <= schemes[0].items()
    where = str(server["host"]).replace("{host}", host)
    address = read.at(f"#/channels/{socket}")["address"]
    async with connect(
        f"{server['protocol']}://{where}{address}",
        additional_headers={"authorization": f"Bearer {token}"},
    ) as connection:
        yield Client(read, socket, connection)
