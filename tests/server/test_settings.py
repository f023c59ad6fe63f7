"""Settings: file and environment, errors that name the key, and secrets that stay secret."""

from __future__ import annotations

import stat
import threading
import time
from pathlib import Path
from typing import TypeAlias

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519

from nexus_gateway import Claims, Routes, auth, get, path, plan
from nexus_gateway.server import Application
from nexus_gateway.server.keys import development_secret, key_ring
from nexus_gateway.server.settings import Secret, Settings, SettingsError, load, load_with_origins
from nexus_gateway.testing import request

SECRET = "0123456789abcdef0123456789abcdef"


def problems(environ: dict[str, str], config: Path | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(config, environ)
    return str(caught.value).splitlines()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "gateway.toml"


def test_everything_has_a_default() -> None:
    settings = load(None, {})

    assert settings == Settings()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert (settings.jwt_secret, settings.limit()) == (None, None)


def test_production_listens_on_every_address() -> None:
    settings = load(None, {"NEXUS_ENV": "production", "NEXUS_JWT_SECRET": SECRET})

    assert settings.host == "0.0.0.0"


def test_the_environment_wins_over_the_file(config: Path) -> None:
    config.write_text('port = 1\ntimeout = 2\ncors_origins = ["https://a.example"]\n')

    settings = load(config, {"NEXUS_PORT": "2"})

    assert (settings.port, settings.timeout) == (2, 2.0)
    assert settings.cors_origins == ("https://a.example",)


def test_the_file_may_be_named_in_the_environment(config: Path) -> None:
    config.write_text("threads = 3\n")

    assert load(None, {"NEXUS_CONFIG": str(config)}).threads == 3


def test_text_becomes_what_the_key_is() -> None:
    settings = load(
        None,
        {
            "NEXUS_THREADS": "2",
            "NEXUS_SHUTDOWN_GRACE": "0.5",
            "NEXUS_DATA_DIR": "/data",
            "NEXUS_CORS_ORIGINS": "https://a.example, http://localhost:5173",
            "NEXUS_ADDRESS_LIMIT": "100/s burst 200",
            "NEXUS_RATE_LIMIT": "60/min",
            "NEXUS_LOG_LEVEL": "warning",
            "NEXUS_JWT_SECRET": SECRET,
            "OTHER": "ignored",
        },
    )

    assert (settings.threads, settings.shutdown_grace) == (2, 0.5)
    assert settings.data_dir == Path("/data")
    assert settings.cors_origins == ("https://a.example", "http://localhost:5173")
    assert settings.rate_limit == "60/min"
    assert settings.limit() == plan.AddressLimit(requests=100, period_ms=1000, burst=200)
    assert settings.secret() == SECRET.encode()


def test_a_variable_set_to_nothing_says_nothing() -> None:
    assert load(None, {"NEXUS_TLS_CERT": "", "NEXUS_PORT": ""}) == Settings()


def test_a_limit_set_to_nothing_is_none() -> None:
    nothing = {"NEXUS_RATE_LIMIT": "", "NEXUS_ADDRESS_LIMIT": " ", "NEXUS_CORS_ORIGINS": ""}

    settings = load(None, nothing)

    assert (settings.rate_limit, settings.address_limit, settings.cors_origins) == ("", "", ())


@pytest.mark.parametrize(
    ("name", "warned"),
    [
        ("NEXUS_PROT", ["NEXUS_PROT in the environment is no setting; did you mean NEXUS_PORT"]),
        ("NEXUS_BODY_BYTE", ["NEXUS_BODY_BYTE in the environment is no setting; did you mean"]),
        ("NEXUS_XYZZY", []),
        ("NEXUS_", []),
    ],
)
def test_an_unknown_variable_never_prevents_the_start(name: str, warned: list[str]) -> None:
    loaded = load_with_origins(None, {name: "1"})

    assert loaded.settings == Settings()
    assert [text.startswith(said) for text, said in zip(loaded.warnings, warned, strict=True)] == [
        True
    ] * len(warned)


def test_each_setting_has_its_origin(config: Path) -> None:
    config.write_text("# a comment\nport = 1\ntimeout = 2\n")

    loaded = load_with_origins(config, {"NEXUS_PORT": "2"})

    assert loaded.origins == {
        "port": "NEXUS_PORT in the environment",
        "timeout": f"timeout in {config}:3",
    }


@pytest.mark.parametrize("text", [b"\xef\xbb\xbfport = 1\n", b"port = 1\r\n", b"port = 1"])
def test_a_file_of_another_editor_is_read(config: Path, text: bytes) -> None:
    config.write_bytes(text)

    assert load(config, {}).port == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"port = ", "not TOML"),
        (b"\xff\xfep\x00", "expected UTF-8"),
        (b"port = [1]", ":1: expected `int`"),
        (b"\n[server]\nport = 1", "server in "),
        (b"a = " + b"[" * 100_000, "not TOML"),
    ],
)
def test_a_file_with_a_fault_is_named(config: Path, text: bytes, said: str) -> None:
    config.write_bytes(text)

    (found,) = problems({}, config)

    assert str(config) in found
    assert said in found


def test_a_folder_is_no_settings_file(tmp_path: Path) -> None:
    assert problems({}, tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]


def test_bounds_follow_the_settings() -> None:
    settings = load(None, {"NEXUS_TIMEOUT": "1.5", "NEXUS_BODY_BYTES": "10"})

    assert settings.bounds() == plan.Bounds(timeout_ms=1500, body_bytes=10)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("NEXUS_PORT", "70000", "expected `int` <= 65535, found '70000'"),
        ("NEXUS_PORT", "http", "expected `int`, found 'http'"),
        ("NEXUS_ENV", "prod", "expected one of development, production, found 'prod'"),
        ("NEXUS_TIMEOUT", "0", "expected `float` > 0.0, found '0'"),
        ("NEXUS_RATE_LIMIT", "fast", "expected a rate such as '100/min'"),
        ("NEXUS_ADDRESS_LIMIT", "0/s", "must be 1 to 4294967295"),
        ("NEXUS_CORS_ORIGINS", "https://a.example/", "found 'https://a.example/'"),
        ("NEXUS_CORS_ORIGINS", "*,https://a.example", "so it stands alone"),
        ("NEXUS_TIMEOUT", "inf", "expected `float` <= 4000000.0, found 'inf'"),
        ("NEXUS_TIMEOUT", "nan", "found"),
        ("NEXUS_SHUTDOWN_GRACE", "inf", "found 'inf'"),
        ("NEXUS_TLS_CERT", "~unknown-user/x", "expected a path below the home of a user"),
        ("NEXUS_JWT_ISSUER", "a\udcff", "expected UTF-8, found bytes that are not"),
    ],
)
def test_a_wrong_variable_is_named_with_what_is_expected(
    name: str, text: str, problem: str
) -> None:
    (found,) = problems({name: text})

    assert found.startswith(f"{name} in the environment: ")
    assert problem in found


def test_a_wrong_key_of_the_file_is_named_with_the_file(config: Path) -> None:
    config.write_text('port = "http"\nhots = "x"\nthreads = 1.5\n[tls]\ncert = "x"\n')

    found = problems({}, config)

    assert found[0] == f"port in {config}:1: expected `int`, found 'http'"
    assert found[1].startswith(f"hots in {config}:2: there is no setting 'hots'; did you mean host")
    assert found[2].startswith(f"threads in {config}:3: expected `int`")
    assert found[3].startswith(f"tls in {config}:4: there is no setting 'tls'")


def test_a_file_that_cannot_be_read_or_parsed_is_named(config: Path) -> None:
    assert problems({}, config) == [f"{config}: cannot be read: No such file or directory"]

    config.write_text("port =")

    assert problems({}, config)[0].startswith(f"{config}: not TOML: ")


def test_certificate_and_key_go_together() -> None:
    assert problems({"NEXUS_TLS_CERT": "cert.pem"}) == [
        "tls_cert and tls_key go together: one is set, the other is not"
    ]


def test_neo4j_needs_its_password() -> None:
    assert problems({"NEXUS_NEO4J_URL": "bolt://db:7687"}) == [
        "neo4j_url and neo4j_password go together: one is set, the other is not"
    ]


def test_neo4j_is_spoken_to_over_bolt() -> None:
    (found,) = problems({"NEXUS_NEO4J_URL": "http://db:7474"})

    assert found.endswith("expected bolt://host:port or neo4j://..., found the scheme 'http'")


# --- secrets ---


def test_production_without_a_key_is_refused() -> None:
    assert "production needs a key of its own" in problems({"NEXUS_ENV": "production"})[0]


def test_a_short_secret_is_refused_and_not_shown() -> None:
    (found,) = problems({"NEXUS_JWT_SECRET": "hunter2"})

    assert "HS256 needs at least 32 bytes" in found
    assert "found 7" in found
    assert "hunter2" not in found


def test_a_secret_of_the_wrong_type_is_not_shown(config: Path) -> None:
    config.write_text("jwt_secret = 123456\n")

    (found,) = problems({}, config)

    assert "123456" not in found
    assert "found another value" in found


def test_secrets_are_in_no_repr(tmp_path: Path) -> None:
    url = "postgresql://nexus:hunter2@db/nexus"
    redis = "redis://nexus:hunter2@cache"
    given = {"NEXUS_JWT_SECRET": SECRET, "NEXUS_DATABASE_URL": url, "NEXUS_REDIS_URL": redis}
    settings = load(None, given)

    assert settings.database_url == url
    for shown in (repr(settings), str(settings), repr(key_ring(settings)), repr(Secret(SECRET))):
        assert SECRET not in shown
        assert "hunter2" not in shown
    assert "jwt_secret=Secret(...)" in repr(settings)


def test_development_makes_a_secret_of_its_own_and_keeps_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "deep" / "data")

    first, second = settings.secret(), Settings(data_dir=settings.data_dir).secret()

    file = settings.data_dir / "jwt-secret"
    assert first == second == file.read_bytes()
    assert len(first or b"") == 64
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(settings.data_dir.iterdir()) == [file]


def test_two_folders_have_two_secrets(tmp_path: Path) -> None:
    assert development_secret(tmp_path / "a") != development_secret(tmp_path / "b")


def test_starts_at_the_same_moment_agree_on_one_secret(tmp_path: Path) -> None:
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(development_secret(tmp_path)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_kept_secret_that_is_too_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "jwt-secret").write_text("short")

    with pytest.raises(SettingsError, match="expected at least 32 bytes, found 5"):
        development_secret(tmp_path)


def test_a_data_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")

    with pytest.raises(SettingsError, match="jwt-secret"):
        development_secret(tmp_path / "data")


# --- keys ---

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
KEYS: dict[str, tuple[PrivateKey, str]] = {
    "rsa": (rsa.generate_private_key(65537, 2048), "RS256"),
    "p256": (ec.generate_private_key(ec.SECP256R1()), "ES256"),
    "p384": (ec.generate_private_key(ec.SECP384R1()), "ES384"),
    "ed25519": (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
}


def pem(private: PrivateKey) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return private.public_key().public_bytes(serialization.Encoding.PEM, form)


@pytest.mark.parametrize("name", KEYS)
def test_a_public_key_verifies_its_own_algorithms_only(name: str, tmp_path: Path) -> None:
    private, algorithm = KEYS[name]
    file = tmp_path / "key.pem"
    file.write_bytes(pem(private))

    ring = key_ring(load(None, {"NEXUS_JWT_PUBLIC_KEY_FILE": str(file)}))

    (key,) = ring.tokens.keys
    assert algorithm in key.algorithms
    assert not any(each.startswith("HS") for each in key.algorithms)
    assert ring.secrets == {key.secret: file.read_bytes()}


@pytest.mark.parametrize("name", KEYS)
def test_a_token_signed_with_the_private_key_passes(name: str, tmp_path: Path) -> None:
    async def show(claims: Claims) -> str:
        return claims.subject

    private, algorithm = KEYS[name]
    file = tmp_path / "key.pem"
    file.write_bytes(pem(private))
    ring = key_ring(Settings(jwt_public_key_file=file))
    routes = Routes((path("x") & get() & auth()).then(show))
    served = Application(routes, tokens=ring.tokens, secrets=ring.secrets)
    token = jwt.encode({"sub": "alice", "exp": time.time() + 60}, private, algorithm)

    assert request("GET /x").bearer(token).reply(served).body == b"alice"


def test_an_rsa_key_in_its_older_form_is_read(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(
        KEYS["rsa"][0]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
    )

    ring = key_ring(Settings(jwt_public_key_file=file))

    assert "RS256" in ring.tokens.keys[0].algorithms


def test_a_secret_and_a_public_key_are_two_keys(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(pem(KEYS["p256"][0]))
    settings = load(
        None,
        {
            "NEXUS_JWT_SECRET": SECRET,
            "NEXUS_JWT_PUBLIC_KEY_FILE": str(file),
            "NEXUS_JWT_ISSUER": "https://issuer.example",
            "NEXUS_JWT_AUDIENCE": "gateway",
            "NEXUS_JWT_LEEWAY": "5",
            "NEXUS_TOKEN_CACHE": "0",
        },
    )

    tokens = key_ring(settings).tokens

    assert [key.algorithms[0] for key in tokens.keys] == ["HS256", "ES256"]
    assert (tokens.issuer, tokens.audience) == ("https://issuer.example", "gateway")
    assert (tokens.leeway, tokens.cache) == (5, 0)


def test_what_is_no_public_key_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    private = KEYS["p256"][0].private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    unknown = (
        x25519.X25519PrivateKey.generate()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    settings = Settings(jwt_public_key_file=file)

    with pytest.raises(SettingsError, match="No such file"):
        key_ring(settings)
    for content, found in (
        (b"text", "found no PEM"),
        (private, "found a PEM of a private key"),
        (unknown, "found another"),
    ):
        file.write_bytes(content)
        with pytest.raises(SettingsError, match=found):
            key_ring(settings)


def test_a_renamed_setting_is_reported_with_its_new_name(tmp_path: Path) -> None:
    config = tmp_path / "nexus.toml"
    config.write_text("workers = 3\n")

    loaded = load_with_origins(None, {"NEXUS_WORKERS": "3"})

    assert loaded.settings.threads == 1
    assert loaded.warnings == (
        "NEXUS_WORKERS in the environment is no setting; did you mean NEXUS_THREADS",
    )
    with pytest.raises(SettingsError, match="no setting 'workers'; did you mean threads"):
        load_with_origins(config, {})
