"""`auth`, `require` and `public`: tokens, scopes and claims."""

from __future__ import annotations

import msgspec
import pytest

from nexus_gateway import Claims, Response, auth, get, path, require
from nexus_gateway.testing import request
from tests.harness.in_process import application, bearer, refused


async def who(claims: Claims) -> dict[str, object]:
    return {"subject": claims.subject, "scopes": sorted(claims.scopes)}


async def maybe(claims: Claims | None) -> Response[str]:
    return Response("nobody" if claims is None else claims.subject)


async def nothing() -> None: ...


chain = path("x") & get()
guarded = application((chain & auth(scope="x:read")).then(who))


def test_a_token_with_the_scope_passes_and_says_who_calls() -> None:
    found = bearer(request("GET /x"), "x:read", "x:write").reply(guarded)

    assert found.json() == {"subject": "alice", "scopes": ["x:read", "x:write"]}


def test_no_token_is_a_401_that_says_how() -> None:
    found = request("GET /x").reply(guarded)

    status, error = refused(found)
    assert (status, error.code) == (401, "authentication_failed")
    assert (found.header("www-authenticate") or "").startswith("Bearer")


def test_a_missing_scope_is_a_403_that_names_it() -> None:
    status, error = refused(bearer(request("GET /x"), "x:write").reply(guarded))

    assert (status, error.code) == (403, "permission_denied")
    assert "x:read" in error.error


def test_every_scope_is_needed() -> None:
    both = application((chain & auth(scope=("a", "b"))).then(who))

    assert bearer(request("GET /x"), "a").reply(both).status == 403
    assert bearer(request("GET /x"), "a", "b").reply(both).status == 200
    assert bearer(request("GET /x"), "*").reply(both).status == 200


def test_require_extracts_nothing() -> None:
    required = application((chain & require(scope="a")).then(nothing))

    assert bearer(request("GET /x"), "a").reply(required).status == 204
    assert request("GET /x").reply(required).status == 401


def test_an_optional_token_may_be_missing_and_not_wrong() -> None:
    optional = application((chain & auth().optional()).then(maybe))

    assert request("GET /x").reply(optional).body == b"nobody"
    assert bearer(request("GET /x")).reply(optional).body == b"alice"
    assert request("GET /x").header("authorization", "Bearer x").reply(optional).status == 401


def test_a_claim_is_read_from_the_payload() -> None:
    claims = Claims("alice", payload=b'{"sub":"alice","age":3}')

    assert claims.get("age") == 3
    assert claims.get("age", int) == 3
    assert claims.get("missing") is None
    with pytest.raises(msgspec.ValidationError):
        claims.get("age", str)


def test_the_payload_is_the_tokens() -> None:
    async def issued(claims: Claims) -> bool:
        return claims.get("sub", str) == "alice" and claims.expires == claims.get("exp", int)

    async def answer(claims: Claims) -> dict[str, bool]:
        return {"same": await issued(claims)}

    served = application((chain & auth()).then(answer))

    assert bearer(request("GET /x")).reply(served).json() == {"same": True}


def test_a_star_allows_every_scope() -> None:
    assert Claims("alice", frozenset({"*"})).allows("anything")
    assert Claims("alice", frozenset({"a"})).allows("a")
    assert not Claims("alice", frozenset({"a"})).allows("b")


@pytest.mark.parametrize("scope", ["", "a b", 'a"', "ä", ("a", "")])
def test_a_scope_is_plain(scope: str) -> None:
    with pytest.raises(ValueError, match="a scope is printable ASCII"):
        auth(scope=scope)
