"""Tokens made here: JWTs for development, scripts and tests, signed with the gateway's own secret.

The core verifies tokens; this is the other direction, and only of HMAC, which needs no library.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


_HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


def mint(  # noqa: PLR0913 - each is one claim, or how it is signed
    secret: bytes,
    subject: str,
    scopes: Sequence[str],
    lifetime_seconds: int,
    *,
    tenant: str | None = None,
    issuer: str | None = None,
    audience: str | None = None,
    now: int | None = None,
    algorithm: str = "HS256",
) -> str:
    """Make a JWT signed with an HMAC (RFC 7519, RFC 7518 section 3.2).

    Its `jti` is random, so that it can be revoked and others of the subject stay good.

    Args:
        secret: HMAC key, at least 32 bytes.
        subject: the claim `sub`.
        scopes: the claim `scopes`.
        lifetime_seconds: from now to `exp`.
        tenant: the claim `tenant`; left out where it is None, as `iss` and `aud` are.
        issuer: the claim `iss`.
        audience: the claim `aud`.
        now: seconds since 1970 instead of the clock.
        algorithm: `HS256`, `HS384` or `HS512`.

    Raises:
        ValueError: the secret is shorter than its hash (RFC 7518 asks for as long a key), or the
            algorithm is another.
    """
    if algorithm not in _HASHES:
        raise ValueError(f"expected one of {', '.join(_HASHES)}, found {algorithm!r}")
    least = _HASHES[algorithm]().digest_size
    if len(secret) < least:
        raise ValueError(
            f"an {algorithm} secret has at least {least} bytes, this one has {len(secret)}"
        )
    issued = int(time.time()) if now is None else now
    claims: dict[str, object] = {
        "sub": subject,
        "scopes": list(scopes),
        "iat": issued,
        "exp": issued + lifetime_seconds,
        "jti": secrets.token_hex(8),
    }
    optional = {"tenant": tenant, "iss": issuer, "aud": audience}
    claims.update((name, value) for name, value in optional.items() if value is not None)
    head = msgspec.json.encode({"alg": algorithm, "typ": "JWT"})
    signed = _encode(head) + b"." + _encode(msgspec.json.encode(claims))
    signature = hmac.new(secret, signed, _HASHES[algorithm]).digest()
    return (signed + b"." + _encode(signature)).decode()


def _encode(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")
