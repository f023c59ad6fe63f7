"""Certificates and keys that cannot be used: the file and the reason are named before a start."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from nexus_gateway.settings import Settings
from nexus_gateway.start_check import tls_problems

if TYPE_CHECKING:
    from pathlib import Path

KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())


def certificate() -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=9999))
        .sign(KEY, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.PEM)


def pem(key: ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
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


def test_files_that_are_missing_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "none.pem"

    found = list(tls_problems(Settings(tls_cert=missing, tls_key=missing)))

    reason = "cannot be read: No such file or directory"
    assert found == [f"tls_cert: {missing} {reason}", f"tls_key: {missing} {reason}"]
