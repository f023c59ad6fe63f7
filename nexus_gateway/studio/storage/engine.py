"""What both relational engines offer alike: single statements, written once for both.

Rooms with SQL of their own, as searches have, use `sqlite.Database` and `postgres.Postgres`. What
is plain enough, as jobs and the outbox are, is written once: parameters are `$1`, `$2`, ..., and
types are those that both know (text, integers, reals, JSON as text, times as microseconds).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, Self, TypeAlias, TypeVar

import msgspec

if TYPE_CHECKING:
    from types import TracebackType

Value: TypeAlias = str | int | float | bytes | None
Row: TypeAlias = tuple[Value, ...]
Name: TypeAlias = Literal["sqlite", "postgres"]

S = TypeVar("S", bound=msgspec.Struct)


def struct_of(kind: type[S], row: Row) -> S:
    """Make a struct of a row, whose columns are its fields in their order."""
    return msgspec.convert(dict(zip(kind.__struct_fields__, row, strict=True)), kind)


class Engine(Protocol):
    """A relational database, opened by `async with`.

    Every method raises `StorageUnavailable` where the database does not answer; what was to be
    written is then written or not, never in part.
    """

    @property
    def name(self) -> Name:
        """Which engine it is, for the few words that they do not share."""
        ...

    async def query(self, statement: str, *values: Value) -> list[Row]:
        """Run one statement that reads."""
        ...

    async def command(self, statement: str, *values: Value) -> list[Row]:
        """Run one statement that writes; it is committed when this returns. Rows by `RETURNING`."""
        ...

    async def ping(self) -> None:
        """Ask whether it works."""
        ...

    async def __aenter__(self) -> Self:
        """Open it."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        ...
