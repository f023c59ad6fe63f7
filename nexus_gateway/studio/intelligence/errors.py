"""What the service of intelligence refuses; routes turn each into a reply in one place.

EntityError
├── NotFound            there is no such entity
├── AlreadyExists       the id is taken
├── RevisionMismatch    what is stored is not what the caller expected
└── BadQuery            a field of a query cannot be answered
"""

from __future__ import annotations


class EntityError(Exception):
    """Anything that is refused here."""


class NotFound(EntityError):  # noqa: N818 - what is said, not what failed
    """Say that there is no such entity."""


class AlreadyExists(EntityError):  # noqa: N818 - as above
    """Say that the id is taken."""


class RevisionMismatch(EntityError):  # noqa: N818 - as above
    """Say that what is stored is not what the caller expected."""


class BadQuery(EntityError):  # noqa: N818 - as above
    """Say which field of a query cannot be answered."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
