"""What an exception is answered with: the last stop of anything that a handler raises.

A `Reject` says it itself. Everything else is a fault of ours: it is logged here once, with its
traceback, and the caller learns nothing but the kind.
"""

from __future__ import annotations

import logging

import msgspec

from nexus_gateway.reject import BY_CODE, Refusal, Reject

_logger = logging.getLogger("nexus_gateway.handler")


def refuse(error: BaseException, request_id: str) -> Refusal:
    """Say what `error` is answered with: a `Reject` as itself, the rest as `internal_error`.

    The log line of the latter names the request, as its caller knows it.
    """
    if isinstance(error, Reject):
        details = msgspec.json.encode(error.details) if error.details else None
        return error.code, error.status, error.message, details, error.headers
    _logger.error(
        "%s raised %s",
        _raiser(error),
        type(error).__qualname__,
        exc_info=error,
        extra={"request_id": request_id},
    )
    kind = BY_CODE["internal_error"]
    return kind.code, kind.status, kind.sentence, None, ()


def _raiser(error: BaseException) -> str:
    """Name the function that the bridge called: the outermost frame that is not the kernel's."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        if not frame.tb_frame.f_globals.get("__name__", "").startswith("nexus_gateway.endpoint"):
            break
        frame = frame.tb_next
    if frame is None:
        return "a handler"
    code = frame.tb_frame.f_code
    return f"{code.co_qualname}() ({code.co_filename}:{frame.tb_lineno})"
