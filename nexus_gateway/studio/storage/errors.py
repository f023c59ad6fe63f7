"""What storage may say instead of an answer. Rooms above turn these into replies in one place.

StorageError
├── StorageUnavailable    try again later: the queue is full, the deadline passed, the disk failed
└── SchemaMismatch        the stored schema is not what this version knows; a person must decide
"""

from __future__ import annotations


class StorageError(Exception):
    """Anything that storage reports."""


class StorageUnavailable(StorageError):  # noqa: N818 - what is said, not what failed
    """Say that storage cannot answer now, and when to try again.

    Args:
        message: what happened, without secrets.
        retry_after: seconds.
    """

    def __init__(self, message: str, *, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SchemaMismatch(StorageError):  # noqa: N818 - what is said, not what failed
    """Say that the database was changed by something that this version does not know."""
