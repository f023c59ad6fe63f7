"""History: what each state of an entity says of the change that made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.studio.intelligence.models import Revision, version_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from nexus_gateway.studio.intelligence.models import Entity
    from nexus_gateway.studio.intelligence.store import Archived

_FIELDS = ("entity_type", "name", "tags", "aliases", "source")


def revisions(states: Sequence[Archived]) -> tuple[Revision, ...]:
    """Tell states, the newest first, as changes; the last one may be there for comparison only."""
    before: list[Archived | None] = [*states[1:], None]
    return tuple(map(_revision, states, before))


def _revision(state: Archived, before: Archived | None) -> Revision:
    if before is not None and before.number != state.number:
        before = None
    entity = state.entity
    return Revision(
        revision=entity.revision,
        version=version_of(entity),
        change=_change(state, before),
        at=entity.updated_at,
        by=entity.updated_by,
        changed=() if before is None else _changed(before.entity, entity),
        entity=entity,
    )


def _change(
    state: Archived, before: Archived | None
) -> Literal["created", "updated", "deleted", "restored"]:
    if state.deleted:
        return "deleted"
    if state.entity.revision == 1:
        return "created"
    return "restored" if before is not None and before.deleted else "updated"


def _changed(before: Entity, after: Entity) -> tuple[str, ...]:
    """Name what differs, attributes one by one."""
    names = [name for name in _FIELDS if getattr(before, name) != getattr(after, name)]
    if before.attributes != after.attributes:
        old = msgspec.json.decode(before.attributes, type=dict[str, object])
        new = msgspec.json.decode(after.attributes, type=dict[str, object])
        keys = dict.fromkeys((*old, *new))
        names += [
            f"attributes.{key}"
            for key in keys
            if (key in old, old.get(key)) != (key in new, new.get(key))
        ]
    return tuple(names)
