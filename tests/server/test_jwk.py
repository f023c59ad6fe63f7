"""Public keys as JSON Web Keys: read from a file, bound to one algorithm, used by the real core."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from nexus_gateway import Claims, Routes, auth, get, path
from nexus_gateway.plan import Key, Tokens
from nexus_gateway.server import Application
from nexus_gateway.server.jwk import KEY_FILE_BYTES_MAX, KEYS_MAX, public_keys
from nexus_gateway.server.keys import key_ring
from nexus_gateway.server.settings import Settings, SettingsError
from nexus_gateway.testing import request
from tests.harness.in_process import refused

if TYPE_CHECKING:
    from pathlib import Path

    Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
ED25519 = ed25519.Ed25519PrivateKey.generate()


def web_key(private: Private, **members: object) -> dict[str, object]:
    """Write the public half as a JSON Web Key; None leaves a member out."""
    public = private.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        text = RSAAlgorithm.to_jwk(public)
    elif isinstance(public, ec.EllipticCurvePublicKey):
        text = ECAlgorithm.to_jwk(public)
    else:
        text = OKPAlgorithm.to_jwk(public)
    found: dict[str, object] = json.loads(text)
    found.pop("key_ops", None)
    return {name: value for name, value in {**found, **members}.items() if value is not None}


def application(tmp_path: Path, content: object, algorithm: str | None = None) -> Application:
    """Describe a gateway whose public keys are in a file."""

    async def show(claims: Claims) -> str:
        return claims.subject

    file = tmp_path / "keys.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    settings = Settings(jwt_public_key_file=file)
    if algorithm is not None:
        settings = Settings(jwt_public_key_file=file, jwt_algorithm=algorithm)  # type: ignore[arg-type]
    ring = key_ring(settings)
    routes = Routes((path("x") & get() & auth()).then(show))
    return Application(routes, tokens=ring.tokens, secrets=ring.secrets)


def answer(served: Application, private: Private, algorithm: str, kid: str | None = None) -> str:
    """Send a token and give the subject, or the code of the refusal."""
    headers = None if kid is None else {"kid": kid}
    token = jwt.encode({"sub": "alice", "exp": time.time() + 60}, private, algorithm, headers)
    reply = request("GET /x").bearer(token).reply(served)
    return reply.body.decode() if reply.status == 200 else refused(reply)[1].code


@pytest.mark.parametrize(
    ("private", "algorithm"),
    [(RSA, "RS256"), (P256, "ES256"), (P384, "ES384"), (ED25519, "EdDSA")],
    ids=["rsa", "p256", "p384", "ed25519"],
)
def test_a_token_of_the_key_in_a_json_web_key_passes(
    private: Private, algorithm: str, tmp_path: Path
) -> None:
    served = application(tmp_path, web_key(private, use="sig", key_ops=["verify"]))

    assert answer(served, private, algorithm) == "alice"


def test_the_algorithm_of_a_key_is_the_only_one_that_it_verifies_by(tmp_path: Path) -> None:
    served = application(tmp_path, web_key(RSA, alg="PS384"))

    assert answer(served, RSA, "PS384") == "alice"
    assert answer(served, RSA, "RS256") == "token_algorithm_refused"
    with pytest.raises(SettingsError, match="expected one of PS384"):
        application(tmp_path, web_key(RSA, alg="PS384"), "RS256")
    assert answer(application(tmp_path, web_key(RSA), "RS512"), RSA, "RS512") == "alice"


def test_a_token_names_its_key_of_a_set(tmp_path: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    keys = [web_key(P256, kid="a"), web_key(other, kid="b"), web_key(RSA, kid="c")]
    served = application(tmp_path, {"keys": keys})

    assert answer(served, P256, "ES256", "a") == "alice"
    assert answer(served, other, "ES256", "b") == "alice"
    assert answer(served, other, "ES256", "a") == "token_signature_invalid"
    assert answer(served, RSA, "RS256", "a") == "token_algorithm_refused"
    assert answer(served, other, "ES256") == "alice"


def test_keys_of_a_set_that_verify_nothing_are_left_out(tmp_path: Path) -> None:
    encrypting = web_key(RSA, kid="enc", use="enc")
    keys = [
        encrypting,
        web_key(P384, kid="ops", key_ops=["encrypt"]),
        {"kty": "unknown", "kid": "new"},
        {"kid": "no kind"},
        web_key(ED25519, kid="sig"),
    ]
    served = application(tmp_path, {"keys": keys})

    assert answer(served, ED25519, "EdDSA", "sig") == "alice"
    assert answer(served, RSA, "RS256", "enc") == "token_algorithm_refused"
    assert answer(served, P384, "ES384") == "token_algorithm_refused"


SYMMETRIC = {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"}


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"keys": []}, "an empty set"),
        ({"keys": {}}, "Expected `array`"),
        ({"keys": [web_key(P256, kid=f"{n}") for n in range(KEYS_MAX + 1)]}, "length <= 64"),
        ({"keys": ["x"]}, "Expected `object`"),
        ({"keys": [{"kid": "a"}]}, "missing required field `kty`"),
        ({"kid": "a"}, "missing required field `kty`"),
        (web_key(P256, use="enc"), "`use` 'enc'"),
        (web_key(P256, use=["sig"]), "Expected `str"),
        (web_key(P256, key_ops=["sign"]), "`key_ops` without 'verify'"),
        (web_key(P256, alg="RS256"), "`alg` 'RS256' of `kty` 'EC'"),
        (web_key(P256, alg="HS256"), "`alg` 'HS256'"),
        (web_key(P256, crv="secp256k1"), "`crv` 'secp256k1'"),
        (web_key(P256, d="AAAA"), "a private or secret key"),
        (SYMMETRIC, "a private or secret key"),
        ({"keys": [web_key(P256), SYMMETRIC]}, "a private or secret key"),
        ({"keys": [web_key(P256), web_key(RSA, qi="AA")]}, "a private or secret key"),
    ],
)
def test_what_is_no_set_of_public_keys_is_refused(
    content: object, found: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=f"jwt_public_key_file: .*{found}"):
        application(tmp_path, content)


def test_numbers_that_make_no_key_are_refused_at_start(tmp_path: Path) -> None:
    weak = web_key(rsa.generate_private_key(65537, 1024))
    for content, why in (
        (weak, "1024 bits"),
        (web_key(P256, x="AAAA"), "`x` has 3 bytes, not 32"),
        (web_key(ED25519, x="!"), "not base64url"),
        (web_key(RSA, e="Ag"), "exponent"),
        ({"keys": [web_key(P256, kid="a"), web_key(RSA, kid="a")]}, "two keys have the kid"),
    ):
        served = application(tmp_path, content)
        with pytest.raises(ValueError, match=why):
            request("GET /x").reply(served)


def test_json_is_no_hmac_secret() -> None:
    async def show(claims: Claims) -> str:
        return claims.subject

    secret = json.dumps(SYMMETRIC).encode()
    served = Application(
        Routes((path("x") & get() & auth()).then(show)),
        tokens=Tokens(keys=(Key(secret="it", algorithms=("HS256",)),), cache=0),
        secrets={"it": secret},
    )

    with pytest.raises(ValueError, match="must not be used as an HMAC secret"):
        request("GET /x").reply(served)


def test_a_file_is_bounded_and_strict() -> None:
    with pytest.raises(ValueError, match="more than"):
        public_keys(b"{" + b" " * KEY_FILE_BYTES_MAX + b"}")
    with pytest.raises(ValueError, match="no JSON Web Key"):
        public_keys(b'{"kty": "EC",}')
    marked = b"\xef\xbb\xbf" + json.dumps(web_key(P256, kid="a")).encode()
    assert [key.kid for key in public_keys(marked)] == ["a"]
