"""Whether a WebSocket server reads what clients send as RFC 6455 wants it, and passes it on.

A server that does not check masks and text is faster, and is noted as `lenient` in `servers.toml`.
"""

from __future__ import annotations

import json
import socket
import struct
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.servers import Server

_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
_ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
_MASK = b"\x37\xfa\x21\x3d"
_TEXT, _CLOSE = 1, 8
PATIENCE = 5.0
"""Seconds that a frame may take."""


def verify_socket(server: Server) -> list[str]:
    """Send good and bad frames; list what is wrong with what comes of them."""
    endpoint = server.spec.socket
    try:
        wrong = _passes_on(server)
        if not server.spec.lenient:
            text = f"{endpoint.before}#{endpoint.behind}".encode()
            bad = text.replace(b"#", b"\xff")
            wrong += _refuses(server, "an unmasked frame", _frame(text, mask=None), 1002)
            wrong += _refuses(server, "text that is not UTF-8", _frame(bad, mask=_MASK), 1007)
    except OSError as error:
        return [f"WebSocket: {error!r}"]
    return wrong


def _passes_on(server: Server) -> list[str]:
    endpoint = server.spec.socket
    text = "grüße"
    sent = f"{endpoint.before}{text}{endpoint.behind}".encode()
    with (
        closing(_open(server, endpoint.subscribe)) as subscriber,
        closing(_open(server, endpoint.publish)) as publisher,
    ):
        publisher.sendall(_frame(sent, mask=_MASK))
        while True:
            opcode, payload = _read(subscriber)
            if opcode == _TEXT and _text_of(payload, enveloped=bool(endpoint.before)) == text:
                return []
            if opcode == _CLOSE:
                return [f"the subscriber was closed: {payload!r}"]


def _text_of(payload: bytes, *, enveloped: bool) -> object:
    if not enveloped:
        return payload.decode()
    frame = json.loads(payload)
    return frame.get("data") if isinstance(frame, dict) else None


def _refuses(server: Server, what: str, sent: bytes, code: int) -> list[str]:
    """Expect the end of the socket; where a close frame comes before it, with a code."""
    with closing(_open(server, server.spec.socket.publish)) as publisher:
        publisher.sendall(sent)
        try:
            while True:
                opcode, payload = _read(publisher)
                if opcode == _CLOSE:
                    found = struct.unpack("!H", payload[:2])[0] if len(payload) >= 2 else None
                    return [] if found in {code, None} else [f"{what}: closed with {found}"]
        except TimeoutError:
            return [f"{what}: taken"]
        except (EOFError, ConnectionError):
            return []


def _open(server: Server, path: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
    header = f"{server.spec.socket.header}\r\n" if server.spec.socket.header else ""
    connection.sendall(
        (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {_KEY}\r\n"
            f"{header}\r\n"
        ).encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += _exactly(connection, 1)
    if b" 101 " not in head or _ACCEPT not in head:
        raise ConnectionError(f"{path}: {head[:80]!r}")
    return connection


def _frame(payload: bytes, *, mask: bytes | None) -> bytes:
    """Write a text frame of up to 125 bytes."""
    head = bytes([0x80 | _TEXT, len(payload) | (0x80 if mask else 0)])
    if mask is None:
        return head + payload
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def _read(connection: socket.socket) -> tuple[int, bytes]:
    first, length = _exactly(connection, 2)
    if length == 126:
        (length,) = struct.unpack("!H", _exactly(connection, 2))
    elif length == 127:
        (length,) = struct.unpack("!Q", _exactly(connection, 8))
    return first & 0x0F, _exactly(connection, length)


def _exactly(connection: socket.socket, length: int) -> bytes:
    read = b""
    while len(read) < length:
        part = connection.recv(length - len(read))
        if not part:
            raise EOFError
        read += part
    return read
