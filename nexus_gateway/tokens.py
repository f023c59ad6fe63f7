"""Tokens made here: JWTs for development, scripts and tests, signed with the gateway's own secret.

The core verifies tokens; this is the other direction, and only of HS256, which needs no library.
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


def mint(
    secret: bytes,
    subject: str,
    scopes: Sequence[str],
    lifetime_seconds: int,
    *,
    tenant: str | None = None,
    issuer: str | None = None,
    audience: str | None = None,
    now: int | None = None,
) -> str:
    """Make a JWT signed with HS256 (RFC 7519, RFC 7518 section 3.2).

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

    Raises:
        ValueError: the secret is shorter than its hash (RFC 7518 asks for as long a key).
    """
    if len(secret) < 32:
        raise ValueError(f"an HS256 secret has at least 32 bytes, this one has {len(secret)}")
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
    signed = _encode(b'{"alg":"HS256","typ":"JWT"}') + b"." + _encode(msgspec.json.encode(claims))
    signature = hmac.new(secret, signed, hashlib.sha256).digest()
    return (signed + b"." + _encode(signature)).decode()


def _encode(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")
