"""`cors`: which pages of other origins may call the gateway from a browser (Fetch, section 3.3)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nexus_gateway import plan

if TYPE_CHECKING:
    from collections.abc import Sequence

SENDABLE = (
    "authorization",
    "content-type",
    "accept",
    "cache-control",
    "idempotency-key",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "last-event-id",
    "prefer",
    "traceparent",
    "tracestate",
    "x-request-id",
)
"""Request headers that pages may send: those that the gateway and the studio read."""
_READABLE = ("x-request-id", "ratelimit", "ratelimit-policy", "retry-after", "location", "etag")


def cors(
    origins: Sequence[str],
    *,
    headers: Sequence[str] = SENDABLE,
    expose: Sequence[str] = _READABLE,
    credentials: bool = False,
    max_age: int = 600,
    private_network: bool = False,
) -> plan.Cors:
    """Allow exact origins, `https://app.example.com`, or all with the one entry `*`.

    Args:
        origins: as a browser writes them: scheme, host, and port where it is not the usual one.
        headers: allowed request headers, whatever a preflight asks for; the one entry `*` allows
            all of them, which does not go with credentials.
        expose: response headers that scripts may read.
        credentials: whether cookies may be sent; not together with `*`.
        max_age: seconds that a preflight may be remembered.
        private_network: whether public pages may reach this private address.

    Raises:
        ValueError: an entry is not an origin or a header's name, or `*` is not alone.
    """
    check_origins(origins)
    check_headers(headers)
    if "*" in headers and credentials:
        raise ValueError("the header '*' does not go with credentials: list the headers")
    if "*" in origins and credentials:
        raise ValueError("the origin '*' does not go with credentials")
    return plan.Cors(
        origins=tuple(origins),
        max_age=max_age,
        headers=tuple(name.lower() for name in headers),
        expose=tuple(name.lower() for name in expose),
        credentials=credentials,
        private_network=private_network,
    )


def check_origins(origins: Sequence[str]) -> None:
    """Check that each is scheme, host and port as a browser writes them, or that `*` is alone.

    Raises:
        ValueError: it is not.
    """
    if "*" in origins and len(origins) > 1:
        raise ValueError("the origin '*' allows every origin, so it stands alone")
    for origin in origins:
        if origin != "*":
            _check_origin(origin)


def check_headers(headers: Sequence[str]) -> None:
    """Check that each is the name of a header, or that `*` is alone.

    Raises:
        ValueError: it is not.
    """
    if "*" in headers and len(headers) > 1:
        raise ValueError("the header '*' allows every header, so it stands alone")
    for name in headers:
        if not re.fullmatch("[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise ValueError(f"a header's name is letters, digits and hyphens; found {name!r}")


def _check_origin(origin: str) -> None:
    parts = urlsplit(origin)
    if f"{parts.scheme}://{parts.netloc}" != origin or not parts.scheme or not parts.hostname:
        raise ValueError(
            f"an origin is a scheme, a host and perhaps a port, such as 'https://app.example.com', "
            f"without a path or slash at its end; found {origin!r}"
        )
    if origin != origin.lower() or "@" in parts.netloc:
        raise ValueError(f"an origin is lower case, without a user name; found {origin!r}")
