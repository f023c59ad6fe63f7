"""`/api/admin`: what operators may do to a running gateway.

A revocation makes a token worthless at once, by its `jti`, or all of a subject that were issued
before: requests are refused with 401 `token_revoked`, sockets are closed with 4002, in every
replica. It is stored in the database until the tokens have expired. It concerns the tenant of the
operator; the scope `admin:global` is needed for another tenant or for all.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated, ClassVar, NoReturn

import msgspec
from msgspec import Meta

from nexus_gateway import Claims, Code, Reject, auth, body, get, path, post, require
from nexus_gateway.realtime.frames import Revocation  # noqa: TC001 - the handler's answer
from nexus_gateway.realtime.hub import HubError
from nexus_gateway.studio.admin.store import TooManyRevocations
from nexus_gateway.studio.fields import check_text
from nexus_gateway.studio.refusals import refuse_storage
from nexus_gateway.values.schema import either, one_reach

if TYPE_CHECKING:
    from nexus_gateway import Filter, Routes
    from nexus_gateway.studio.admin.service import Revoking

_logger = logging.getLogger(__name__)

GLOBAL = "admin:global"
"""The scope to act beyond the token's own tenant."""

room = path("api") / "admin"
Name = Annotated[str, Meta(min_length=1, max_length=1024)]
Seconds = Annotated[int, Meta(ge=0, le=253_402_300_799)]


class RevocationDraft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is revoked: one token by its `jti`, or all of a subject that were issued before.

    `before` and `expires` are seconds since 1970: without `before` it is now; `expires` is when the
    last of the tokens has expired by itself, in ten years where it is not given. Without `tenant`
    and `all_tenants` it concerns the tenant of the caller.
    """

    jti: Name | None = None
    sub: Name | None = None
    before: Seconds | None = None
    expires: Seconds | None = None
    tenant: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    all_tenants: bool = False

    json_schema_extra: ClassVar[dict[str, object]] = either("jti", "sub") | one_reach(
        "tenant", "all_tenants"
    )

    def __post_init__(self) -> None:
        """Check what a schema cannot say; the error becomes one of the body."""
        check_text(self, "jti", "sub", "tenant")


def routes(revoking: Revoking, limited: Filter[()]) -> Routes:
    """List the routes of operators; `limited` is asked of every caller once it is known."""
    on = Revocations(revoking)
    read = require(scope="admin:read") & limited
    write = auth(scope="admin:write") & limited
    revocations = room / "revocations"
    down: Code = "database_error"
    raises: list[Code] = ["validation_error", "permission_denied", "conflict", down]
    return (revocations & get() & read).hub("revocations", name="revocations") | (
        revocations & post() & write & body(RevocationDraft)
    ).then(on.revoke, name="revoke", raises=raises).recover(refuse)


class Revocations:
    """The handlers."""

    def __init__(self, revoking: Revoking) -> None:
        self._revoking = revoking

    async def revoke(self, claims: Claims, draft: RevocationDraft) -> Revocation:
        """Make a token, or all of a subject that were issued before, worthless at once."""
        revoked = await self._revoking.revoke(
            by=claims.subject,
            tenant=realm(claims, draft.tenant, all_tenants=draft.all_tenants),
            jti=draft.jti,
            sub=draft.sub,
            before=draft.before,
            expires=draft.expires,
        )
        _logger.info(
            "tokens were revoked by %s of tenant %r: %s", claims.subject, claims.tenant, revoked
        )
        return revoked


def realm(claims: Claims, tenant: str | None, *, all_tenants: bool) -> str | None:
    """Say which tenant an order concerns: a name, empty for tokens without one, None for all.

    Raises:
        Reject: the caller may not act beyond its tenant.
    """
    if tenant is not None and all_tenants:
        raise Reject("validation_error", "expected either a tenant or all_tenants")
    everywhere = claims.acts_globally(GLOBAL)
    own = claims.tenant or ""
    if tenant is None and not all_tenants:
        # Who may act everywhere and has no tenant means everywhere.
        return None if everywhere and not own else own
    if not everywhere and (all_tenants or tenant != own):
        raise Reject("permission_denied", f"to act beyond one's tenant needs the scope `{GLOBAL}`")
    return None if all_tenants else tenant


async def refuse(error: Exception) -> NoReturn:
    """Turn what is refused into what HTTP says."""
    match error:
        case HubError(code="validation_error" | "conflict" as code):
            raise Reject(code, str(error)) from error
        case TooManyRevocations():
            raise Reject(
                "conflict",
                "the revocation is in force, and there is no place to store more: revoke subjects "
                "instead of tokens, or say with `expires` when they end",
            ) from error
        case _:
            await refuse_storage(error)
            raise error
