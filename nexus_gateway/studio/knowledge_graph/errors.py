"""What the knowledge graph refuses; routes turn each into a reply in one place.

GraphError
├── NotFound            there is no such node or edge
├── AlreadyExists       the id is taken
├── NotRetryable        an ingest is in no state that can be retried
├── RevisionMismatch    what is stored is not what the caller expected
├── Moved               the node was merged into another
├── Dangling            edges name nodes that are not there
├── BadQuery            a field of a query cannot be answered
├── Unreadable          a text is not of the part of openCypher that is answered
├── WriteRefused        a text would change something
├── TooDear             a query needs more than one may, by its estimate
└── Unevaluable         a query meets values that it cannot be evaluated on
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


class NotRetryable(GraphError):  # noqa: N818 - as above
    """Say that an ingest is in no state that can be retried."""


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


class Unreadable(GraphError):  # noqa: N818 - as above
    """Say where in a text something else was expected, by line and column from 1."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(f"line {line}, column {column}: {message}")


class WriteRefused(Unreadable):
    """Say which clause of a text would change something."""


class TooDear(GraphError):  # noqa: N818 - as above
    """Say how much a query would need, and how much it may."""

    def __init__(self, what: str, estimate: float, cap: float) -> None:
        super().__init__(
            f"by its estimate the query needs {estimate:,.0f} {what}, and may need {cap:,.0f}"
        )
        self.estimate = estimate
        self.cap = cap


class Unevaluable(GraphError):  # noqa: N818 - as above
    """Say that a query cannot be evaluated on the values that it meets."""
