"""Frames of HTTP/2 (RFC 9113) as bytes, for what no client library would send."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING = 0, 1, 2, 3, 4, 6
GOAWAY, WINDOW_UPDATE, CONTINUATION, UNKNOWN = 7, 8, 9, 0xBE
END_STREAM, END_HEADERS = 0x1, 0x4
INITIAL_WINDOW_SIZE = 4
ENHANCE_YOUR_CALM = 0xB


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    """Write one frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def window(size: int) -> bytes:
    """Write the client's preface with the window that each response has at first."""
    return PREFACE + frame(SETTINGS, struct.pack(">HI", INITIAL_WINDOW_SIZE, size))


def increment(by: int, stream: int) -> bytes:
    """Write a WINDOW_UPDATE."""
    return frame(WINDOW_UPDATE, struct.pack(">I", by), stream=stream)


def request(
    stream: int, path: str, *, method: str = "GET", end: bool = True, **fields: str
) -> bytes:
    """Write the HEADERS of a request, with literals only; `_` in a field's name is `-`."""
    named = {":method": method, ":scheme": "http", ":path": path, ":authority": "localhost"}
    named |= {name.replace("_", "-"): value for name, value in fields.items()}
    block = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in named.items()
    )
    return frame(HEADERS, block, flags=END_HEADERS | END_STREAM * end, stream=stream)


def frames(connection: socket.socket) -> Iterator[tuple[int, int, int, bytes]]:
    """Read frames to the connection's end: kind, flags, stream, payload."""
    while True:
        try:
            head = _exactly(connection, 9)
            if len(head) < 9:
                return
            length, kind, flags, stream = (
                int.from_bytes(head[:3]),
                head[3],
                head[4],
                int.from_bytes(head[5:]),
            )
            yield kind, flags, stream, _exactly(connection, length)
        except ConnectionError:
            return


def _exactly(connection: socket.socket, length: int) -> bytes:
    read = b""
    while len(read) < length:
        more = connection.recv(length - len(read))
        if not more:
            break
        read += more
    return read
