"""Certificates and keys that cannot be used: the file and the reason are named before a start."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from nexus_gateway.server.settings import Settings
from nexus_gateway.server.start_check import tls_problems, tls_warnings

if TYPE_CHECKING:
    from pathlib import Path

KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())


def certificate(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = KEY, year: int = 2026, days: int = 9999
) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime(year, 1, 1, tzinfo=dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.PEM)


def pem(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes | None = None
) -> bytes:
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


CERTIFICATE = certificate()


@pytest.mark.parametrize(
    ("chain", "key", "said"),
    [
        (CERTIFICATE, pem(KEY), None),
        (CERTIFICATE.decode().encode("utf-16"), pem(KEY), None),
        (CERTIFICATE, pem(OTHER), "key.pem is not the key of the certificate in"),
        (CERTIFICATE, pem(KEY, b"password"), "key.pem: the key is encrypted; decrypt it"),
        (CERTIFICATE[:-40], pem(KEY), "chain.pem: the PEM certificate is cut off"),
        (CERTIFICATE, pem(KEY)[:-40], "key.pem: the PEM private key is cut off"),
        (pem(KEY), pem(KEY), "chain.pem: expected a PEM certificate, found private key"),
        (CERTIFICATE, CERTIFICATE, "key.pem: expected a PEM private key, found certificate"),
        (b"", pem(KEY), "chain.pem: expected a PEM certificate, found no PEM"),
    ],
)
def test_files_of_tls_are_named_with_the_reason(
    tmp_path: Path, chain: bytes, key: bytes, said: str | None
) -> None:
    paths = tmp_path / "chain.pem", tmp_path / "key.pem"
    for path, content in zip(paths, (chain, key), strict=True):
        path.write_bytes(content)

    found = list(tls_problems(Settings(tls_cert=paths[0], tls_key=paths[1])))

    assert len(found) == int(said is not None), found
    assert said is None or said in found[0]


def test_a_weak_key_is_named_with_its_file(tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=1024)
    paths = tmp_path / "chain.pem", tmp_path / "key.pem"
    for path, content in zip(paths, (certificate(key), pem(key)), strict=True):
        path.write_bytes(content)

    found = list(tls_problems(Settings(tls_cert=paths[0], tls_key=paths[1])))

    assert found == [f"tls_cert: {paths[0]} has a key or signature that is too weak"]


@pytest.mark.parametrize(
    ("year", "days", "said"),
    [
        (2020, 9999, None),
        (2020, 30, "expired at 2020-01-31T00:00:00+00:00"),
        (2048, 30, "is not valid before 2048-01-01T00:00:00+00:00"),
        (2060, 30, "is not valid before 2060-01-01T00:00:00+00:00"),
    ],
)
def test_a_certificate_that_is_not_valid_now_is_a_warning(
    tmp_path: Path, year: int, days: int, said: str | None
) -> None:
    path = tmp_path / "chain.pem"
    path.write_bytes(certificate(year=year, days=days))

    found = list(tls_warnings(Settings(tls_cert=path, tls_key=path)))

    assert found == ([] if said is None else [f"tls_cert: {path} {said}"])


def test_files_that_are_missing_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "none.pem"

    found = list(tls_problems(Settings(tls_cert=missing, tls_key=missing)))

    reason = "cannot be read: No such file or directory"
    assert found == [f"tls_cert: {missing} {reason}", f"tls_key: {missing} {reason}"]
