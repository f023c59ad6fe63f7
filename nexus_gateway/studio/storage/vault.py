"""Secrets at rest: values that rooms need in clear and the database holds sealed.

A value is sealed by AES-256-GCM under a key that is not in the database. Its tenant and name are
bound to it as associated data, so that a row that was moved or renamed in the database does not
open. A new key is put beside the old one; `reseal` then moves every value to the new one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self, TypeAlias, cast

import msgspec

from nexus_gateway.studio.storage.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from nexus_gateway.studio.storage.engine import Engine, Row

_logger = logging.getLogger(__name__)

MOST = 1000
"""Secrets of a tenant."""
_NONCE_BYTES = 12
_BATCH = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Keys: TypeAlias = Callable[[], "Sequence[bytes]"]
"""Gives keys of 32 bytes, the one that seals first; called when one is needed. Raises `NoKey`."""


class VaultError(StorageError):
    """Anything that the vault refuses."""


class NoKey(VaultError):  # noqa: N818 - what is said, not what failed
    """Say that there is no key to seal or open with, or not the one that a value was sealed by."""


class NoSecret(VaultError):  # noqa: N818 - as above
    """Say that there is no such secret."""


class TooManySecrets(VaultError):  # noqa: N818 - as above
    """Say that a tenant keeps as many as it may."""


class Listed(msgspec.Struct, frozen=True):
    """A secret as it may be shown: all but its value."""

    name: str
    revision: int
    created_at: datetime
    updated_at: datetime
    updated_by: str


_COLUMNS = "name, revision, created_at, updated_at, updated_by"
_PUT = f"""
    INSERT INTO secret (tenant, name, key_id, sealed, revision, created_at, updated_at, updated_by)
    SELECT $1, $2, $3, $4, 1, CAST($5 AS BIGINT), CAST($5 AS BIGINT), $6
    WHERE (SELECT count(*) FROM secret WHERE tenant = $1 AND name <> $2) < CAST($7 AS BIGINT)
    ON CONFLICT (tenant, name) DO UPDATE SET key_id = excluded.key_id, sealed = excluded.sealed,
        revision = secret.revision + 1, updated_at = excluded.updated_at,
        updated_by = excluded.updated_by
    RETURNING {_COLUMNS}
"""  # noqa: S608 - joined from constants
_GET = "SELECT key_id, sealed FROM secret WHERE tenant = $1 AND name = $2"
_LIST = " ".join(
    ("SELECT", _COLUMNS, "FROM secret WHERE tenant = $1 AND name > $2 ORDER BY name LIMIT $3")
)
_DELETE = "DELETE FROM secret WHERE tenant = $1 AND name = $2 RETURNING name"
_KEY_IDS = "SELECT DISTINCT key_id FROM secret"
_OTHERS = (
    "SELECT tenant, name, key_id, sealed FROM secret WHERE key_id <> $1"
    " ORDER BY tenant, name LIMIT $2"
)
# Not where somebody put another value meanwhile.
_RESEAL = (
    "UPDATE secret SET key_id = $4, sealed = $5"
    " WHERE tenant = $1 AND name = $2 AND sealed = $3 RETURNING name"
)


class Vault:
    """The secrets of every tenant; each method raises `StorageUnavailable` as the engine does.

    To open it by `async with` is to see that there is a key for whatever is sealed.

    Args:
        engine: the database, which its owner opens and closes.
        keys: see `Keys`.
        strict: it cannot be opened where a key is missing; else that is logged.
        clock: tells when a secret is put.
    """

    def __init__(
        self,
        engine: Engine,
        keys: Keys,
        *,
        strict: bool = True,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._engine = engine
        self._keys = keys
        self._strict = strict
        self._clock = clock

    async def __aenter__(self) -> Self:
        """See that there is a key for whatever is sealed.

        Raises:
            NoKey: one is missing.
        """
        try:
            await self._check()
        except NoKey as error:
            if self._strict:
                raise
            _logger.warning("%s", error)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the database to its owner."""

    async def put(self, tenant: str, name: str, value: str, *, by: str = "") -> Listed:
        """Keep a value, in the place of the one before.

        Raises:
            NoKey: there is no key to seal with.
            TooManySecrets: the tenant keeps as many as it may.
        """
        key = self._keys()[0]
        sealed = _seal(key, tenant, name, value)
        moment = (self._clock() - _EPOCH) // timedelta(microseconds=1)
        rows = await self._engine.command(_PUT, tenant, name, key_id(key), sealed, moment, by, MOST)
        if not rows:
            raise TooManySecrets(f"a tenant keeps at most {MOST} secrets")
        return _listed(rows[0])

    async def get(self, tenant: str, name: str) -> str:
        """Give a value in clear, to those who use it; it is never answered to a caller.

        Raises:
            NoSecret: there is none of this name.
            NoKey: the key that it was sealed by is not here, or the row is not as it was sealed.
        """
        rows = await self._engine.query(_GET, tenant, name)
        if not rows:
            raise NoSecret(f"there is no secret {name!r}")
        return _open(self._key(str(rows[0][0]), name), tenant, name, str(rows[0][1]))

    async def names(self, tenant: str, after: str, limit: int) -> list[Listed]:
        """List secrets by name, from after a name on."""
        return [_listed(row) for row in await self._engine.query(_LIST, tenant, after, limit)]

    async def remove(self, tenant: str, name: str) -> None:
        """Forget a secret.

        Raises:
            NoSecret: there is none of this name.
        """
        if not await self._engine.command(_DELETE, tenant, name):
            raise NoSecret(f"there is no secret {name!r}")

    async def reseal(self) -> int:
        """Seal by the first key what was sealed by another, of every tenant; how many.

        Can be repeated, and run by several processes at once.

        Raises:
            NoKey: a key that something was sealed by is not here; what was done before it is kept.
        """
        key = self._keys()[0]
        new, resealed = key_id(key), 0
        while rows := await self._engine.query(_OTHERS, new, _BATCH):
            for tenant, name, old, sealed in cast("list[tuple[str, str, str, str]]", rows):
                value = _open(self._key(old, name), tenant, name, sealed)
                again = _seal(key, tenant, name, value)
                done = await self._engine.command(_RESEAL, tenant, name, sealed, new, again)
                resealed += len(done)
        return resealed

    async def _check(self) -> None:
        stored = {str(row[0]) for row in await self._engine.query(_KEY_IDS)}
        # Where nothing is sealed, no key is asked for.
        if stored and (missing := stored - {key_id(key) for key in self._keys()}):
            raise NoKey(
                f"secrets are sealed by a key that is not here ({', '.join(sorted(missing))}):"
                " set it as NEXUS_SECRETS_KEY, or as NEXUS_SECRETS_OLD_KEY beside a new one"
            )

    def _key(self, wanted: str, name: str) -> bytes:
        for key in self._keys():
            if key_id(key) == wanted:
                return key
        raise NoKey(f"secret {name!r} is sealed by a key that is not here ({wanted})")


def key_id(key: bytes) -> str:
    """Name a key without telling anything of it."""
    return hmac.digest(key, b"nexus secrets: name of the key", hashlib.sha256)[:8].hex()


def _seal(key: bytes, tenant: str, name: str, value: str) -> str:
    # Imported here: a gateway without secrets does without it.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = AESGCM(key).encrypt(nonce, value.encode(), _bound(tenant, name))
    return base64.b64encode(nonce + sealed).decode()


def _open(key: bytes, tenant: str, name: str, text: str) -> str:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        sealed = base64.b64decode(text, validate=True)
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        return AESGCM(key).decrypt(nonce, rest, _bound(tenant, name)).decode()
    except (InvalidTag, ValueError) as error:
        raise NoKey(f"secret {name!r} is not as it was sealed: its row was changed") from error


def _bound(tenant: str, name: str) -> bytes:
    return msgspec.json.encode(["nexus secret 1", tenant, name])


def _listed(row: Row) -> Listed:
    name, revision, created, updated, by = row
    return Listed(
        name=str(name),
        revision=cast("int", revision),
        created_at=_EPOCH + timedelta(microseconds=cast("int", created)),
        updated_at=_EPOCH + timedelta(microseconds=cast("int", updated)),
        updated_by=str(by),
    )
