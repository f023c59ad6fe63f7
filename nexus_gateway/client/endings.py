"""Why a connection ended, and what the client does next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.realtime.frames import Verdict, verdict_of

if TYPE_CHECKING:
    from websockets.exceptions import InvalidStatus

ABNORMAL = 1006
"""RFC 6455, section 7.4.1: there was no close frame, or no connection at all."""
_RETRY_LATER_S = 5.0


class Ending(msgspec.Struct, frozen=True):
    """Why a connection ended.

    pause: seconds to wait before the next attempt, in addition to the backoff.
    """

    code: int
    reason: str
    verdict: Verdict
    pause: float = 0.0


class _Refusal(msgspec.Struct):
    error: str = ""
    code: str = ""


def closed(code: int | None, reason: str | None) -> Ending:
    """Describe a close frame."""
    code, reason = code or ABNORMAL, reason or ""
    verdict = verdict_of(code, reason)
    return Ending(code, reason, verdict, _RETRY_LATER_S if verdict == "later" else 0.0)


def refused(error: InvalidStatus) -> Ending:
    """Describe a handshake that was refused with an HTTP status."""
    response = error.response
    try:
        found = msgspec.json.decode(response.body or b"{}", type=_Refusal)
    except ValueError:
        found = _Refusal()
    status = response.status_code
    reason = f"{status} {found.code}: {found.error}" if found.code else f"HTTP {status}"
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
    """Describe a malformed token, which was not sent."""
    return Ending(4003, why, "fresh-token")


def tokenless(error: Exception) -> Ending:
    """Describe an exception of the token source by its type; its text may quote a token."""
    if isinstance(error, TimeoutError):
        return Ending(ABNORMAL, "no token: its source did not answer in time", "retry")
    return Ending(ABNORMAL, f"no token: its source has raised {type(error).__name__}", "retry")


def failed(error: Exception) -> Ending:
    """Describe why a connection could not be opened."""
    return Ending(ABNORMAL, str(error) or type(error).__name__, "retry")


def _seconds(header: str | None) -> float:
    return min(float(header), 600.0) if header is not None and header.isdecimal() else 0.0
