"""A gateway to try filters in: tokens it accepts, and one request through the real core."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from nexus_gateway import Route, Routes, plan
from nexus_gateway.server import Application
from nexus_gateway.server.tokens import mint
from tests.harness.tokens import TOKEN_LIFETIME_S

if TYPE_CHECKING:
    from nexus_gateway.testing import Answer, Request

SECRET = b"a secret that is only for tests, 32+"
TOKENS = plan.Tokens(keys=(plan.Key(secret="test", algorithms=("HS256",)),), cache=100)


def application(routes: Route | Routes) -> Application:
    """Serve routes with tokens signed by `SECRET`."""
    joined = routes if isinstance(routes, Routes) else Routes(routes)
    return Application(joined, tokens=TOKENS, secrets={"test": SECRET})


def token(*scopes: str, subject: str = "alice") -> str:
    """Make a token that is valid for longer than the suite runs."""
    return mint(SECRET, subject, scopes, TOKEN_LIFETIME_S, now=int(time.time()))


def bearer(request: Request, *scopes: str, subject: str = "alice") -> Request:
    """Send a token along."""
    return request.header("authorization", f"Bearer {token(*scopes, subject=subject)}")


class Refused(msgspec.Struct):
    """The standard error, as a client reads it."""

    error: str
    code: str
    details: list[dict[str, str]] = []


def refused(answer: Answer) -> tuple[int, Refused]:
    """Read a refusal: its status and its body."""
    return answer.status, msgspec.json.decode(answer.body, type=Refused)
