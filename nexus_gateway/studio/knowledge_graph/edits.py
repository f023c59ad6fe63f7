"""Changes of nodes and edges, as pure functions from what is stored to what shall be stored."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, structs

from nexus_gateway.studio.fields import encoded, merge_patch
from nexus_gateway.studio.knowledge_graph.errors import BadQuery, NotFound, RevisionMismatch
from nexus_gateway.studio.knowledge_graph.models import (
    Edge,
    EdgeDraft,
    FactPatch,
    Node,
    NodeContent,
    NodeDraft,
    NodePatch,
    Stamp,
    Tally,
    check_span,
    edge_id,
)
from nexus_gateway.values.field_error import FieldError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_gateway.studio.conditions import Condition

Record = TypeVar("Record", Node, Edge)
End: TypeAlias = Literal["deleted", "merged"]


class Past(msgspec.Struct, frozen=True):
    """What an id was before it was deleted: it goes on from there where it is made again."""

    revision: int
    created_at: datetime


class Change(msgspec.Struct, Generic[Record], frozen=True):
    """What becomes of one node or edge; `ended` says why nothing comes after.

    ended_with: the version of the node whose deletion ends an edge, and whose restore undoes that.
    """

    before: Record | None
    after: Record | None
    ended: End = "deleted"
    ended_with: str = ""

    @property
    def kept(self) -> Record:
        """What the change is of."""
        record = self.before if self.after is None else self.after
        assert record is not None  # noqa: S101 - a change is of something
        return record


def new_node(entity_id: str, content: NodeContent, stamp: Stamp, past: Past | None = None) -> Node:
    """Make a node as a client gave it; one that was there before goes on as the same."""
    return Node(
        entity_id=entity_id,
        entity_type=content.entity_type,
        name=content.name,
        tags=tuple(dict.fromkeys(content.tags)),
        attributes=_encoded(content.attributes),
        origin=content.origin,
        valid_from=content.valid_from,
        valid_to=content.valid_to,
        created_at=stamp.at if past is None else past.created_at,
        created_by=stamp.by,
        updated_at=stamp.at,
        updated_by=stamp.by,
        revision=1 if past is None else past.revision + 1,
    )


def new_edge(draft: EdgeDraft, stamp: Stamp, past: Past | None = None) -> Edge:
    """Make an edge as a client gave it; one that was there before goes on as the same."""
    return Edge(
        edge_id=edge_id(draft.source, draft.target, draft.type, draft.key),
        source=draft.source,
        target=draft.target,
        type=draft.type,
        key=draft.key,
        attributes=_encoded(draft.attributes),
        origin=draft.origin,
        valid_from=draft.valid_from,
        valid_to=draft.valid_to,
        created_at=stamp.at if past is None else past.created_at,
        created_by=stamp.by,
        updated_at=stamp.at,
        updated_by=stamp.by,
        revision=1 if past is None else past.revision + 1,
    )


def put_node(
    current: Node | None,
    draft: tuple[str, NodeContent],
    stamp: Stamp,
    past: Past | None,
    merged: Sequence[Node] = (),
) -> Change[Node]:
    """Put a node in the place of whatever there is; its aliases stay.

    `merged` are nodes that were merged into it: what the draft leaves open is filled from them.
    """
    wanted = new_node(*draft, stamp, past)
    for other in merged:
        wanted = joined(wanted, other)
    if current is None:
        return Change(None, wanted)
    return changed(current, structs.replace(wanted, aliases=current.aliases), stamp)


def held(current: Node | None, draft: NodeDraft) -> NodeDraft:
    """Keep when a node holds, where what is said of it does not say."""
    if current is None:
        return draft
    return structs.replace(draft, valid_from=current.valid_from, valid_to=current.valid_to)


def put_edge(
    current: Edge | None, draft: EdgeDraft, stamp: Stamp, past: Past | None
) -> Change[Edge]:
    """Put an edge in the place of whatever there is."""
    wanted = new_edge(draft, stamp, past)
    return Change(None, wanted) if current is None else changed(current, wanted, stamp)


def restored(record: Record, stamp: Stamp) -> Change[Record]:
    """Bring a deleted record back as it was, under its next revision."""
    moment = max(stamp.at, record.updated_at)
    after = structs.replace(
        record, updated_at=moment, updated_by=stamp.by, revision=record.revision + 1
    )
    return Change(None, after)


def changed(current: Record, wanted: Record, stamp: Stamp) -> Change[Record]:
    """Give the wanted state its revision; the same object where nothing differs."""
    after = structs.replace(
        wanted,
        created_at=current.created_at,
        created_by=current.created_by,
        updated_at=current.updated_at,
        updated_by=current.updated_by,
        revision=current.revision,
    )
    if after == current:
        return Change(current, current)
    # A clock that was set back must not let a version end before it began.
    moment = max(stamp.at, current.updated_at)
    after = structs.replace(
        after, updated_at=moment, updated_by=stamp.by, revision=current.revision + 1
    )
    return Change(current, after)


def patched_node(node: Node, patch: NodePatch) -> Node:
    """Apply a merge patch to a node; what cannot be null is emptied by it."""
    after = _patched(node, patch)
    if patch.entity_type is not UNSET:
        after = structs.replace(after, entity_type=patch.entity_type)
    if patch.name is not UNSET:
        after = structs.replace(after, name=patch.name)
    if patch.tags is not UNSET:
        after = structs.replace(after, tags=tuple(dict.fromkeys(patch.tags or ())))
    return after


def patched_edge(edge: Edge, patch: FactPatch) -> Edge:
    """Apply a merge patch to an edge."""
    return _patched(edge, patch)


def _patched(record: Record, patch: FactPatch) -> Record:
    given = {
        name: getattr(patch, name)
        for name in ("origin", "valid_from", "valid_to")
        if getattr(patch, name) is not UNSET
    }
    if patch.attributes is not UNSET:
        before = msgspec.json.decode(record.attributes, type=dict[str, object])
        merged: object = {} if patch.attributes is None else merge_patch(before, patch.attributes)
        given["attributes"] = _encoded(merged)
    after = structs.replace(record, **given)
    try:
        check_span(after.valid_from, after.valid_to)
    except FieldError as exc:
        raise BadQuery(exc.field, f"{exc.field} {exc.message}", location="body") from exc
    return after


def _encoded(attributes: object) -> msgspec.Raw:
    try:
        return encoded(attributes)
    except FieldError as exc:
        raise BadQuery(exc.field, f"{exc.field}: {exc.message}", location="body") from None


def joined(target: Node, duplicate: Node) -> Node:
    """Take one node into another: what the other says stays, what it leaves open is filled."""
    own = msgspec.json.decode(target.attributes, type=dict[str, object])
    other = msgspec.json.decode(duplicate.attributes, type=dict[str, object])
    ids = (*target.aliases, duplicate.entity_id, *duplicate.aliases)
    return structs.replace(
        target,
        name=duplicate.name if target.name is None else target.name,
        tags=tuple(dict.fromkeys((*target.tags, *duplicate.tags)))[:64],
        aliases=tuple(dict.fromkeys(ids)),
        attributes=msgspec.Raw(msgspec.json.encode({**other, **own})),
        origin=duplicate.origin if target.origin is None else target.origin,
    )


def rerouted(edge: Edge, old: str, new: str) -> EdgeDraft:
    """Say what an edge would be with one node in the place of another."""
    return EdgeDraft(
        source=new if edge.source == old else edge.source,
        target=new if edge.target == old else edge.target,
        type=edge.type,
        key=edge.key,
        attributes=msgspec.json.decode(edge.attributes, type=dict[str, object]),
        origin=edge.origin,
        valid_from=edge.valid_from,
        valid_to=edge.valid_to,
    )


def guard(name: str, current: Node | Edge | None, condition: Condition) -> None:
    """Check what a change expects to find.

    Raises:
        RevisionMismatch: it is not there.
    """
    state = None if current is None else (current.revision, current.created_at)
    if not condition.holds(state):
        found = "there is none" if current is None else f"it has revision {current.revision}"
        raise RevisionMismatch(f"{name} is not as expected: {found}")


def tally(changes: list[Change[Record]]) -> Tally:
    """Count what changes do."""
    created = sum(change.before is None for change in changes)
    unchanged = sum(change.before is change.after for change in changes)
    return Tally(created, len(changes) - created - unchanged, unchanged)


def missing(kind: str, name: str) -> NotFound:
    """Say that there is no such node or edge."""
    return NotFound(f"there is no {kind} {name!r}")
