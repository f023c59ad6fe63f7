"""Changes of entities, as pure functions from what is stored to what shall be stored.

The store runs them inside its transaction, so a condition that holds when it is checked holds when
the change is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, structs

from nexus_gateway.studio.fields import encoded, merge_patch
from nexus_gateway.studio.intelligence.errors import AttributesTooLarge, NotFound, RevisionMismatch
from nexus_gateway.studio.intelligence.models import Entity, Outcome, Stamp
from nexus_gateway.values.field_error import FieldError

if TYPE_CHECKING:
    from nexus_gateway.studio.conditions import Condition
    from nexus_gateway.studio.intelligence.models import Content, Patch
    from nexus_gateway.studio.intelligence.store import Edit


def made(entity_id: str, content: Content, stamp: Stamp) -> Entity:
    """Make an entity as a client gave it.

    Raises:
        AttributesTooLarge: its attributes cannot be stored.
    """
    return Entity(
        entity_id=entity_id,
        entity_type=content.entity_type,
        name=content.name,
        tags=tuple(dict.fromkeys(content.tags)),
        attributes=_encoded(content.attributes),
        created_at=stamp.at,
        updated_at=stamp.at,
        revision=1,
        aliases=_aliases(entity_id, content.aliases),
        source=content.source,
        created_by=stamp.by,
        updated_by=stamp.by,
    )


def replacing(entity: Entity) -> Edit:
    """Put an entity in the place of whatever there is."""

    def edit(current: Entity | None) -> Entity:
        if current is None:
            return entity
        return changed(current, entity, Stamp(entity.updated_at, entity.updated_by))

    return edit


def guarded(entity_id: str, condition: Condition, edit: Edit) -> Edit:
    """Check a condition in the same transaction, before the edit."""

    def checked(current: Entity | None) -> Entity | None:
        state = None if current is None else (current.revision, current.created_at)
        if not condition.holds(state):
            found = "there is none" if current is None else f"it has revision {current.revision}"
            raise RevisionMismatch(f"entity {entity_id!r} is not as expected: {found}")
        return edit(current)

    return checked


def merged(current: Entity, patch: Patch) -> Entity:
    """Apply a merge patch; what cannot be null is emptied by it."""
    after = current
    if patch.entity_type is not UNSET:
        after = structs.replace(after, entity_type=patch.entity_type)
    if patch.name is not UNSET:
        after = structs.replace(after, name=patch.name)
    if patch.tags is not UNSET:
        after = structs.replace(after, tags=tuple(dict.fromkeys(patch.tags or ())))
    if patch.attributes is not UNSET:
        before = msgspec.json.decode(current.attributes, type=dict[str, object])
        attributes: object = (
            {} if patch.attributes is None else merge_patch(before, patch.attributes)
        )
        after = structs.replace(after, attributes=_encoded(attributes))
    if patch.aliases is not UNSET:
        aliases = _aliases(current.entity_id, patch.aliases or ())
        after = structs.replace(after, aliases=aliases)
    if patch.source is not UNSET:
        after = structs.replace(after, source=patch.source)
    return after


def _encoded(attributes: object) -> msgspec.Raw:
    try:
        return encoded(attributes)
    except FieldError as error:
        raise AttributesTooLarge(error) from None


def _aliases(entity_id: str, given: tuple[str, ...]) -> tuple[str, ...]:
    """Name each alias once; an entity's own id is none."""
    if not given:
        return ()
    return tuple(alias for alias in dict.fromkeys(given) if alias != entity_id)


def changed(current: Entity, wanted: Entity, stamp: Stamp) -> Entity:
    """Give the wanted state its revision; the same object where nothing differs."""
    after = structs.replace(
        wanted,
        created_at=current.created_at,
        updated_at=current.updated_at,
        revision=current.revision,
        created_by=current.created_by,
        updated_by=current.updated_by,
    )
    if after == current:
        return current
    return following(after, stamp)


def following(entity: Entity, stamp: Stamp) -> Entity:
    """Give a state the next revision."""
    return structs.replace(
        entity, updated_at=stamp.at, updated_by=stamp.by, revision=entity.revision + 1
    )


def outcome(before: Entity | None, after: Entity | None) -> Outcome:
    """Say what became of one entity of a batch."""
    entity = kept((before, after))
    if before is None:
        return Outcome(entity.entity_id, "created", entity.revision)
    if before == entity:
        return Outcome(entity.entity_id, "unchanged", entity.revision)
    return Outcome(entity.entity_id, "updated", entity.revision)


def kept(change: tuple[Entity | None, Entity | None]) -> Entity:
    """Take the entity that an edit left."""
    after = change[1]
    assert after is not None  # noqa: S101 - edits that keep an entity never make None of it
    return after


def missing(entity_id: str) -> NotFound:
    """Say that there is no such entity."""
    return NotFound(f"there is no entity {entity_id!r}")
