"""Imports: entities as NDJSON, each line kept or refused for itself.

Lines are read in chunks on a thread and kept a transaction each, the next chunk being read while
the last is kept: what an import takes in memory is its text and two chunks, however long it is.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Literal, cast

import msgspec

from nexus_gateway.compile.validation import explain
from nexus_gateway.describe.reject import Detail
from nexus_gateway.studio.fields import BOM, LINE_BYTES_MAX
from nexus_gateway.studio.intelligence.edits import made
from nexus_gateway.studio.intelligence.errors import AttributesRefused, EntityError, NotStored
from nexus_gateway.studio.intelligence.models import Draft, Entity, Outcome, Stamp
from nexus_gateway.studio.intelligence.service import nobody
from nexus_gateway.studio.storage.errors import BadRow
from nexus_gateway.values import strict_json

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from datetime import datetime

    from nexus_gateway.studio.intelligence.service import Changed
    from nexus_gateway.studio.intelligence.store import EntityStore

_logger = logging.getLogger(__name__)

CHUNK = 1000
"""Lines in a transaction: others that write wait for one at most."""
CHUNK_BYTES = 4 << 20
"""Bytes of a chunk: few long lines make one, too."""
TOLD = 100
"""Refused lines that a summary tells of."""

# What reading JSON raises when it is not JSON: `{`, a byte that is not UTF-8, 10,000 times `[`.
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_read = strict_json.decoder(Draft)


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one line; the first is number 1."""

    line: int
    result: Literal["created", "updated", "unchanged", "refused"]
    entity_id: str | None = None
    revision: int | None = None
    error: str | None = None
    details: tuple[Detail, ...] = ()


class ImportSummary(msgspec.Struct, frozen=True):
    """What became of all lines.

    lines: those with content that were read; each is counted in one of the next four.
    refusals: the first that were refused, at most 100.
    complete: whether all lines were read; otherwise those after `lines` were not.
    """

    lines: int
    created: int
    updated: int
    unchanged: int
    refused: int
    refusals: tuple[Line, ...]
    complete: bool = True


class Chunk(msgspec.Struct):
    """Lines that were read: the good ones as entities, the refused ones with what is wrong."""

    end: int
    last: int
    numbers: list[int]
    entities: list[Entity]
    refused: list[Line]


class Imports:
    """Imports of every tenant."""

    def __init__(
        self,
        store: EntityStore,
        clock: Callable[[], datetime],
        *,
        changed: Changed = nobody,
    ) -> None:
        self._store = store
        self._clock = clock
        self._changed = changed

    async def run(self, tenant: str, text: bytes, by: str) -> AsyncGenerator[list[Line], None]:
        """Keep entities, and say what became of each line, chunk by chunk.

        Raises:
            StorageUnavailable: this chunk and what follows was not kept; to repeat all is right.

        Cancelled: what was kept stays.
        """
        stamp = Stamp(self._clock(), by)
        start = len(BOM) if text.startswith(BOM) else 0
        reading = asyncio.create_task(asyncio.to_thread(read, text, start, 0, stamp))
        try:
            while True:
                chunk = await reading
                if chunk.end < len(text):
                    reading = asyncio.create_task(
                        asyncio.to_thread(read, text, chunk.end, chunk.last, stamp)
                    )
                yield await self._keep(tenant, chunk, stamp)
                if chunk.end >= len(text):
                    return
        finally:
            reading.cancel()

    async def _keep(self, tenant: str, chunk: Chunk, stamp: Stamp) -> list[Line]:
        outcomes: list[Outcome | EntityError] = []
        if chunk.entities:
            outcomes = await self._take(tenant, chunk.entities, stamp)
            await self._changed(tenant)
        told = map(_told, chunk.numbers, chunk.entities, outcomes)
        if not chunk.refused:
            return list(told)
        return sorted((*told, *chunk.refused), key=lambda line: line.line)

    async def _take(
        self, tenant: str, entities: list[Entity], stamp: Stamp
    ) -> list[Outcome | EntityError]:
        """Keep entities; where the database does not take them together, by halves.

        So one row that it refuses costs no other, and is found in few steps.
        """
        try:
            return await self._store.take(tenant, entities, stamp)
        except BadRow as error:
            if len(entities) == 1:
                _logger.warning("entity %r cannot be stored: %s", entities[0].entity_id, error)
                return [NotStored()]
        half = len(entities) // 2
        first = await self._take(tenant, entities[:half], stamp)
        return first + await self._take(tenant, entities[half:], stamp)


class Counting:
    """Sums up lines as they come."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(("created", "updated", "unchanged", "refused"), 0)
        self._refusals: list[Line] = []

    def add(self, lines: list[Line]) -> None:
        """Count a chunk."""
        for line in lines:
            self._counts[line.result] += 1
            if line.result == "refused" and len(self._refusals) < TOLD:
                self._refusals.append(line)

    def summary(self, *, complete: bool = True) -> ImportSummary:
        """Tell what was counted."""
        return ImportSummary(
            lines=sum(self._counts.values()),
            refusals=tuple(self._refusals),
            complete=complete,
            **self._counts,
        )


def read(text: bytes, start: int, line: int, stamp: Stamp) -> Chunk:
    """Read a chunk of lines from a place on; `line` is the number of the last one before."""
    chunk = Chunk(start, line, [], [], [])
    while len(chunk.entities) + len(chunk.refused) < CHUNK and chunk.end - start < CHUNK_BYTES:
        found = text.find(b"\n", chunk.end)
        end = len(text) if found < 0 else found
        chunk.last += 1
        _read_line(text[chunk.end : end], chunk, stamp)
        chunk.end = end + 1
        if chunk.end >= len(text):
            break
    return chunk


def _read_line(raw: bytes, chunk: Chunk, stamp: Stamp) -> None:
    if not raw or raw.isspace():
        return
    try:
        if len(raw) > LINE_BYTES_MAX:
            message = f"a line has at most {LINE_BYTES_MAX} bytes, this one {len(raw)}"
            chunk.refused.append(Line(chunk.last, "refused", error=message))
            return
        draft = _read(raw)
    except msgspec.ValidationError:
        chunk.refused.append(_wrong(chunk.last, raw))
    except _MALFORMED as error:
        chunk.refused.append(_malformed(chunk.last, error))
    else:
        try:
            entity = made(draft.entity_id, draft, stamp)
        except AttributesRefused as error:
            chunk.refused.append(_refused(chunk.last, draft.entity_id, error))
        else:
            chunk.numbers.append(chunk.last)
            chunk.entities.append(entity)


def _wrong(line: int, raw: bytes) -> Line:
    try:
        value: object = msgspec.json.decode(raw)
    except _MALFORMED as error:
        return _malformed(line, error)
    details = tuple(explain(value, Draft))
    message = "; ".join(f"{one.field}: {one.message}" for one in details[:3])
    return Line(line, "refused", _id_of(value), error=message, details=details)


def _malformed(line: int, error: Exception) -> Line:
    return Line(line, "refused", error=f"not JSON: {error}")


def _id_of(value: object) -> str | None:
    named = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    entity_id = named.get("entity_id")
    return entity_id if isinstance(entity_id, str) and len(entity_id) <= 128 else None


def _told(line: int, entity: Entity, outcome: Outcome | EntityError) -> Line:
    if isinstance(outcome, Outcome):
        return Line(line, outcome.result, outcome.entity_id, outcome.revision)
    return _refused(line, entity.entity_id, outcome)


def _refused(line: int, entity_id: str, error: EntityError) -> Line:
    details: tuple[Detail, ...] = ()
    if isinstance(error, AttributesRefused):
        details = tuple(Detail("body", one.path, one.kind, one.message) for one in error.problems)
    return Line(line, "refused", entity_id, error=str(error), details=details)
