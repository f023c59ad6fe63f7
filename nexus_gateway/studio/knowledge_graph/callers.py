"""What all handlers of the room share: who calls, what is refused, where a merged node is now."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlencode

import msgspec

from nexus_gateway import Claims, Detail, Reject, Response
from nexus_gateway.studio.knowledge_graph import errors
from nexus_gateway.studio.knowledge_graph.service import Author
from nexus_gateway.studio.knowledge_graph.store import TooMany
from nexus_gateway.studio.refusals import refuse_storage
from nexus_gateway.studio.storage.errors import GraphTimeout

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

NDJSON = "application/x-ndjson"
ROOM = "/api/knowledge-graph"


def author(claims: Claims) -> Author:
    """Tell who calls, of which tenant.

    Raises:
        Reject: the token names no tenant; there is no graph that belongs to nobody.
    """
    if not claims.tenant:
        raise Reject(
            "permission_denied",
            "the knowledge graph keeps tenants apart, and the token has no claim tenant",
        )
    return Author(claims.tenant, claims.subject)


async def refuse(error: Exception) -> NoReturn:  # noqa: C901  # one for each kind
    """Turn what the room refuses into what HTTP says."""
    match error:
        case errors.NotFound():
            raise Reject("not_found", str(error)) from error
        case errors.AlreadyExists() | errors.NotRetryable():
            raise Reject("conflict", str(error)) from error
        case errors.RevisionMismatch():
            raise Reject("precondition_failed", str(error)) from error
        case errors.Dangling():
            details = [Detail("body", field, "str", text) for field, text in error.faults]
            raise Reject("validation_error", str(error), status=422, details=details) from error
        case errors.BadQuery():
            status = 422 if error.location == "body" else 400
            detail = Detail(error.location, error.field, "str", str(error))
            raise Reject("validation_error", str(error), status=status, details=[detail]) from error
        case errors.WriteRefused():
            raise Reject("permission_denied", str(error)) from error
        case errors.Unreadable():
            detail = Detail("body", "query", "openCypher", str(error))
            raise Reject("validation_error", str(error), status=400, details=[detail]) from error
        case errors.TooDear():
            limit = f"<= {error.cap:.0f}"
            detail = Detail("body", "query", "cost", f"{error.estimate:.0f}", limit)
            raise Reject("validation_error", str(error), status=422, details=[detail]) from error
        case TooMany() | errors.Unevaluable():
            raise Reject("validation_error", str(error), status=422) from error
        case GraphTimeout():
            raise Reject("deadline_exceeded", str(error)) from error
        case _:
            await refuse_storage(error)


def moved(
    error: errors.Moved, rest: str = "", asked: msgspec.Struct | None = None
) -> Response[None]:
    """Send the caller of a merged node on, with the rest of the path and the query."""
    location = f"{ROOM}/nodes/{error.new}{rest}{query_of(asked)}"
    return Response(None, 308, (("location", location),))


def query_of(asked: msgspec.Struct | None) -> str:
    """Write a query as its caller could have sent it, what is left open apart."""
    if asked is None:
        return ""
    given: dict[str, object] = msgspec.to_builtins(asked)
    fields = {field.encode_name: field for field in msgspec.structs.fields(asked)}
    said = {
        name: _word(value)
        for name, value in given.items()
        if value is not None and value != [] and value != fields[name].default
    }
    return "?" + urlencode(said, doseq=True) if said else ""


def _word(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


def wants_lines(accept: str | None) -> bool:
    """Say whether a list is asked for as NDJSON."""
    return accept is not None and NDJSON in accept.lower()


async def lines(items: AsyncIterator[msgspec.Struct]) -> AsyncGenerator[bytes | str, None]:
    """Write each item on a line of its own, some lines at a time.

    The first chunk has one line, so that it is sent before more is read.
    """
    buffer = bytearray()
    size = 1
    async for item in items:
        buffer += msgspec.json.encode(item)
        buffer += b"\n"
        if len(buffer) >= size:
            yield bytes(buffer)
            buffer.clear()
            size = CHUNK
    if buffer:
        yield bytes(buffer)


CHUNK = 16 << 10
"""Bytes of lines that are sent together."""
