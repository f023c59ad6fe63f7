"""Tokens: whoever signs one rightly passes, and each way to be wrong has a code of its own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING

import httpx
import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.harness.gateway_process import SECRET, Gateway, code_of
from tests.harness.tokens import TOKEN_LIFETIME_S

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

ISSUER = "https://issuer.example"
PLACE = "/api/intelligence/entities"
READ = ["intelligence:read"]


def claims(**changed: object) -> dict[str, object]:
    """Make claims that pass, but for what is changed; None leaves a claim out."""
    now = int(time.time())
    usual: dict[str, object] = {
        "sub": "alice",
        "scopes": READ,
        "iat": now,
        "exp": now + TOKEN_LIFETIME_S,
        "iss": ISSUER,
        "aud": "nexus",
    }
    return {name: value for name, value in {**usual, **changed}.items() if value is not None}


def signed(key: Private | str, algorithm: str, **changed: object) -> str:
    return jwt.encode(claims(**changed), key, algorithm=algorithm)


def unsigned(header: dict[str, str], payload: dict[str, object], signature: bytes = b"") -> str:
    """Join the parts of a token that no library would make."""
    parts = [json.dumps(header).encode(), json.dumps(payload).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def confused(pem: bytes) -> str:
    """Sign with HMAC and the text of a public key, which everybody knows (RFC 8725, 2.1)."""
    text = unsigned({"alg": "HS256", "typ": "JWT"}, claims()).rpartition(".")[0]
    signature = hmac.new(pem, text.encode(), hashlib.sha256).digest()
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def ask(client: httpx.Client, token: str, method: str = "GET") -> httpx.Response:
    return client.request(method, PLACE, headers={"authorization": f"Bearer {token}"}, json={})


@pytest.fixture(scope="module")
def hmac_gateway(tmp_path_factory: pytest.TempPathFactory) -> Generator[httpx.Client]:
    """The studio with a secret, an issuer and an audience."""
    settings = {
        "NEXUS_JWT_SECRET": SECRET,
        "NEXUS_JWT_ISSUER": ISSUER,
        "NEXUS_JWT_AUDIENCE": "nexus",
    }
    folder = tmp_path_factory.mktemp("hmac")
    with Gateway(folder, environment=settings) as gateway, gateway.client() as client:
        yield client


class Signer(msgspec.Struct):
    """A gateway that verifies with a public key, and the private one."""

    client: httpx.Client
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    algorithm: str
    pem: bytes


def _key(algorithm: str) -> Private:
    match algorithm[:2]:
        case "ES":
            return ec.generate_private_key(ec.SECP256R1())
        case "Ed":
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module", params=["RS256", "ES256", "EdDSA"])
def signer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Signer]:
    """The studio with a public key in a file."""
    algorithm: str = request.param
    folder = tmp_path_factory.mktemp(algorithm)
    key = _key(algorithm)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "key.pem").write_bytes(pem)
    settings = {
        "NEXUS_JWT_PUBLIC_KEY_FILE": str(folder / "key.pem"),
        "NEXUS_JWT_ISSUER": ISSUER,
        "NEXUS_JWT_AUDIENCE": "nexus",
    }
    with Gateway(folder, environment=settings) as gateway, gateway.client() as client:
        yield Signer(client, key, algorithm, pem)


def test_a_secret_is_bound_to_one_algorithm(hmac_gateway: httpx.Client) -> None:
    # It is long enough for all three: a token does not choose (RFC 8725, section 3.1).
    assert ask(hmac_gateway, signed(SECRET, "HS256")).status_code == 200
    for other in ("HS384", "HS512"):
        answer = ask(hmac_gateway, signed(SECRET, other))
        assert (answer.status_code, code_of(answer)) == (401, "token_algorithm_refused")


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_the_algorithm_of_a_secret_is_a_setting(tmp_path: Path, algorithm: str) -> None:
    settings = {"NEXUS_JWT_SECRET": SECRET, "NEXUS_JWT_ALGORITHM": algorithm}
    with Gateway(tmp_path, environment=settings) as gateway, gateway.client() as client:
        token = signed(SECRET, algorithm, iss=None, aud=None)
        assert ask(client, token).status_code == 200
        assert ask(client, signed(SECRET, "HS256", iss=None, aud=None)).status_code == 401


@pytest.mark.parametrize("iat", [3600, 10, -(10**12)])
def test_a_token_that_claims_a_wrong_time_of_issue_is_refused(
    hmac_gateway: httpx.Client, iat: int
) -> None:
    answer = ask(hmac_gateway, signed(SECRET, "HS256", iat=int(time.time()) + iat))

    assert answer.status_code == 401
    assert code_of(answer) in {"token_not_yet_valid", "token_invalid"}


@pytest.mark.parametrize("tenant", ["", "a\x00b", "a\nb", "x" * 256])
def test_a_tenant_that_no_name_can_hold_is_refused(hmac_gateway: httpx.Client, tenant: str) -> None:
    answer = ask(hmac_gateway, signed(SECRET, "HS256", tenant=tenant))

    assert (answer.status_code, code_of(answer)) == (401, "token_invalid")


def test_a_token_signed_with_the_private_key_passes(signer: Signer) -> None:
    assert ask(signer.client, signed(signer.key, signer.algorithm)).status_code == 200


def test_a_token_signed_with_another_private_key_is_refused(signer: Signer) -> None:
    answer = ask(signer.client, signed(_key(signer.algorithm), signer.algorithm))

    assert (answer.status_code, code_of(answer)) == (401, "token_signature_invalid")


def test_hmac_with_the_public_key_for_a_secret_is_refused(signer: Signer) -> None:
    answer = ask(signer.client, confused(signer.pem))

    assert (answer.status_code, code_of(answer)) == (401, "token_algorithm_refused")
    assert "www-authenticate" in answer.headers


def test_a_token_of_another_algorithm_than_the_key_s_is_refused(
    hmac_gateway: httpx.Client,
) -> None:
    answer = ask(hmac_gateway, signed(_key("EdDSA"), "EdDSA"))

    assert (answer.status_code, code_of(answer)) == (401, "token_algorithm_refused")


NOW = int(time.time())
GOOD = signed(SECRET, "HS256")
HEAD, PAYLOAD, SIGNATURE = GOOD.split(".")
FORGED = unsigned({"alg": "HS256"}, claims(scopes=["*"])).split(".")[1]
REFUSED = {
    "expired": (signed(SECRET, "HS256", exp=NOW - 10), "token_expired"),
    "not valid yet": (signed(SECRET, "HS256", nbf=NOW + TOKEN_LIFETIME_S), "token_not_yet_valid"),
    "another audience": (signed(SECRET, "HS256", aud="others"), "token_audience_mismatch"),
    "no audience": (signed(SECRET, "HS256", aud=None), "token_audience_mismatch"),
    "another issuer": (signed(SECRET, "HS256", iss="https://evil"), "token_issuer_mismatch"),
    "no issuer": (signed(SECRET, "HS256", iss=None), "token_issuer_mismatch"),
    "alg none": (unsigned({"alg": "none"}, claims()), "token_unsigned"),
    "alg nOnE": (unsigned({"alg": "nOnE"}, claims()), "token_unsigned"),
    "alg none with a signature": (
        unsigned({"alg": "none"}, claims(), b"signature"),
        "token_unsigned",
    ),
    "another secret": (signed("another secret, as long as it must be", "HS256"), None),
    "tampered claims": (f"{HEAD}.{FORGED}.{SIGNATURE}", None),
    "tampered signature": (f"{HEAD}.{PAYLOAD}.{SIGNATURE[::-1]}", None),
    "no signature": (f"{HEAD}.{PAYLOAD}.", None),
    "garbage": ("garbage", "token_invalid"),
    "three parts of garbage": ("a.b.c", "token_invalid"),
    "four parts": (f"{GOOD}.{SIGNATURE}", "token_invalid"),
    "no subject": (signed(SECRET, "HS256", sub=None), "token_invalid"),
    "no end": (signed(SECRET, "HS256", exp=None), "token_invalid"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_token_is_a_401_with_its_own_code(hmac_gateway: httpx.Client, name: str) -> None:
    token, code = REFUSED[name]

    answer = ask(hmac_gateway, token)

    assert (answer.status_code, code_of(answer)) == (401, code or "token_signature_invalid")
    assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token"')


def test_no_token_is_a_401_that_asks_for_one(hmac_gateway: httpx.Client) -> None:
    answer = hmac_gateway.get(PLACE)

    assert (answer.status_code, code_of(answer)) == (401, "authentication_failed")
    # RFC 6750, section 3.1: who sent no token is told of no error.
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert "error=" not in answer.headers["www-authenticate"]


def test_a_token_in_the_query_is_none(hmac_gateway: httpx.Client) -> None:
    answer = hmac_gateway.get(PLACE, params={"access_token": GOOD})

    assert (answer.status_code, code_of(answer)) == (401, "authentication_failed")


def test_an_audience_may_be_one_of_several(hmac_gateway: httpx.Client) -> None:
    assert ask(hmac_gateway, signed(SECRET, "HS256", aud=["a", "nexus"])).status_code == 200


def test_a_missing_scope_is_a_403_that_names_it(hmac_gateway: httpx.Client) -> None:
    answer = ask(hmac_gateway, GOOD, "POST")

    assert (answer.status_code, code_of(answer)) == (403, "permission_denied")
    assert "intelligence:write" in answer.json()["error"]
    challenge = answer.headers["www-authenticate"]
    assert challenge == 'Bearer error="insufficient_scope", scope="intelligence:write"'


@pytest.mark.parametrize(
    "scopes",
    [
        {"scopes": ["*"]},
        {"scopes": None, "scope": "*"},
        {"scopes": None, "scope": "metrics:read intelligence:read"},
        {"scopes": ["metrics:read"], "scope": "intelligence:read"},
    ],
)
def test_a_star_and_a_scope_in_words_pass(
    hmac_gateway: httpx.Client, scopes: dict[str, object]
) -> None:
    assert ask(hmac_gateway, signed(SECRET, "HS256", **scopes)).status_code == 200


@pytest.mark.parametrize("scope", ["intelligence:reader", "intelligence", "INTELLIGENCE:READ"])
def test_a_scope_is_compared_whole(hmac_gateway: httpx.Client, scope: str) -> None:
    assert ask(hmac_gateway, signed(SECRET, "HS256", scopes=[scope])).status_code == 403


def test_an_expired_token_is_refused_also_where_it_was_verified_before(
    hmac_gateway: httpx.Client,
) -> None:
    end = int(time.time()) + 2
    token = signed(SECRET, "HS256", exp=end)
    before = ask(hmac_gateway, token)
    while time.time() < end:
        time.sleep(0.01)  # a clock is the event here

    after = ask(hmac_gateway, token)

    assert before.status_code == 200
    assert (after.status_code, code_of(after)) == (401, "token_expired")
