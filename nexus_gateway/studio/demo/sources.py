"""Where a demonstration's entities come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.demo import debian, python
from nexus_gateway.studio.intelligence.models import Draft

if TYPE_CHECKING:
    from collections.abc import Mapping


class Source(msgspec.Struct, frozen=True):
    """Yields entities, and counts them beforehand; `types` are theirs and no others' here."""

    entities: Callable[[], Iterator[Draft]]
    count: Callable[[], int]
    types: frozenset[str]


SOURCES: Mapping[str, Source] = {
    "debian": Source(debian.packages, debian.count, debian.TYPES),
    "python": Source(python.distributions, python.count, python.TYPES),
}
