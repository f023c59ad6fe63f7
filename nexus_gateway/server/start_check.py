"""What `check` reports beyond the routes: each setting with its origin, and what stops a start."""

from __future__ import annotations

import datetime as dt
import errno
import os
import re
import secrets
import socket
import ssl
from typing import TYPE_CHECKING, NamedTuple, cast

import msgspec

from nexus_gateway.server.settings import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nexus_gateway.server.settings import Loaded, Settings

# `Validity` of a certificate in DER (RFC 5280, section 4.1.2.5): two times, of two kinds.
_TIME = rb"(?:\x17\x0d|\x18\x0f)(\d{12,14})Z"
_VALIDITY = re.compile(rb"\x30[\x1e-\x22]" + _TIME + _TIME)
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


def warnings(settings: Settings) -> Iterator[str]:
    """Find what may be intended: a port that is in use, perhaps by the running gateway."""
    yield from tls_warnings(settings)
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return  # `problems` reports it
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                yield f"port: {settings.host}:{settings.port} is in use, or a gateway runs already"
                return


def tls_warnings(settings: Settings) -> Iterator[str]:
    """Say when a certificate is not valid at present; `serve` asks too."""
    path = settings.tls_cert
    if path is None:
        return
    try:
        text = path.read_text("ascii")
        der = ssl.PEM_cert_to_DER_cert(text[text.index(_BEGIN) : text.index(_END) + len(_END)])
    except (OSError, ValueError):
        return  # `tls_problems` reports it
    validity = _VALIDITY.search(der)
    if validity is None:
        return
    try:
        begin, end = (_time(part.decode()) for part in validity.groups())
    except ValueError:
        return
    now = dt.datetime.now(dt.UTC)
    if now < begin:
        yield f"tls_cert: {path} is not valid before {begin.isoformat()}"
    elif now > end:
        yield f"tls_cert: {path} expired at {end.isoformat()}"


_BEGIN, _END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


def _time(digits: str) -> dt.datetime:
    """Read a time of a certificate; one with two digits of the year is of 1950 to 2049."""
    if len(digits) == len("YYMMDDhhmmss"):
        digits = ("19" if digits >= "50" else "20") + digits
    return dt.datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=dt.UTC)


def without_new_secrets(settings: Settings) -> Settings:
    """Replace the secrets that a start would make, so that a check writes no file."""
    if settings.makes_secret() is not None:
        made = Secret(secrets.token_hex(64))
        settings = msgspec.structs.replace(settings, jwt_secret=made)
    stored = settings.data_dir / "secrets-key"
    missing = settings.secrets_key is None and settings.env == "development"
    if missing and not os.path.lexists(stored):
        sealing = Secret(secrets.token_hex(32))
        settings = msgspec.structs.replace(settings, secrets_key=sealing)
    return settings


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
