"""`auth`: a verified bearer token with the scopes that a route needs, and who it speaks for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, TypeVar, overload

import msgspec

from nexus_gateway import plan
from nexus_gateway.describe.filter import Filter
from nexus_gateway.describe.node import Native, Public, Slot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import TypeForm

T = TypeVar("T")


class Claims(msgspec.Struct, frozen=True, dict=True):
    """Who calls, as the auth filter read it from the token.

    The core makes one for each verified token and remembers it with the token. `expires` and
    `issued` are in seconds since 1970; `payload` is the token's payload, JSON.
    """

    subject: str
    scopes: frozenset[str] = frozenset()
    tenant: str | None = None
    token_id: str | None = None
    expires: int = 0
    issued: int | None = None
    payload: bytes = b"{}"

    def allows(self, scope: str) -> bool:
        """Say whether the token has the scope; `*` has every one."""
        return scope in self.scopes or "*" in self.scopes

    def acts_globally(self, scope: str) -> bool:
        """Say whether the token may act beyond its tenant: it names the scope for that.

        `*` is every scope within a tenant, so it is enough only in a token that has none.
        """
        return scope in self.scopes or (self.tenant is None and "*" in self.scopes)

    @overload
    def get(self, name: str) -> object: ...
    @overload
    def get(self, name: str, kind: TypeForm[T]) -> T | None: ...
    def get(self, name: str, kind: object = object) -> object:
        """Read any claim of the payload, as `kind`; None where the token has it not.

        Raises:
            msgspec.ValidationError: the claim is not a `kind`.
        """
        value = self._decoded.get(name)
        return None if value is None else msgspec.convert(value, kind)

    @cached_property
    def _decoded(self) -> dict[str, object]:
        return msgspec.json.decode(self.payload, type=dict[str, object])


def auth(*, scope: str | Sequence[str] = ()) -> Filter[Claims]:
    """Ask for a bearer token with the scope, or with all of several; extract its claims.

    Without a valid token the core answers 401, without a scope 403 naming it.
    """
    return Filter(Native(plan.Auth(scopes=_scopes(scope), extract=True), Claims), (_CLAIMS,))


def require(*, scope: str | Sequence[str] = ()) -> Filter[()]:
    """As `auth`, for handlers that do not need to know who calls."""
    return Filter(Native(plan.Auth(scopes=_scopes(scope), extract=False)))


def public() -> Filter[()]:
    """Say that the chain is meant to be open to everyone, which silences the lint about it."""
    return Filter(Public())


_CLAIMS = Slot(None, Claims)


def _scopes(scope: str | Sequence[str]) -> tuple[str, ...]:
    scopes = (scope,) if isinstance(scope, str) else tuple(scope)
    for name in scopes:
        if not name or any(mark <= " " or mark in '"\\' for mark in name) or not name.isascii():
            raise ValueError(
                f"a scope is printable ASCII without blanks and quotes, found {name!r}"
            )
    return scopes
