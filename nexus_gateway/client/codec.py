"""How frames are written: JSON in text frames, or MessagePack in binary ones.

What comes is checked on the way: a frame of a kind that this client does not know, or that is not
as the protocol says, is left out, the others of its batch are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.frames import ClientFrame, SentByServer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Codec:
    """One encoding: the subprotocol that is offered for it, and how it is written and read."""

    def __init__(
        self,
        protocol: str,
        encode: Callable[[object], bytes],
        decode: Callable[[bytes], list[SentByServer] | SentByServer],
        loosely: Callable[[bytes], object],
    ) -> None:
        self.protocol = protocol
        self._encode = encode
        self._decode = decode
        self._loosely = loosely

    @property
    def text(self) -> bool:
        """Whether frames are text."""
        return self.protocol == "nexus.json"

    def encode(self, frame: ClientFrame) -> bytes:
        """Write a frame.

        Raises:
            TypeError: `data` cannot be written.
        """
        return self._encode(frame)

    def decode(self, data: bytes) -> Sequence[SentByServer]:
        """Read one frame or a batch of them.

        Raises:
            ValueError: the bytes are not of this encoding.
        """
        try:
            found = self._decode(data)
        except msgspec.ValidationError:
            return self._known(data)
        return found if isinstance(found, list) else [found]

    def _known(self, data: bytes) -> Sequence[SentByServer]:
        decoded = self._loosely(data)
        batch = msgspec.convert(decoded if isinstance(decoded, list) else [decoded], list[object])
        frames: list[SentByServer] = []
        for one in batch:
            try:
                frames.append(msgspec.convert(one, SentByServer))
            except msgspec.ValidationError:
                continue
        return frames


JSON = Codec(
    "nexus.json",
    msgspec.json.Encoder().encode,
    msgspec.json.Decoder(list[SentByServer] | SentByServer).decode,
    msgspec.json.Decoder(object).decode,
)
MSGPACK = Codec(
    "nexus.msgpack",
    msgspec.msgpack.Encoder().encode,
    msgspec.msgpack.Decoder(list[SentByServer] | SentByServer).decode,
    msgspec.msgpack.Decoder(object).decode,
)
