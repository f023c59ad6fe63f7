"""What `check` reports beyond the routes: each setting with its origin, and what stops a start."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, NamedTuple

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
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def problems(loaded: Loaded, *, studio: bool) -> Iterator[str]:
    """Find what `serve` would be stopped by: unreadable files, a host or folder of no use."""
    settings = loaded.settings
    yield from _tls(settings)
    try:
        socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        yield f"host: {settings.host!r} has no address: {reason}"
    if studio:
        yield from _folder(settings.data_dir)


def _tls(settings: Settings) -> Iterator[str]:
    for name, path in (("tls_cert", settings.tls_cert), ("tls_key", settings.tls_key)):
        if path is None:
            continue
        try:
            path.read_bytes()
        except OSError as error:
            yield f"{name}: {path} cannot be read: {error.strerror}"


def _folder(folder: Path) -> Iterator[str]:
    """Say why a folder cannot be written; one that does not exist is made at start."""
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        yield f"data_dir: {existing} is not a folder"
    elif not os.access(existing, os.W_OK | os.X_OK):
        yield f"data_dir: {existing} cannot be written"
