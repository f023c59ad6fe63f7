"""AsyncAPI 3.0 from the hub's description: its sockets, the frames, the channels and their rules.

A document for the sockets of a gateway, as `openapi` is one for its routes. The frames' schemas are
those of `frames`, which the Python client speaks with. What AsyncAPI has no word for stands in
extensions: `x-close-codes` and `x-namespaces`.
"""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, get_args

import msgspec

from nexus_gateway import plan
from nexus_gateway.compile.lint import check
from nexus_gateway.realtime import frames
from nexus_gateway.values.schema import Schema, Schemas

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nexus_gateway.describe.route import Route, Routes

_OF_CLIENTS: Sequence[type[frames.ClientFrame]] = get_args(frames.SentByClients)
_OF_SERVER: Sequence[type[frames.ServerFrame]] = get_args(frames.SentByServer)
_REPLIES: Sequence[tuple[type[frames.ClientFrame], Sequence[type[frames.ServerFrame]]]] = (
    (frames.Subscribe, (frames.Ack, frames.Error)),
    (frames.Unsubscribe, (frames.Ack, frames.Error)),
    (frames.Publish, (frames.Ack, frames.Error)),
    (frames.Acknowledge, (frames.Ack, frames.Error)),
    (frames.HistoryRequest, (frames.History, frames.Error)),
    (frames.PresenceRequest, (frames.Presence, frames.Error)),
    (frames.Ping, (frames.Pong,)),
    (frames.Auth, (frames.Welcome, frames.Ack, frames.Error)),
)
_DELIVERED = (
    frames.Message,
    frames.MetricsUpdate,
    frames.Dropped,
    frames.Join,
    frames.Leave,
)
_OF_THE_SESSION = (frames.Welcome, frames.Expiring, frames.Reconnect, frames.Error)
_DESCRIPTION = """\
Frames are JSON objects in text frames, or an array of them: a batch. With the subprotocol
`nexus.msgpack` they are the same objects as MessagePack in binary frames. A token comes in the
header `Authorization`, as the subprotocol `nexus.bearer.<token>`, or, where `nexus.auth` is
offered, by the first frame. Without one that is valid the handshake is refused with 401."""


def asyncapi(
    routes: Route | Routes,
    hub: plan.Hub,
    *,
    title: str,
    version: str,
    description: str = "",
) -> Schema:
    """Describe the hub's sockets as an AsyncAPI 3.0 document.

    Args:
        routes: those that end in `hub("socket")` are described.
        hub: the channels and their rules.
        title: the name of the API.
        version: of the API.
        description: Markdown.

    Raises:
        DescriptionError: the routes cannot be served.
    """
    checked = check(routes)
    checked.refuse(strict=False)
    sockets = sorted(
        chain.path
        for route, chain in checked.routes
        if isinstance(route.terminal, plan.HubTerminal) and route.terminal.operation == "socket"
    )
    info = {"title": title, "version": version}
    text = "\n\n".join(filter(None, (description, _DESCRIPTION)))
    return {
        "asyncapi": "3.0.0",
        "info": {**info, "description": text},
        "defaultContentType": "application/json",
        "servers": {"gateway": _server()},
        "channels": {_name(path): _channel(path, hub) for path in sockets},
        "operations": {name: each for path in sockets for name, each in _operations(_name(path))},
        "components": {
            "messages": {_key(kind): _message(kind) for kind in (*_OF_CLIENTS, *_OF_SERVER)},
            "schemas": Schemas((*_OF_CLIENTS, *_OF_SERVER)).components,
            "securitySchemes": _SCHEMES,
        },
    }


def _server() -> Schema:
    return {
        "host": "{host}",
        "protocol": "ws",
        "description": "The gateway; over TLS the protocol is `wss`.",
        "variables": {"host": {"default": "localhost:8000", "description": "Host and port."}},
        "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in _SCHEMES],
    }


_SCHEMES: Schema = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "subprotocol": {
        "type": "httpApiKey",
        "in": "header",
        "name": "Sec-WebSocket-Protocol",
        "description": "For browsers: `nexus.bearer.<token>` beside `nexus.json`.",
    },
}


def _name(path: str) -> str:
    """Name a socket after its path: `/ws/realtime/{channel}` is `ws_realtime_channel`."""
    return re.sub(r"\W+", "_", path).strip("_")


def _channel(path: str, hub: plan.Hub) -> Schema:
    names: list[str] = re.findall(r"\{\*?(\w+)\}", path)
    listening = "The socket is subscribed to the channel from the start. " if names else ""
    written: Schema = {
        "address": path.replace("{*", "{"),
        "description": f"{listening}A frame has at most {hub.max_bytes} bytes.",
        "messages": {
            _key(kind): {"$ref": f"#/components/messages/{_key(kind)}"}
            for kind in (*_OF_CLIENTS, *_OF_SERVER)
        },
        "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
        "x-close-codes": [_close(close) for close in frames.CLOSES],
        "x-namespaces": [_namespace(one) for one in hub.namespaces],
    }
    if names:
        written["parameters"] = {name: {"description": "A channel's name."} for name in names}
    return written


def _close(close: frames.Close) -> Schema:
    return {"code": close.code, "meaning": close.meaning, "then": close.verdict}


def _namespace(rules: plan.Namespace) -> Schema:
    return {
        "name": rules.name,
        "subscribe": _access(rules.subscribe),
        "publish": _access(rules.publish),
        "history": {"messages": rules.history, "seconds": rules.history_ms / 1000},
        "presence": rules.presence,
        "maxBytes": rules.max_bytes,
        "overflow": rules.overflow,
        "delivery": rules.delivery,
    }


def _access(access: plan.Access | None) -> str:
    if access is None:
        return "nobody"
    if access.anonymous:
        return "everybody"
    return " ".join(access.scopes) or "every token"


def _operations(socket: str) -> Iterator[tuple[str, Schema]]:
    for asked, answers in _REPLIES:
        reply = {"channel": _reference(socket), "messages": _of(socket, answers)}
        yield (
            f"{socket}.{_key(asked)}",
            {
                "action": "receive",
                "channel": _reference(socket),
                "summary": _summary(asked),
                "messages": _of(socket, (asked,)),
                "reply": reply,
            },
        )
    for name, summary, kinds in (
        ("deliver", "What is published, and who comes and leaves", _DELIVERED),
        ("session", "What concerns the socket itself", _OF_THE_SESSION),
    ):
        yield (
            f"{socket}.{name}",
            {
                "action": "send",
                "channel": _reference(socket),
                "summary": summary,
                "messages": _of(socket, kinds),
            },
        )


def _reference(socket: str) -> Schema:
    return {"$ref": f"#/channels/{socket}"}


def _of(socket: str, kinds: Sequence[type[msgspec.Struct]]) -> list[Schema]:
    return [{"$ref": f"#/channels/{socket}/messages/{_key(kind)}"} for kind in kinds]


def _key(kind: type[msgspec.Struct]) -> str:
    """Name a message after its struct: `historyRequest`, `metricsUpdate`."""
    return kind.__name__[0].lower() + kind.__name__[1:]


def _message(kind: type[msgspec.Struct]) -> Schema:
    summary = _summary(kind)
    written: Schema = {
        "name": str(kind.__struct_config__.tag),
        "title": kind.__name__,
        "summary": summary,
        "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
    }
    if any(field.name == "id" for field in msgspec.structs.fields(kind)):
        written["correlationId"] = {"location": "$message.payload#/id"}
    return written


def _summary(kind: type[msgspec.Struct]) -> str:
    return (inspect.getdoc(kind) or "").split("\n", 1)[0].rstrip(".")
