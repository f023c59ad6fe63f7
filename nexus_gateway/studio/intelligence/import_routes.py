"""`/api/intelligence/entities:import`: NDJSON in, and what became of each line or of all out."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from nexus_gateway import (
    Chunks,
    Claims,
    Code,
    Response,
    auth,
    body_bytes,
    header,
    post,
)
from nexus_gateway.studio.intelligence.importing import Counting, ImportSummary, Line
from nexus_gateway.studio.intelligence.models import Draft
from nexus_gateway.studio.intelligence.routes import refuse, room, tenant_of
from nexus_gateway.studio.ndjson import NDJSON, lines, takes
from nexus_gateway.studio.storage.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from nexus_gateway import Filter, Route
    from nexus_gateway.studio.intelligence.importing import Imports

_logger = logging.getLogger(__name__)

BYTES = 64 << 20
"""Of one request; a longer import is several."""
SECONDS = 600.0
# As bytes too: many generators of clients know no NDJSON, and every one can send a file.
KINDS = {NDJSON: Draft, "application/octet-stream": bytes}


def routes(service: Imports, limited: Filter[()]) -> Route:
    """Make the route of imports; `limited` is asked of every caller once it is known."""
    write = auth(scope="intelligence:write") & limited
    down: Code = "database_error"
    asked = header("accept").optional()
    chain = (
        room / "entities:import"
        & post()
        & write
        & asked
        & body_bytes(max_bytes=BYTES, content_types=KINDS)
    )
    return (
        chain.then(
            Importing(service).run,
            streams={NDJSON: Line | Ended},
            timeout=SECONDS,
            raises=[down],
        )
    ).recover(refuse)


class Stopped(msgspec.Struct, frozen=True):
    """Why an import ended before its last line; to repeat all of it is right.

    What was stored before is stored, and `summary` counts it.
    """

    error: str
    retry_after: int


class Ended(msgspec.Struct, frozen=True, omit_defaults=True):
    """The last line: what became of all, and why the rest was not read."""

    summary: ImportSummary
    stopped: Stopped | None = None


class Importing:
    """The handler: what HTTP says, as the service takes it, and back."""

    def __init__(self, service: Imports) -> None:
        self._service = service

    async def run(
        self, claims: Claims, accept: str | None, text: bytes
    ) -> Response[ImportSummary | Chunks]:
        """Create or replace entities, one in each line, each line for itself.

        Answers a summary; as `application/x-ndjson`, what became of each line while it goes on,
        and the summary last. To repeat an import changes nothing that is there already.
        """
        told = self._service.run(tenant_of(claims), text, claims.subject)
        if takes(accept, NDJSON):
            return Response(await lines(_with_summary(told)), content_type=NDJSON)
        counting = Counting()
        async for chunk in told:
            counting.add(chunk)
        return Response(counting.summary())


async def _with_summary(
    told: AsyncIterator[list[Line]],
) -> AsyncGenerator[Sequence[Line | Ended], None]:
    counting = Counting()
    first = await anext(told)  # what goes wrong with it is refused as a whole
    counting.add(first)
    yield first
    try:
        async for chunk in told:
            counting.add(chunk)
            yield chunk
    except StorageUnavailable as error:
        stopped = Stopped(str(error), error.retry_after)
        yield [Ended(counting.summary(complete=False), stopped)]
    except Exception:
        # The status is sent: without a last line a client could not tell that some are missing.
        _logger.exception("an import ended at line %d", counting.summary().lines)
        stopped = Stopped("the gateway failed", 1)
        yield [Ended(counting.summary(complete=False), stopped)]
    else:
        yield [Ended(counting.summary())]
