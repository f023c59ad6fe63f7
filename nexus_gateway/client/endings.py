"""How a connection ended, and what that asks for: each way in which one fails, as one value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.frames import Verdict, verdict_of

if TYPE_CHECKING:
    from websockets.exceptions import InvalidStatus

ABNORMAL = 1006
"""Of RFC 6455: there was no close frame, or no connection at all."""
_LATER = 5.0


class Ending(msgspec.Struct, frozen=True):
    """Why a connection is no more; `pause` is how many seconds the server wants at least."""

    code: int
    reason: str
    verdict: Verdict
    pause: float = 0.0


class _Refusal(msgspec.Struct):
    error: str = ""
    code: str = ""


def closed(code: int | None, reason: str | None) -> Ending:
    """Read a close."""
    code, reason = code or ABNORMAL, reason or ""
    verdict = verdict_of(code, reason)
    return Ending(code, reason, verdict, _LATER if verdict == "later" else 0.0)


def refused(error: InvalidStatus) -> Ending:
    """Read a handshake that was refused with an HTTP status."""
    response = error.response
    try:
        said = msgspec.json.decode(response.body or b"{}", type=_Refusal)
    except ValueError:
        said = _Refusal()
    status = response.status_code
    reason = f"{status} {said.code}: {said.error}" if said.code else f"HTTP {status}"
    match status:
        case 401:
            return Ending(4003, reason, "fresh-token")
        case 429:
            return Ending(4029, reason, "later", _seconds(response.headers.get("retry-after")))
        case _ if status >= 500:
            return Ending(ABNORMAL, reason, "retry", _seconds(response.headers.get("retry-after")))
        case _:
            return Ending(ABNORMAL, reason, "stop")


def malformed_token(why: str) -> Ending:
    """Read a token that is not sent, since it cannot be one."""
    return Ending(4003, why, "fresh-token")


def tokenless(error: Exception) -> Ending:
    """Read what the source of tokens has raised: its kind alone, since its text may quote one."""
    if isinstance(error, TimeoutError):
        return Ending(ABNORMAL, "no token: its source did not answer in time", "retry")
    return Ending(ABNORMAL, f"no token: its source has raised {type(error).__name__}", "retry")


def failed(error: Exception) -> Ending:
    """Read what kept a connection from being made."""
    return Ending(ABNORMAL, str(error) or type(error).__name__, "retry")


def _seconds(header: str | None) -> float:
    return min(float(header), 600.0) if header is not None and header.isdecimal() else 0.0
