"""Encodings of frames: JSON in text frames, or MessagePack in binary ones.

The codec checks every received frame. It skips a frame of an unknown kind and one that it cannot
decode, and still reads the other frames of the batch. A message whose data cannot be decoded is
replaced by a `Dropped`, such an answer by an `Error`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.realtime.frames import ClientFrame, Dropped, Error, Id, Publish, SentByServer
from nexus_gateway.values.finite import check_finite

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_UNREADABLE = (ValueError, RecursionError)
"""What decoding raises; msgspec's errors and `UnicodeDecodeError` are kinds of `ValueError`."""
_logger = logging.getLogger(__name__)


class _Head(msgspec.Struct, frozen=True):
    """The fields of a frame that are read even if its content is invalid."""

    type: str
    channel: str | None = None
    epoch: str | None = None
    offset: int | None = None
    id: Id | None = None


class Codec:
    """One encoding: its subprotocol, and how to write and read it."""

    def __init__(
        self,
        protocol: str,
        encode: Callable[[object], bytes],
        decode: Callable[[bytes], list[SentByServer] | SentByServer],
        split: Callable[[bytes], list[msgspec.Raw]],
        head: Callable[[bytes], _Head],
    ) -> None:
        self.protocol = protocol
        self._encode = encode
        self._decode = decode
        self._split = split
        self._head = head

    @property
    def text(self) -> bool:
        """Whether frames are text."""
        return self.protocol == "nexus.json"

    def encode(self, frame: ClientFrame) -> bytes:
        """Encode a frame.

        Raises:
            TypeError: `data` cannot be encoded.
            ValueError: `data` has a number that is not finite, or half of a surrogate pair.
        """
        if isinstance(frame, Publish):
            check_finite(frame.data)
        return self._encode(frame)

    def decode(self, data: bytes) -> Sequence[SentByServer]:
        """Decode one frame or a batch; log and skip frames that cannot be decoded."""
        try:
            found = self._decode(data)
        except _UNREADABLE:
            return self._readable(data)
        return found if isinstance(found, list) else [found]

    def _readable(self, data: bytes) -> Sequence[SentByServer]:
        try:
            parts: Sequence[bytes | msgspec.Raw] = self._split(data)
        except _UNREADABLE:
            parts = [data]
        frames: list[SentByServer] = []
        for part in parts:
            try:
                found = self._decode(bytes(part))
            except _UNREADABLE as error:
                _logger.warning("a frame of the hub cannot be read: %s", error)
                frames.extend(self._stand_in(bytes(part), str(error)))
            else:
                frames.extend(found if isinstance(found, list) else [found])
        return frames

    def _stand_in(self, part: bytes, error: str) -> Sequence[SentByServer]:
        """Replace a frame: by a gap for its subscriber, or by an error for its request."""
        try:
            head = self._head(part)
        except _UNREADABLE:
            return ()
        if head.type in ("message", "metrics_update") and head.channel is not None:
            if head.epoch is None or head.offset is None:
                return ()
            return [Dropped(head.channel, 1, head.epoch, head.offset)]
        if head.id is not None:
            message = f"the answer cannot be read: {error}"
            return [Error("malformed_body", message, id=head.id, channel=head.channel)]
        return ()


JSON = Codec(
    "nexus.json",
    msgspec.json.Encoder().encode,
    msgspec.json.Decoder(list[SentByServer] | SentByServer).decode,
    msgspec.json.Decoder(list[msgspec.Raw]).decode,
    msgspec.json.Decoder(_Head).decode,
)
MSGPACK = Codec(
    "nexus.msgpack",
    msgspec.msgpack.Encoder().encode,
    msgspec.msgpack.Decoder(list[SentByServer] | SentByServer).decode,
    msgspec.msgpack.Decoder(list[msgspec.Raw]).decode,
    msgspec.msgpack.Decoder(_Head).decode,
)
