"""What the knowledge graph refuses; routes turn each into a reply in one place.

GraphError
├── NotFound            there is no such node or edge
├── AlreadyExists       the id is taken
├── RevisionMismatch    what is stored is not what the caller expected
├── Moved               the node was merged into another
├── Dangling            edges name nodes that are not there
└── BadQuery            a field of a query cannot be answered
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class GraphError(Exception):
    """Anything that is refused here."""


class NotFound(GraphError):  # noqa: N818 - what is said, not what failed
    """Say that there is no such node or edge."""


class AlreadyExists(GraphError):  # noqa: N818 - as above
    """Say that the id is taken."""


class RevisionMismatch(GraphError):  # noqa: N818 - as above
    """Say that what is stored is not what the caller expected."""


class Moved(GraphError):  # noqa: N818 - as above
    """Say into which node another was merged."""

    def __init__(self, old: str, new: str) -> None:
        super().__init__(f"node {old!r} was merged into {new!r}")
        self.old = old
        self.new = new


class Dangling(GraphError):  # noqa: N818 - as above
    """Say which edges name nodes that are not there, as (path in the body, sentence)."""

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        super().__init__(faults[0][1])
        self.faults = tuple(faults)


class BadQuery(GraphError):  # noqa: N818 - as above
    """Say which field of a query, or of a body, cannot be answered."""

    def __init__(self, field: str, message: str, *, location: str = "query") -> None:
        super().__init__(message)
        self.field = field
        self.location = location
