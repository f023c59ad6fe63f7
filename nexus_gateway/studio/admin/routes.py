"""`/api/admin`: what operators may do to a running gateway; the core answers.

A revocation makes a token worthless at once, by its `jti`, or all of a subject that were issued
before: requests are refused with 401 `token_revoked`, sockets are closed with 4002, in every
replica.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_gateway import get, path, post, require

if TYPE_CHECKING:
    from nexus_gateway import Filter, Routes

room = path("api") / "admin"


def routes(limited: Filter[()]) -> Routes:
    """List the routes of operators; `limited` is asked of every caller once it is known."""
    read = require(scope="admin:read") & limited
    write = require(scope="admin:write") & limited
    revocations = room / "revocations"
    return (revocations & get() & read).hub("revocations", name="revocations") | (
        revocations & post() & write
    ).hub("revoke", name="revoke")
