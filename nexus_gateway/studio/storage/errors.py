"""What storage may say instead of an answer. Rooms above turn these into replies in one place.

StorageError
├── StorageUnavailable    try again later: the queue is full, the deadline passed, the disk failed
├── GraphTimeout          a statement ran into the time it was given; nothing was changed
├── BadRow                the database does not take a row; nothing was changed
│   └── BadText           a text holds a character that the database keeps in none
├── BadStatement          the graph does not take a statement; whoever wrote it must change it
├── Conflict              two things would have one identity; nothing was changed
├── SchemaMismatch        the stored schema is not what this version knows; a person must decide
├── UnsuitableServer      a server is of a kind that cannot be used; a setting must change
└── UnknownMigration      a migration was named that does not exist; nothing was changed
"""

from __future__ import annotations


class StorageError(Exception):
    """Anything that storage reports."""


class StorageUnavailable(StorageError):  # noqa: N818 - what is said, not what failed
    """Say that storage cannot answer now, and when to try again.

    Args:
        message: what happened, without secrets.
        retry_after: seconds.
        reason: what readiness says, which everybody can read; None lets it name the cause's class.
    """

    def __init__(self, message: str, *, retry_after: int = 1, reason: str | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.reason = reason


class SchemaMismatch(StorageError):  # noqa: N818 - what is said, not what failed
    """Say that the database was changed by something that this version does not know."""


class UnsuitableServer(StorageError):  # noqa: N818 - what is said, not what failed
    """Say that a server is of a kind that cannot be used, whether it answers or not."""


class UnknownMigration(StorageError):  # noqa: N818 - what is said, not what failed
    """Say that a migration was named that does not exist; nothing was changed."""


class GraphTimeout(StorageError):  # noqa: N818 - what is said, not what failed
    """Say that a statement ran into the time it was given; nothing was changed."""


class BadRow(StorageError):  # noqa: N818 - what is said, not what failed
    """Say that the database does not take a row, in its words; nothing was changed."""


class BadText(BadRow):
    """Say that a text holds a character that the database keeps in none; nothing was changed."""


class BadStatement(StorageError):  # noqa: N818 - what is said, not what failed
    """Say that the graph does not take a statement, in the engine's words; nothing was changed."""


class Conflict(StorageError):  # noqa: N818 - what is said, not what failed
    """Say that two nodes would have one identity; nothing was changed."""
