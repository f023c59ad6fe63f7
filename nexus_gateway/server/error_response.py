"""What an exception is answered with: the last stop of anything that a handler raises.

A `Reject` says it itself, also as the only kind of exception in a group, as a `TaskGroup` raises
it. Everything else is a fault of ours: it is logged here once, with its traceback and the handler,
and the caller learns nothing but the kind.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.describe.reject import BY_CODE, Refusal, rejection_of

if TYPE_CHECKING:
    from types import TracebackType

_logger = logging.getLogger("nexus_gateway.describe.handler")
# What stands between the core and the program's own functions in a traceback.
_MACHINERY = (
    "nexus_gateway.compile.conversion",
    "nexus_gateway.compile.endpoint",
    "nexus_gateway.describe.route",
    "nexus_gateway.server",
    "asyncio.",
    "concurrent.futures.",
)


def refuse(
    error: BaseException,
    request_id: str,
    origin: str = "a handler",
    returned: bool = False,  # noqa: FBT001, FBT002  # the core passes values by position
) -> Refusal:
    """Say what `error` is answered with: a `Reject` as itself, the rest as `internal_error`.

    The log line of the latter names the request, as its caller knows it, and the handler.

    Args:
        error: what was raised.
        request_id: of the request.
        origin: module, name and place of the handler.
        returned: whether the handler returned a value that cannot be sent, instead of raising.
    """
    rejection = None if returned else rejection_of(error)
    if rejection is not None:
        details = msgspec.json.encode(rejection.details) if rejection.details else None
        code, status, message = rejection.code, rejection.status, rejection.message
        return code, status, message, details, rejection.headers
    kind = type(error).__qualname__
    message = (
        f"{origin} returned a value that cannot be sent: {kind}: {_text(error)}"
        if returned
        else f"{_raiser(error) or origin} raised {kind}"
    )
    extra = {"request_id": request_id, "handler": origin}
    _logger.error("%s", message, exc_info=error, extra=extra)
    internal = BY_CODE["internal_error"]
    return internal.code, internal.status, internal.sentence, None, ()


def _raiser(error: BaseException) -> str | None:
    """Name the function that raised: the outermost frame of the program's own code."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        if not module.startswith(_MACHINERY):
            code = trace.tb_frame.f_code
            return f"{module}.{code.co_qualname}() ({code.co_filename}:{trace.tb_lineno})"
        trace = trace.tb_next
    return None


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001  # the program's own `__str__` may raise anything
        return "its text cannot be shown"
