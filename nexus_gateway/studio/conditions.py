"""What a change expects to find stored, said without HTTP; `etags.py` reads it out of headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from datetime import datetime


class Condition(msgspec.Struct, frozen=True):
    """What a change expects to find stored; by default anything, or nothing.

    versions: one of these, as `version_name` writes them, or as bare revisions.
    present: something, whichever.
    absent: nothing.
    """

    versions: tuple[str, ...] = ()
    present: bool = False
    absent: bool = False

    def holds(self, current: tuple[int, datetime] | None) -> bool:
        """Say whether it holds of what is stored: its revision and when it was made, or None."""
        if current is None:
            return not (self.present or self.versions)
        names = (version_name(*current), str(current[0]))
        named = not self.versions or any(name in self.versions for name in names)
        return named and not self.absent


def version_name(revision: int, created_at: datetime) -> str:
    """Name a state; what is made anew under an old id has none of the old names.

    >>> from datetime import UTC, datetime
    >>> version_name(3, datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    '3-f4240'
    """
    return f"{revision}-{int(created_at.timestamp() * 1_000_000):x}"
