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
    """Yields entities, and counts them beforehand, perhaps a few too many."""

    entities: Callable[[], Iterator[Draft]]
    count: Callable[[], int]


SOURCES: Mapping[str, Source] = {
    "debian": Source(debian.packages, debian.count),
    "python": Source(python.distributions, python.count),
}
