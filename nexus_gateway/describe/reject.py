"""Refusals: a `Reject` that a handler raises is answered in the standard error shape.

    Kind      code, status, sentence, and what the caller should do    (a row of `KINDS`)
    Reject    an exception of one of these kinds
    Detail    one thing that is wrong with a request

The core refuses with the same kinds (`core/src/reject.rs`); a test compares the two lists. The page
`/errors/{code}` shows what is written here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, cast, get_args

import msgspec

Code: TypeAlias = Literal[
    "authentication_failed",
    "token_expired",
    "token_not_yet_valid",
    "token_invalid",
    "token_signature_invalid",
    "token_unsigned",
    "token_algorithm_refused",
    "token_audience_mismatch",
    "token_issuer_mismatch",
    "token_revoked",
    "permission_denied",
    "rate_limit_exceeded",
    "not_found",
    "method_not_allowed",
    "validation_error",
    "malformed_body",
    "malformed_request",
    "request_timeout",
    "conflict",
    "precondition_failed",
    "payload_too_large",
    "uri_too_long",
    "unsupported_media_type",
    "upgrade_required",
    "headers_too_large",
    "internal_error",
    "not_implemented",
    "database_error",
    "service_unavailable",
    "deadline_exceeded",
]
Retry: TypeAlias = Literal["no", "changed", "later"]


class Kind(msgspec.Struct, frozen=True):
    """A kind of refusal: stable `code`, usual `status`, a `sentence`, and what to do about it.

    `retry` says whether the same request may pass: `no`, only once it is `changed`, or `later`.
    """

    code: Code
    status: int
    sentence: str
    retry: Retry
    advice: str


KINDS: tuple[Kind, ...] = (
    Kind(
        "authentication_failed",
        401,
        "a bearer token is needed",
        "changed",
        "The route answers only to callers that say who they are, and the request has no"
        " Authorization header with the scheme Bearer. Get a token and send it as"
        " 'Authorization: Bearer <token>'.",
    ),
    Kind(
        "token_expired",
        401,
        "the token has expired",
        "changed",
        "The time in the token's exp claim is past. Get a new token and send the request again;"
        " if the token is new, compare the clocks of the two machines.",
    ),
    Kind(
        "token_not_yet_valid",
        401,
        "the token is not valid yet",
        "later",
        "The time in the token's nbf claim is still to come. Wait until then; if it should be"
        " valid already, compare the clocks of the machine that issued it and of the gateway.",
    ),
    Kind(
        "token_invalid",
        401,
        "the token is not a JWT with the claims that are needed",
        "changed",
        "The token has not the three parts of a signed JWT, a part cannot be decoded, or sub or"
        " exp is missing. Check that it was copied whole, and that it is an access token.",
    ),
    Kind(
        "token_signature_invalid",
        401,
        "the token's signature does not verify",
        "changed",
        "The token was signed with another key, or changed afterwards. Get a token from the"
        " issuer that this gateway is configured for.",
    ),
    Kind(
        "token_unsigned",
        401,
        "the token is not signed",
        "changed",
        "The token says 'alg: none'. Anyone could have written it, so it is never accepted. Get a"
        " signed token.",
    ),
    Kind(
        "token_algorithm_refused",
        401,
        "the token is signed with an algorithm that is not allowed",
        "changed",
        "Each key of the gateway accepts its own algorithms only. Get a token signed with one of"
        " them; an operator finds them in the plan, under tokens.",
    ),
    Kind(
        "token_audience_mismatch",
        401,
        "the token is meant for another audience",
        "changed",
        "The token's aud claim does not name this gateway. Ask the issuer for a token with this"
        " gateway's audience.",
    ),
    Kind(
        "token_issuer_mismatch",
        401,
        "the token comes from another issuer",
        "changed",
        "The token's iss claim is not the issuer that this gateway trusts. Get a token there.",
    ),
    Kind(
        "token_revoked",
        401,
        "the token has been revoked",
        "changed",
        "An operator has taken the token, or all tokens of its subject, out of use before their"
        " time. Sign in again; if that is refused too, ask the operator.",
    ),
    Kind(
        "permission_denied",
        403,
        "the token lacks a scope that is needed",
        "changed",
        "The caller is known but may not do this. The message and WWW-Authenticate name the"
        " scope; ask for a token that has it. The same token is always refused here.",
    ),
    Kind(
        "rate_limit_exceeded",
        429,
        "too many requests",
        "later",
        "More requests came than the policy named in RateLimit-Policy allows. Wait the seconds in"
        " Retry-After, then go on more slowly; RateLimit on each answer says what is left.",
    ),
    Kind(
        "not_found",
        404,
        "there is nothing at this path",
        "no",
        "No route has this path, or what it names does not exist or was deleted. Check the path"
        " and the identifiers in it.",
    ),
    Kind(
        "method_not_allowed",
        405,
        "the path does not answer this method",
        "changed",
        "The path exists, with other methods. The Allow header lists them.",
    ),
    Kind(
        "validation_error",
        422,
        "a value is not what it must be",
        "changed",
        "The request was understood but a value in it is wrong: 400 for one in the path, the"
        " query or a header, 422 for the body. Each entry of details names a field, what it must"
        " be and the limit that it breaks. Correct them all and send the request again.",
    ),
    Kind(
        "malformed_body",
        400,
        "the body cannot be parsed",
        "changed",
        "The body is not valid JSON, or not valid UTF-8. The message says at which byte reading"
        " stopped.",
    ),
    Kind(
        "malformed_request",
        400,
        "the request is not valid HTTP",
        "changed",
        "The request breaks the rules of HTTP: a bad Host, a bad header or a body of two"
        " lengths. A correct HTTP client never sends such a request; look at what is between.",
    ),
    Kind(
        "request_timeout",
        408,
        "the request did not arrive in time",
        "later",
        "The body did not arrive within the route's time. Send it again, over a faster connection"
        " or in smaller parts.",
    ),
    Kind(
        "conflict",
        409,
        "the request conflicts with what is stored",
        "changed",
        "What is to be created exists already, or was changed by someone else meanwhile. Read"
        " what is stored, decide, and send a request that fits it.",
    ),
    Kind(
        "precondition_failed",
        412,
        "what is stored is not what the request expects",
        "changed",
        "If-Match or a like condition does not hold. Read the resource again and repeat the"
        " change on what is there now.",
    ),
    Kind(
        "payload_too_large",
        413,
        "the body is too large",
        "changed",
        "The body is longer than the route takes; the message says how long it may be. Send less,"
        " or several requests.",
    ),
    Kind(
        "uri_too_long",
        414,
        "the request target is too long",
        "changed",
        "The path and query are longer than the gateway takes. Send long input in a body.",
    ),
    Kind(
        "unsupported_media_type",
        415,
        "the body's content type is not accepted",
        "changed",
        "The Content-Type is not one that the route reads, which for most is application/json."
        " Set the header to what the body is.",
    ),
    Kind(
        "upgrade_required",
        426,
        "the path is answered over a WebSocket",
        "changed",
        "The path speaks WebSocket, and the request is not its opening handshake: a GET over"
        " HTTP/1.1 with Connection, Upgrade and Sec-WebSocket-Version: 13. Use a WebSocket client;"
        " a proxy on the way must pass these headers on.",
    ),
    Kind(
        "headers_too_large",
        431,
        "the header fields are too large",
        "changed",
        "All header lines together are longer than the gateway takes. Often it is cookies: send"
        " fewer.",
    ),
    Kind(
        "internal_error",
        500,
        "the gateway failed",
        "later",
        "This is a fault of the gateway or of a handler behind it, not of the request. Retry a"
        " safe request once; report the request_id, under which the operator finds the cause.",
    ),
    Kind(
        "not_implemented",
        501,
        "the request needs something that the gateway does not implement",
        "changed",
        "The request uses a transfer coding other than `chunked`, or the method CONNECT. Send the"
        " body with Content-Length or `chunked`, and codings in Content-Encoding.",
    ),
    Kind(
        "database_error",
        503,
        "the database does not answer",
        "later",
        "A store behind the gateway failed or did not answer in time. Retry after a moment, with"
        " growing pauses. /health/ready says which dependency is down.",
    ),
    Kind(
        "service_unavailable",
        503,
        "the gateway cannot take the request now",
        "later",
        "Too many requests wait already, or the gateway is stopping. Nothing was done. Retry"
        " after the seconds in Retry-After, or with growing pauses.",
    ),
    Kind(
        "deadline_exceeded",
        504,
        "the answer did not come in time",
        "later",
        "The handler did not answer within the route's time and was cancelled; a change may or"
        " may not have been made. Retry a safe request; read before you repeat a change.",
    ),
)
BY_CODE: Mapping[Code, Kind] = {kind.code: kind for kind in KINDS}
# What `_core.Bridge` takes for a refusal: code, status, message, details as JSON, headers.
Refusal: TypeAlias = tuple[str, int, str, bytes | None, Sequence[tuple[str, str]]]

# Here and not in a test only: what is raised may name any of them.
assert tuple(BY_CODE) == get_args(Code)  # noqa: S101


class Detail(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that is wrong with a request.

    Args:
        location: `path`, `query`, `header` or `body`.
        field: the parameter or header, or the path within the body, such as `tags[0].name`.
        kind: what it must be: `int`, `str`, `uuid`, ...
        message: a sentence.
        limit: the limit that it breaks, such as `>= 1`.
    """

    location: str
    field: str
    kind: str
    message: str
    limit: str | None = None


class Reject(Exception):  # noqa: N818  # it refuses; it is no error of the program
    """Refuses a request; raise it in a handler or in `and_then`."""

    def __init__(
        self,
        code: Code,
        message: str | None = None,
        *,
        status: int | None = None,
        details: Sequence[Detail] = (),
        headers: Sequence[tuple[str, str]] = (),
        retry_after: int | None = None,
    ) -> None:
        """Refuse with the kind of `code`; `retry_after` in seconds.

        Raises:
            ValueError: there is no such code, or the status is not one of an error.
        """
        kind = BY_CODE.get(code)
        if kind is None:
            raise ValueError(f"{code!r} is not a kind of refusal: {', '.join(BY_CODE)}")
        if status is not None and not 400 <= status <= 599:
            raise ValueError(f"a refusal has a status of 400 to 599, found {status}")
        self.code: Code = code
        self.status = status or kind.status
        self.message = message or kind.sentence
        self.details = tuple(details)
        wait = () if retry_after is None else (("retry-after", str(retry_after)),)
        self.headers = (*headers, *wait)
        super().__init__(self.message)


def rejection_of(error: BaseException) -> Reject | None:
    """Find the refusal that an exception stands for: itself, or the first of a group.

    A group with anything else in it is a fault: to answer it with a refusal would hide that.
    """
    if not isinstance(error, BaseExceptionGroup):
        return error if isinstance(error, Reject) else None
    group = cast("BaseExceptionGroup[BaseException]", error)
    members = [rejection_of(member) for member in group.exceptions]
    return None if None in members else members[0]
