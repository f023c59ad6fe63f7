"""Keys of tokens: the secret that development makes for itself, and those that settings name."""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
import tempfile
from pathlib import Path

import msgspec

from nexus_gateway import plan
from nexus_gateway.server import jwk
from nexus_gateway.server.settings import SECRET_BYTES, Settings, SettingsError

# What the plan calls the keys; their values travel beside it.
_SECRET = "jwt-secret"  # noqa: S105
_PUBLIC = "jwt-public-key"
_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----([A-Za-z0-9+/=\s]+)-----END \1-----")
# The object identifiers in a SubjectPublicKeyInfo (RFC 5280), as they are written there, and the
# algorithms that such a key can verify by; the first is the one that it is bound to by default.
_RSA: tuple[plan.Algorithm, ...] = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_ALGORITHMS: tuple[tuple[str, tuple[plan.Algorithm, ...]], ...] = (
    ("2a864886f70d010101", _RSA),
    ("2a8648ce3d030107", ("ES256",)),
    ("2b81040022", ("ES384",)),
    ("2b6570", ("EdDSA",)),
)


class KeyRing(msgspec.Struct, frozen=True):
    """How tokens are verified, and the keys that `tokens` names; these never enter the plan."""

    tokens: plan.Tokens
    secrets: dict[str, bytes]

    def __repr__(self) -> str:
        return f"KeyRing(tokens={self.tokens!r}, secrets={sorted(self.secrets)})"


def key_ring(settings: Settings) -> KeyRing:
    """Collect the keys that the settings name.

    Raises:
        SettingsError: a key cannot be read, or is of a kind that the core does not know.
    """
    keys: list[plan.Key] = []
    values: dict[str, bytes] = {}
    secret = settings.secret()
    if secret is not None:
        keys.append(plan.Key(secret=_SECRET, algorithms=(settings.hmac_algorithm(),)))
        values[_SECRET] = secret
    if settings.jwt_public_key_file is not None:
        path = settings.jwt_public_key_file
        file = _read(path)
        if jwk.is_json(file):
            for number, (key, text) in enumerate(_web_keys(settings, file), 1):
                keys.append(msgspec.structs.replace(key, secret=f"{_PUBLIC}-{number}"))
                values[f"{_PUBLIC}-{number}"] = text
        else:
            algorithm = _chosen(settings, algorithms_of(file, path))
            keys.append(plan.Key(secret=_PUBLIC, algorithms=(algorithm,)))
            values[_PUBLIC] = file
    tokens = plan.Tokens(
        keys=tuple(keys),
        cache=settings.token_cache,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        leeway=settings.jwt_leeway,
    )
    return KeyRing(tokens, values)


def _web_keys(settings: Settings, file: bytes) -> list[tuple[plan.Key, bytes]]:
    """Bind each JSON Web Key of a file to one algorithm.

    With `jwt_algorithm`, keys of a set that cannot verify by it are left out.

    Raises:
        SettingsError: no key is left.
    """
    try:
        found = jwk.public_keys(file)
    except ValueError as error:
        raise SettingsError(
            f"jwt_public_key_file: expected a public key or a set of public keys in "
            f"{settings.jwt_public_key_file}, found {error}"
        ) from error
    chosen = settings.jwt_algorithm
    if chosen is not None and not chosen.startswith("HS") and len(found) > 1:
        found = [key for key in found if chosen in key.algorithms] or found[:1]
    return [
        (
            plan.Key(secret=_PUBLIC, algorithms=(_chosen(settings, key.algorithms),), kid=key.kid),
            key.text,
        )
        for key in found
    ]


def _chosen(settings: Settings, possible: tuple[plan.Algorithm, ...]) -> plan.Algorithm:
    """Bind a public key to one algorithm: the one that is set, or the usual one of its kind."""
    chosen = settings.jwt_algorithm
    if chosen is None or (chosen.startswith("HS") and settings.jwt_secret is not None):
        return possible[0]
    if chosen not in possible:
        raise SettingsError(
            f"jwt_algorithm: expected one of {', '.join(possible)}, which the key in "
            f"{settings.jwt_public_key_file} can verify by, found {chosen!r}"
        )
    return chosen


def algorithms_of(pem: bytes, path: Path) -> tuple[plan.Algorithm, ...]:
    """Say which algorithms a public key can verify by: those of its own kind, and no other.

    Raises:
        SettingsError: it is not a public key, or of a kind that the core does not know.
    """
    blocks: list[tuple[str, str]] = _PEM.findall(_text(pem))
    keys = [(label, body) for label, body in blocks if label in {"PUBLIC KEY", "RSA PUBLIC KEY"}]
    if not keys or any(label.endswith("PRIVATE KEY") for label, _ in blocks):
        raise SettingsError(
            f"jwt_public_key_file: expected a PEM public key in {path}, found {_found(pem, blocks)}"
        )
    label, body = keys[0]
    if label == "RSA PUBLIC KEY":
        return _RSA
    try:
        der = base64.b64decode(body, validate=False)
    except binascii.Error as error:
        raise SettingsError(f"jwt_public_key_file: {path}: {error}") from error
    # The identifiers stand at the beginning, before the key itself.
    for identifier, algorithms in _ALGORITHMS:
        if bytes.fromhex(identifier) in der[:32]:
            return algorithms
    raise SettingsError(
        f"jwt_public_key_file: expected an RSA, P-256, P-384 or Ed25519 key in {path}, "
        "found another"
    )


def _text(pem: bytes) -> str:
    # As Windows shells write files.
    wide = pem.startswith((b"\xff\xfe", b"\xfe\xff"))
    return pem.decode("utf-16" if wide else "ascii", errors="replace")


def _found(pem: bytes, blocks: list[tuple[str, str]]) -> str:
    private = [label for label, _ in blocks if label.endswith("PRIVATE KEY")]
    if private or blocks:
        label = (private or [blocks[0][0]])[0].lower()
        return f"a PEM of a {label}"
    return "a PEM block that is cut off" if "-----BEGIN" in _text(pem) else "no PEM"


def sealing_key(text: str) -> bytes:
    """Read a key that seals secrets: 32 bytes as 64 hexadecimal digits or as base64.

    Raises:
        ValueError: it is of another length or form.
    """
    try:
        if len(text) == 2 * SECRET_BYTES:
            return bytes.fromhex(text)
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != SECRET_BYTES:
        raise ValueError(
            f"expected {SECRET_BYTES} bytes in hexadecimal or base64; "
            "make one with: openssl rand -hex 32"
        )
    return key


def development_secret(folder: Path, name: str = "jwt-secret") -> bytes:
    """Read a secret of a development gateway; if there is none, make one for its owner only.

    Raises:
        SettingsError: it cannot be written or read, or someone made it too short.
    """
    path = folder / name
    try:
        if not path.exists():
            _make(path)
        secret = path.read_bytes().strip()
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    if len(secret) < SECRET_BYTES:
        raise SettingsError(
            f"{path}: expected at least {SECRET_BYTES} bytes, found {len(secret)}; "
            "remove the file and a new secret is made"
        )
    return secret


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Its owner's only, from the first moment.
    descriptor, mine = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(SECRET_BYTES))
    try:
        # Whole or not at all: of two that start at once, both use the one that was first.
        os.link(mine, path)
    except FileExistsError:
        pass
    finally:
        Path(mine).unlink()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"jwt_public_key_file: {path}: {error.strerror}") from error
