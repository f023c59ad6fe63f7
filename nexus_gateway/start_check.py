"""What `check` reports beyond the routes: each setting with its origin, and what stops a start."""

from __future__ import annotations

import os
import re
import socket
import ssl
from typing import TYPE_CHECKING, NamedTuple, cast

import msgspec

from nexus_gateway.settings import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nexus_gateway.settings import Loaded, Settings

_URLS = frozenset({"database_url", "redis_url", "neo4j_url", "embeddings_url"})


class Row(NamedTuple):
    """A setting as it is in force; what is secret is not shown."""

    name: str
    value: str
    origin: str


def rows(loaded: Loaded, of_code: Mapping[str, object]) -> list[Row]:
    """List every setting with its effective value and where it comes from."""
    found: list[Row] = []
    for field in msgspec.structs.fields(loaded.settings):
        name = field.name
        if name in of_code:
            found.append(Row(name, _spell(name, of_code[name]), "code"))
            continue
        value: object = getattr(loaded.settings, name)
        found.append(Row(name, _spell(name, value), loaded.origins.get(name, "default")))
    return found


def _spell(name: str, value: object) -> str:
    if value is None or value in ("", ()):
        return "none"
    if isinstance(value, Secret) or name in _URLS:
        return "..."  # it may hold a password
    if isinstance(value, tuple):
        return ", ".join(map(str, cast("tuple[object, ...]", value)))
    return str(value).lower() if isinstance(value, bool) else str(value)


def problems(loaded: Loaded, *, studio: bool) -> Iterator[str]:
    """Find what `serve` would be stopped by: unreadable files, a host or folder of no use."""
    settings = loaded.settings
    yield from tls_problems(settings)
    try:
        socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        yield f"host: {settings.host!r} has no address: {reason}"
    if studio:
        yield from _folder(settings.data_dir)


def tls_problems(settings: Settings) -> Iterator[str]:
    """Say why a certificate and its key cannot be used, naming the file; `serve` asks too."""
    certificate, key = settings.tls_cert, settings.tls_key
    if certificate is None or key is None:
        return
    found = [
        *_pem_problem("tls_cert", certificate, "CERTIFICATE"),
        *_pem_problem("tls_key", key, "PRIVATE KEY"),
    ]
    yield from found or _pair_problem(certificate, key)


def _pem_problem(name: str, path: Path, label: str) -> Iterator[str]:
    try:
        content = path.read_bytes()
    except OSError as error:
        yield f"{name}: {path} cannot be read: {error.strerror}"
        return
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = content.decode("utf-16" if wide else "utf-8", errors="replace")
    labels: list[str] = re.findall(r"-----BEGIN ([A-Z0-9 ]+)-----", text)
    wanted = [one for one in labels if one.endswith(label)]
    if not wanted:
        others = ", ".join(one.lower() for one in labels) or "no PEM"
        yield f"{name}: {path}: expected a PEM {label.lower()}, found {others}"
    elif any(f"-----END {one}-----" not in text for one in wanted):
        yield f"{name}: {path}: the PEM {label.lower()} is cut off"
    elif label == "PRIVATE KEY" and ("ENCRYPTED" in wanted[0] or "Proc-Type: 4,ENCRYPTED" in text):
        yield f"{name}: {path}: the key is encrypted; decrypt it with: openssl pkey -in {path}"


def _pair_problem(certificate: Path, key: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            yield f"tls_key: {key} is not the key of the certificate in {certificate}"
        elif error.reason in {"EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"}:
            yield f"tls_cert: {certificate} has a key or signature that is too weak"
        # Of what else OpenSSL does not read, the core decides.
    except OSError:
        return


def _folder(folder: Path) -> Iterator[str]:
    """Say why a folder cannot be written; one that does not exist is made at start."""
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        yield f"data_dir: {existing} is not a folder"
    elif not os.access(existing, os.W_OK | os.X_OK):
        yield f"data_dir: {existing} cannot be written"
