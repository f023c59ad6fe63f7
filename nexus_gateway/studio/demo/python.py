"""The Python distributions installed beside the gateway, as entities."""

from __future__ import annotations

import re
from importlib import metadata
from typing import TYPE_CHECKING

from nexus_gateway.studio.intelligence.models import Draft

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

TYPES = frozenset({"distribution"})
"""The types of the entities."""


def distributions() -> Iterator[Draft]:
    """Yield every distribution once."""
    seen: set[str] = set()
    for found in metadata.distributions():
        name = found.name.lower().replace("_", "-")
        if name not in seen and _NAME.fullmatch(name):
            seen.add(name)
            yield draft(name, found)


def count() -> int:
    """Count the distributions, for a progress bar."""
    return sum(1 for _ in distributions())


def draft(name: str, found: metadata.Distribution) -> Draft:
    """Make an entity of a distribution: classifiers and keywords are tags, the rest attributes."""
    info = found.metadata
    requires = [_NAME.match(line) for line in found.requires or []]
    attributes: dict[str, object] = {
        "version": found.version,
        "description": _field(info, "Summary"),
        "homepage": _field(info, "Home-page"),
        "license": _field(info, "License-Expression"),
        "depends": list(dict.fromkeys(match[0] for match in requires if match)),
    }
    given = {key: value for key, value in attributes.items() if value not in (None, "", [])}
    return Draft(
        entity_id=f"python:{name}",
        entity_type="distribution",
        name=name,
        tags=_tags(info.get_all("Classifier") or [], _field(info, "Keywords") or ""),
        attributes=given,
    )


def _tags(classifiers: list[str], keywords: str) -> tuple[str, ...]:
    tags = [*re.split(r"[,\s]+", keywords.lower()), *classifiers]
    return tuple(tag for tag in dict.fromkeys(tags) if 0 < len(tag) <= 64)[:64]


def _field(info: metadata.PackageMetadata, name: str) -> str | None:
    values = info.get_all(name)
    return str(values[0]) if values else None
