"""What the service of intelligence refuses; routes turn each into a reply in one place.

EntityError
├── NotFound            there is no such entity
├── AlreadyExists       the id is taken
├── Moved               the id is an alias of another
├── RevisionMismatch    what is stored is not what the caller expected
├── AttributesRefused   attributes are not what their type asks for
│   └── AttributesTooLarge   they are larger than can be stored
├── NotStored           the database does not take it
├── BadSchema           a type's schema cannot be used
└── BadQuery            a field of a query cannot be answered
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_gateway.values.field_error import FieldError


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong with attributes or a schema: where, by which keyword, and why.

    index: of the entity among those that were given together.
    """

    path: str
    kind: str
    message: str
    index: int = 0


class EntityError(Exception):
    """Anything that is refused here."""


class NotFound(EntityError):  # noqa: N818 - what is said, not what failed
    """Say that there is no such entity."""


class AlreadyExists(EntityError):  # noqa: N818 - as above
    """Say that the id is taken."""


class Moved(EntityError):  # noqa: N818 - as above
    """Say that an id is an alias, and of which entity."""

    def __init__(self, alias: str, entity_id: str) -> None:
        super().__init__(f"{alias!r} is an alias of entity {entity_id!r}")
        self.entity_id = entity_id


class AttributesRefused(EntityError):  # noqa: N818 - as above
    """Say what is wrong with the attributes of an entity whose type is declared."""

    def __init__(self, entity_type: str, problems: Sequence[Problem]) -> None:
        first = problems[0]
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        kind = f"not a {entity_type!r}: " if entity_type else ""
        super().__init__(f"{kind}{first.path}: {first.message}{more}")
        self.entity_type = entity_type
        self.problems = tuple(problems)

    def within(self, name: str) -> AttributesRefused:
        """Say the same of entities that were given together under a name."""
        return AttributesRefused(
            self.entity_type,
            [
                msgspec.structs.replace(one, path=f"{name}[{one.index}].{one.path}")
                for one in self.problems
            ],
        )


class AttributesTooLarge(AttributesRefused):
    """Say that the attributes of an entity are larger than can be stored."""

    def __init__(self, error: FieldError) -> None:
        super().__init__("", [Problem(error.field, "size", error.message)])

    def at(self, place: int) -> AttributesRefused:
        """Say the same of one of the entities that were given together."""
        return AttributesRefused(
            self.entity_type, [msgspec.structs.replace(one, index=place) for one in self.problems]
        )


class NotStored(EntityError):  # noqa: N818 - as above
    """Say that the database does not take an entity; what it said is logged, and not repeated."""

    def __init__(self) -> None:
        super().__init__("the database does not store this entity")


class BadSchema(EntityError):  # noqa: N818 - as above
    """Say why a type's schema cannot be used."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{one.path}: {one.message}" for one in problems[:3]))
        self.problems = tuple(problems)


class RevisionMismatch(EntityError):  # noqa: N818 - as above
    """Say that what is stored is not what the caller expected."""


class BadQuery(EntityError):  # noqa: N818 - as above
    """Say which field of a query cannot be answered."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
