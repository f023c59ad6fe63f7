"""The shared table of JSON texts: what every entry point accepts, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import msgspec

_TABLE = Path(__file__).parents[1] / "json_cases.json"


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One text: written as it is, in hexadecimal, or by a part that is repeated."""

    name: str
    accepted: bool
    json: str | None = None
    hex: str | None = None
    msgpack: str | None = None
    means: str | None = None
    repeat: tuple[str, str, int, str] | None = None
    nested: tuple[str, int, str, str] | None = None

    @property
    def content(self) -> bytes:
        """The bytes that are sent."""
        if self.msgpack is not None or self.hex is not None:
            return bytes.fromhex(self.msgpack or self.hex or "")
        if self.repeat is not None:
            before, part, count, after = self.repeat
            return (before + part * count + after).encode()
        if self.nested is not None:
            begin, levels, end, middle = self.nested
            return (begin * levels + middle + end * levels).encode()
        assert self.json is not None
        return self.json.encode()


ALL = msgspec.json.decode(_TABLE.read_bytes(), type=list[Case])
TEXTS = [case for case in ALL if case.msgpack is None]
PACKED = [case for case in ALL if case.msgpack is not None]
