"""The URLs of servers, checked before anything connects: each part is supported or refused.

Drivers differ in what they do with a parameter that they do not know: asyncpg sends it to the
server as a setting, redis-py passes it to a constructor, the core's client ignores it. Here each
parameter has one documented meaning, and everything else is an error that names it.

Messages never contain the URL, since it may contain a password.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Check: TypeAlias = Callable[[str], str | None]

POSTGRES_SCHEMES = ("postgresql", "postgres")
NEO4J_SCHEMES = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")
CONNECT_TIMEOUT_MAX_S = 600
"""Seconds that `connect_timeout` may be at most."""

_INVALID_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(r"[A-Za-z0-9._~%-]+|\[[0-9A-Fa-f:.]+(%[A-Za-z0-9._~-]+)?\]")
_REDIS = "redis://[user][:password]@host[:port][/database]"
_NEO4J = "bolt://host[:port] or neo4j://host[:port]"
_POSTGRES = "postgresql://user:password@host[:port]/database"


class PostgresAddress(msgspec.Struct, frozen=True):
    """What a PostgreSQL URL says, divided by who acts on it.

    Attributes:
        dsn: for asyncpg; has only parameters that it knows.
        connect_timeout: seconds to connect; None leaves it to the caller.
        settings: for the server, sent when a connection starts.
    """

    dsn: str
    connect_timeout: float | None
    settings: dict[str, str]

    def __repr__(self) -> str:
        return "PostgresAddress(...)"  # there may be a password in it


def postgres_address(url: str) -> PostgresAddress:
    """Read a PostgreSQL URL with the parameters of libpq that are supported.

    Raises:
        ValueError: a part cannot be used; the message names it.

    >>> postgres_address("postgresql://nexus@db/studio?connect_timeout=5").connect_timeout
    5.0
    """
    parts = _split(url, POSTGRES_SCHEMES, _POSTGRES)
    _check_hosts(parts, _POSTGRES)
    driver: dict[str, str] = {}
    settings: dict[str, str] = {}
    connect_timeout: float | None = None
    for name, value in _parameters(parts).items():
        if name == "connect_timeout":
            connect_timeout = _seconds(name, value)
        elif name == "client_encoding":
            _check_encoding(name, value)
        elif name in _DRIVER_PARAMETERS:
            _check_value(name, value, _DRIVER_PARAMETERS[name])
            driver[name] = value
        elif name in _SERVER_SETTINGS:
            settings[name] = value
        else:
            raise ValueError(_unsupported(name))
    dsn = parts._replace(query=urlencode(driver), fragment="").geturl()
    return PostgresAddress(dsn, connect_timeout, settings)


def check_redis_url(url: str) -> None:
    """Check a Redis URL: address, credentials and database number, without parameters.

    Raises:
        ValueError: a part cannot be used; the message names it.
    """
    parts = _split(url, ("redis", "rediss"), _REDIS)
    if parts.scheme == "rediss":
        raise ValueError(
            "rediss:// is not supported: reach Redis by redis:// over a private network or through"
            " a TLS tunnel"
        )
    _check_hosts(parts, _REDIS)
    if "," in parts.netloc:
        raise ValueError(f"expected {_REDIS}, found several hosts")
    for name in _parameters(parts):
        raise ValueError(
            f"the parameter {name!r} is not supported: a Redis URL takes none. The gateway bounds"
            " the time of each call itself"
        )
    number = parts.path.removeprefix("/")
    # ASCII digits alone: `isdigit` takes others too.
    if number and not re.fullmatch(r"[0-9]{1,5}", number):
        raise ValueError(f"expected the number of a database, found {number!r}")


def check_neo4j_url(url: str) -> None:
    """Check a Neo4j URL; the user and the password have settings of their own.

    Raises:
        ValueError: a part cannot be used; the message names it.
    """
    parts = _split(url, NEO4J_SCHEMES, _NEO4J)
    _check_hosts(parts, _NEO4J)
    if "@" in parts.netloc:
        raise ValueError("the user and the password belong in neo4j_user and neo4j_password")
    if parts.path.strip("/"):
        raise ValueError(f"expected {_NEO4J}, found the path {parts.path!r}")
    for name in _parameters(parts):
        raise ValueError(f"the parameter {name!r} is not supported: a Neo4j URL takes none")


# === parts of a URL ===


def _split(url: str, schemes: tuple[str, ...], expected: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        # Its text quotes the user and the password.
        raise ValueError(f"expected {expected}: the host cannot be read") from None
    if parts.scheme not in schemes or not url[len(parts.scheme) :].startswith("://"):
        found = repr(parts.scheme) if parts.scheme else "none"
        raise ValueError(f"expected {expected}, found the scheme {found}")
    if any(char.isspace() or ord(char) < 0x20 or ord(char) == 0x7F for char in url):
        raise ValueError(f"expected {expected}, found a space or a control character")
    if _INVALID_ESCAPE.search(url):
        raise ValueError("'%' must be followed by two hexadecimal digits; '%' itself is %25")
    if parts.fragment:
        raise ValueError("'#' in a user or a password is %23")
    if "@" in parts.path or "@" in parts.query:
        # Whatever stands before it may be the rest of a password: no later message may quote it.
        raise ValueError(
            "'/' and '?' in a user or a password are %2F and %3F, '@' elsewhere is %40"
        )
    return parts


def _check_hosts(parts: SplitResult, expected: str) -> None:
    """Check each `host[:port]`; PostgreSQL takes several, separated by commas."""
    hosts = parts.netloc.rpartition("@")[2]
    for host in hosts.split(","):
        _check_host(host, expected)


def _check_host(host: str, expected: str) -> None:
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host, ""
    if name and not _HOST.fullmatch(name):
        raise ValueError(f"expected {expected}, found the host {unquote(name)!r}")
    if port and not (re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) < 1 << 16):
        found = f", found {port}" if port.isascii() and port.isdecimal() else ""
        raise ValueError(f"expected a port from 1 to 65535{found}")
    if not name and not expected.startswith("postgresql"):
        raise ValueError(f"expected {expected}, found no host")


def _parameters(parts: SplitResult) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ValueError("the parameters must be name=value, joined by '&'") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the parameter {name!r} is there twice")
        if not value:
            raise ValueError(f"the parameter {name!r} has no value")
        found[name] = value
    return found


# === the parameters of PostgreSQL ===


def _one_of(*names: str) -> Check:
    def check(value: str) -> str | None:
        return None if value in names else f"expected one of {', '.join(names)}"

    return check


def _any(_: str) -> str | None:
    return None


_TLS_VERSIONS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
# What asyncpg reads out of a URL, by libpq's names.
_DRIVER_PARAMETERS: Mapping[str, Check] = {
    "host": _any,
    "port": _any,
    "dbname": _any,
    "database": _any,
    "user": _any,
    "password": _any,
    "passfile": _any,
    "service": _any,
    "sslmode": _one_of("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslcert": _any,
    "sslkey": _any,
    "sslrootcert": _any,
    "sslcrl": _any,
    "sslpassword": _any,
    "sslnegotiation": _one_of("postgres", "direct"),
    "ssl_min_protocol_version": _one_of(*_TLS_VERSIONS),
    "ssl_max_protocol_version": _one_of(*_TLS_VERSIONS),
    "target_session_attrs": _one_of(
        "any", "primary", "standby", "read-write", "read-only", "prefer-standby"
    ),
}
# Settings of the server that a deployment may need, without those that the gateway sets itself.
_SERVER_SETTINGS = frozenset({
    "application_name",
    "options",
    "role",
    "search_path",
    "synchronous_commit",
    "tcp_keepalives_count",
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "tcp_user_timeout",
    "work_mem",
})  # fmt: skip
# What else people write there, and what to do instead.
_INSTEAD: Mapping[str, str] = {
    "keepalives": "use the server's tcp_keepalives_idle",
    "keepalives_idle": "use the server's tcp_keepalives_idle",
    "keepalives_interval": "use the server's tcp_keepalives_interval",
    "keepalives_count": "use the server's tcp_keepalives_count",
    "statement_timeout": "set NEXUS_DATABASE_TIMEOUT",
    "lock_timeout": "set NEXUS_DATABASE_TIMEOUT",
    "command_timeout": "set NEXUS_DATABASE_TIMEOUT",
    "idle_in_transaction_session_timeout": "set NEXUS_DATABASE_TIMEOUT",
    "connection_limit": "set NEXUS_DATABASE_POOL",
    "pool_size": "set NEXUS_DATABASE_POOL",
    "pool_max_conns": "set NEXUS_DATABASE_POOL",
    "pool_timeout": "set NEXUS_DATABASE_WAIT",
    "schema": "use search_path",
    "ssl": "use sslmode",
    "requiressl": "use sslmode=require",
    "default_transaction_isolation": "the gateway sets the isolation of each transaction",
    "isolation_level": "the gateway sets the isolation of each transaction",
}


def _unsupported(name: str) -> str:
    known = ", ".join(sorted({"connect_timeout", *_DRIVER_PARAMETERS, *_SERVER_SETTINGS}))
    instead = _INSTEAD.get(name, f"the parameters are {known}")
    return f"the parameter {name!r} is not supported: {instead}"


def _check_value(name: str, value: str, check: Check) -> None:
    problem = check(value)
    if problem is not None:
        raise ValueError(f"the parameter {name!r}: {problem}, found {value!r}")


def _seconds(name: str, value: str) -> float | None:
    if not re.fullmatch(r"[0-9]{1,9}", value) or int(value) > CONNECT_TIMEOUT_MAX_S:
        raise ValueError(
            f"the parameter {name!r}: expected whole seconds from 0 to {CONNECT_TIMEOUT_MAX_S},"
            f" found {value!r}"
        )
    # libpq: 0 waits without an end, which nothing here does.
    return float(value) if int(value) else None


def _check_encoding(name: str, value: str) -> None:
    if value.lower().replace("-", "").replace("_", "") not in {"utf8", "unicode", "auto"}:
        raise ValueError(f"the parameter {name!r}: only UTF8 is supported, found {value!r}")
