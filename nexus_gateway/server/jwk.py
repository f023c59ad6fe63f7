"""JSON Web Keys (RFC 7517) in a file of public keys: which of them verify tokens, and by what.

A set is taken apart here, and each key is bound to one algorithm, as the plan wants it. The core
checks the numbers of each key.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from nexus_gateway import plan
from nexus_gateway.values import strict_json

KEY_FILE_BYTES_MAX = 256 * 1024
"""Bytes of a file of public keys."""
KEYS_MAX = 64
"""Keys of one set: a token that names none is compared with each of its algorithm."""

_RSA: tuple[plan.Algorithm, ...] = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
# By `kty` and `crv`; the first algorithm is the one that a key without `alg` is bound to.
_ALGORITHMS: dict[tuple[str, str | None], tuple[plan.Algorithm, ...]] = {
    ("RSA", None): _RSA,
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class PublicKey(msgspec.Struct, frozen=True):
    """One key that verifies tokens: the algorithms that it may be bound to, and its JSON."""

    kid: str | None
    algorithms: tuple[plan.Algorithm, ...]
    text: bytes


class _Key(msgspec.Struct, frozen=True):
    kty: str
    crv: str | None = None
    use: str | None = None
    key_ops: list[str] | None = None
    alg: str | None = None
    kid: Annotated[str, msgspec.Meta(min_length=1, max_length=256)] | None = None


class _Set(msgspec.Struct, frozen=True):
    keys: Annotated[list[dict[str, object]], msgspec.Meta(max_length=KEYS_MAX)]


def is_json(file: bytes) -> bool:
    """Tell whether a file is written as JSON, not as PEM."""
    return _without_mark(file).lstrip().startswith(b"{")


def public_keys(file: bytes) -> list[PublicKey]:
    """List the keys of a JSON Web Key, or of a set, that may verify signatures.

    Of a set, keys for another purpose or of an unknown kind are left out (RFC 7517, section 5).

    Raises:
        ValueError: it is neither, has a private or secret key, or no key that verifies signatures;
            the message says what was found.
    """
    if len(file) > KEY_FILE_BYTES_MAX:
        raise ValueError(f"a file of more than {KEY_FILE_BYTES_MAX} bytes")
    try:
        found = strict_json.decoder(dict[str, object])(_without_mark(file))
        keys = msgspec.convert(found, _Set).keys if "keys" in found else [found]
    except msgspec.DecodeError as error:
        raise ValueError(f"no JSON Web Key: {error}") from error
    if any(_PRIVATE & key.keys() for key in keys):
        raise ValueError("a private or secret key; tokens are verified with the public one")
    reasons: list[str] = []
    usable: list[PublicKey] = []
    for members in keys:
        try:
            key = msgspec.convert(members, _Key)
            usable.append(PublicKey(key.kid, _possible(key), msgspec.json.encode(members)))
        except ValueError as error:
            reasons.append(str(error))
    if not usable:
        listed = "; ".join(dict.fromkeys(reasons)) or "an empty set"
        raise ValueError(f"no key that verifies tokens: {listed}")
    return usable


def _possible(key: _Key) -> tuple[plan.Algorithm, ...]:
    """Say which algorithms a key can verify by.

    Raises:
        ValueError: none; the message says why.
    """
    possible = _ALGORITHMS.get((key.kty, None if key.kty == "RSA" else key.crv))
    if possible is None:
        raise ValueError(f"`kty` {key.kty!r} with `crv` {key.crv!r}")
    if key.use not in {None, "sig"}:
        raise ValueError(f"`use` {key.use!r}")
    if key.key_ops is not None and "verify" not in key.key_ops:
        raise ValueError("`key_ops` without 'verify'")
    if key.alg is None:
        return possible
    for algorithm in possible:
        if algorithm == key.alg:
            return (algorithm,)
    raise ValueError(f"`alg` {key.alg!r} of `kty` {key.kty!r}")


def _without_mark(file: bytes) -> bytes:
    """Leave out the byte order mark that some editors write."""
    return file.removeprefix(b"\xef\xbb\xbf")
