"""`/api/admin/secrets`: put, list, delete. No route answers a value.

Rooms of the studio read values from the vault themselves (`storage/vault.py`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from nexus_gateway import (
    Claims,
    Code,
    Reject,
    Response,
    auth,
    body,
    delete,
    get,
    param,
    path,
    post,
    put,
    query,
)
from nexus_gateway.studio.refusals import refuse_storage
from nexus_gateway.studio.storage import vault
from nexus_gateway.studio.storage.vault import Listed

if TYPE_CHECKING:
    from nexus_gateway import Filter, Routes
    from nexus_gateway.studio.storage.vault import Vault

_logger = logging.getLogger(__name__)

VALUE_BYTES = 64 << 10
GLOBAL = "admin:global"
"""The scope to act on every tenant."""

Name = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]*$")]
room = path("api") / "admin" / "secrets"
NAME = param("name", Name)


class Draft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What shall be kept under a name; it is not answered again."""

    value: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=VALUE_BYTES,
            extra_json_schema={"format": "password", "writeOnly": True},
        ),
    ]


class Selection(msgspec.Struct, frozen=True):
    """Which names to list."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    cursor: Annotated[str, Meta(max_length=128)] | None = None


class Names(msgspec.Struct, frozen=True):
    """A page of secrets, without their values."""

    items: tuple[Listed, ...]
    next_cursor: str | None


class Resealed(msgspec.Struct, frozen=True):
    """How many secrets were sealed by the current key that were not before."""

    resealed: int


def routes(secrets: Vault, limited: Filter[()]) -> Routes:
    """List the routes of secrets; `limited` is asked of every caller once it is known."""
    on = Secrets(secrets)
    read = auth(scope="admin:read") & limited
    write = auth(scope="admin:write") & limited
    down: Code = "database_error"
    lacking: Code = "service_unavailable"
    size = VALUE_BYTES * 6 + 1024  # JSON may write a character in six bytes
    return (
        (room & get() & read & query(Selection)).then(on.page, raises=[down])
        | (room / NAME & put() & write & body(Draft, max_bytes=size)).then(
            on.put, also=[201], raises=["conflict", lacking, down]
        )
        | (room / NAME & delete() & write).then(on.remove, raises=["not_found", down])
        | (path("api") / "admin" / "secrets:reseal" & post() & write).then(
            on.reseal, raises=[lacking, down]
        )
    ).recover(refuse)


class Secrets:
    """The handlers: what HTTP says, as the vault takes it, and back."""

    def __init__(self, secrets: Vault) -> None:
        self._vault = secrets

    async def page(self, claims: Claims, selection: Selection) -> Names:
        """List the names of a tenant's secrets; no value is answered."""
        after = selection.cursor or ""
        found = await self._vault.names(claims.tenant or "", after, selection.limit + 1)
        items = tuple(found[: selection.limit])
        return Names(items, items[-1].name if len(found) > selection.limit else None)

    async def put(self, name: str, claims: Claims, draft: Draft) -> Response[Listed]:
        """Keep a secret, in the place of the one before; 201 where there was none."""
        kept = await self._vault.put(claims.tenant or "", name, draft.value, by=claims.subject)
        _logger.info("secret %s of tenant %r was put by %s", name, claims.tenant, claims.subject)
        return Response(kept, 201 if kept.revision == 1 else 200)

    async def remove(self, name: str, claims: Claims) -> None:
        """Forget a secret."""
        await self._vault.remove(claims.tenant or "", name)
        _logger.info("secret %s of tenant %r deleted by %s", name, claims.tenant, claims.subject)

    async def reseal(self, claims: Claims) -> Resealed:
        """Seal by the current key whatever was sealed by an older one, of every tenant.

        To change the key: start with the new one as `NEXUS_SECRETS_KEY` and the old one as
        `NEXUS_SECRETS_OLD_KEY`, call this, and start without the old one.
        """
        if not claims.acts_globally(GLOBAL):
            raise Reject("permission_denied", f"to act on every tenant needs the scope `{GLOBAL}`")
        done = await self._vault.reseal()
        _logger.info("%d secrets were resealed by %s", done, claims.subject)
        return Resealed(done)


async def refuse(error: Exception) -> Response[None]:
    """Turn what the vault refuses into what HTTP says."""
    match error:
        case vault.NoSecret():
            raise Reject("not_found", str(error)) from error
        case vault.TooManySecrets():
            raise Reject("conflict", str(error)) from error
        case vault.NoKey():
            _logger.error("%s", error)
            raise Reject("service_unavailable", "secrets cannot be sealed or opened") from error
        case _:
            return await refuse_storage(error)
