"""Settings: one struct, read from a TOML file and the environment; the environment wins.

Every key of `Settings` is `NEXUS_<KEY>` in the environment and `<key>` in the file. Nothing is
guessed: an unknown key of the file is an error with a suggestion, a wrong value one that names the
key, what was found, what is expected and where it came from. An unknown variable of the environment
may belong to somebody else: it is a warning where it is nearly the name of a setting. What is
secret is in no message and no `repr`.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, get_args, get_origin

import msgspec
from msgspec import Meta

from nexus_gateway import plan
from nexus_gateway.describe.layers.cors import SENDABLE, check_headers, check_origins
from nexus_gateway.values import rate
from nexus_gateway.values.credentials import check_key
from nexus_gateway.values.field_error import within_sentence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PREFIX = "NEXUS_"
SECRET_BYTES = 32
"""An HMAC key is at least as long as its hash (RFC 7518, section 3.2)."""

HMAC_BYTES_MIN = {"HS256": SECRET_BYTES, "HS384": 48, "HS512": 64}

SECONDS_MAX = 4_000_000
"""The core counts milliseconds in 32 bits."""

Positive: TypeAlias = Annotated[float, Meta(gt=0, le=SECONDS_MAX)]

# Set to nothing, these are none; other variables that are set to nothing are not set.
_EMPTY_IS_NONE = frozenset({"rate_limit", "address_limit", "cors_origins"})

RENAMED = {"workers": "threads"}
"""Former names of settings with the present ones: no longer read, but reported."""


class Secret:
    """Text that is not shown; `reveal()` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Give the text."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(...)"


class SettingsError(ValueError):
    """Settings that cannot be used; the message has a line for each that is wrong."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator decides.

    Attributes:
        env: `production` listens on every address and refuses to start without a key of its own.
        host: the address to listen on; by default this machine only, in production every one.
        port: the port; 0 takes a free one.
        data_dir: the folder of the database and of the development secret.
        database_url: by default a SQLite file in `data_dir`; or `postgresql://user:password@host/db`.
        database_pool: connections to PostgreSQL at most.
        database_wait: seconds that a call may wait for one of them.
        database_timeout: seconds that a statement may take.
        redis_url: `redis://user:password@host:port/db`, for what replicas share; by default each
            process is for itself.
        redis_prefix: of every key there.
        neo4j_url: `bolt://host:port` or `neo4j://...`; by default an embedded graph in `data_dir`.
        neo4j_user: who asks Neo4j.
        neo4j_password: of that user.
        embeddings_url: of a provider with OpenAI's API, `https://host/v1`; by default vectors are
            made here, without a model.
        embeddings_model: the provider's model.
        embeddings_key: the provider's key.
        embeddings_batch: texts that it is sent at once.
        embeddings_timeout: seconds that it may take.
        search_memory: bytes that what search holds in memory may take.
        secrets_key: seals secrets in the database; 32 bytes in hexadecimal or base64. Development
            makes one in `data_dir` when it is first needed.
        secrets_old_key: the one before, which still opens what it sealed.
        jwt_secret: the HMAC key of tokens; at least 32 bytes, 48 for HS384, 64 for HS512.
        jwt_public_key_file: the public key of the issuer of tokens: a PEM file, a JSON Web Key, or
            a set of them (RFC 7517).
        jwt_algorithm: the one algorithm of tokens; by default HS256 for a secret, and for a public
            key that of its kind: RS256, ES256, ES384 or EdDSA.
        jwt_issuer: what `iss` must be.
        jwt_audience: what `aud` must name.
        jwt_leeway: seconds of clock difference allowed; for so long after a revocation new tokens
            of the subject are refused too.
        token_cache: verified tokens remembered; 0 verifies each time.
        cors_origins: the pages that may call from a browser; separated by commas.
        cors_headers: the request headers that those pages may send; `*` is every header.
        tls_cert: a PEM file, the certificate chain.
        tls_key: a PEM file, the certificate's private key.
        threads: threads of the core.
        eager: run a handler until it first waits as soon as its call is taken (`eager_start` of
            asyncio, Python 3.12 and newer); False leaves the first step to the loop.
        rate_limit: of each subject on the routes that ask for a token; empty is none.
        address_limit: of each client address, before a request is looked at; empty is none.
        realtime_sockets: sockets and streams of events that a subject may have at a time, in each
            replica.
        log_level: the least level written.
        timeout: seconds that a request may take.
        write_timeout: seconds that a client may read nothing of what it is sent; its connection
            is closed then.
        body_bytes: bytes that a body may have.
        shutdown_grace: seconds that requests may take to finish at the end.
    """

    env: Literal["development", "production"] = "development"
    host: str = ""
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8000
    data_dir: Path = Path(".nexus")
    database_url: str | None = None
    database_pool: Annotated[int, Meta(ge=1, le=1000)] = 10
    database_wait: Positive = 2.0
    database_timeout: Positive = 5.0
    redis_url: str | None = None
    redis_prefix: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,32}$")] = "nexus"
    neo4j_url: str | None = None
    neo4j_user: str = "neo4j"
    neo4j_password: Secret | None = None
    embeddings_url: str | None = None
    embeddings_model: str = "text-embedding-3-small"
    embeddings_key: Secret | None = None
    embeddings_batch: Annotated[int, Meta(ge=1, le=2048)] = 64
    embeddings_timeout: Positive = 10.0
    search_memory: Annotated[int, Meta(ge=1 << 20)] = 256 << 20
    secrets_key: Secret | None = None
    secrets_old_key: Secret | None = None
    jwt_secret: Secret | None = None
    jwt_public_key_file: Path | None = None
    jwt_algorithm: plan.Algorithm | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwt_leeway: Annotated[int, Meta(ge=0, le=300)] = 0
    token_cache: Annotated[int, Meta(ge=0, le=10_000_000)] = 10_000
    cors_origins: tuple[str, ...] = ()
    cors_headers: tuple[str, ...] = SENDABLE
    tls_cert: Path | None = None
    tls_key: Path | None = None
    threads: Annotated[int, Meta(ge=1, le=256)] = 1
    eager: bool = True
    rate_limit: str = "100/s burst 200"
    address_limit: str = ""
    realtime_sockets: Annotated[int, Meta(ge=1, le=1_000_000)] = 100
    log_level: plan.Level = "info"
    timeout: Positive = 30.0
    write_timeout: Positive = 60.0
    body_bytes: Annotated[int, Meta(ge=0, le=1 << 32)] = 1 << 20
    shutdown_grace: Annotated[float, Meta(ge=0, le=SECONDS_MAX)] = 10.0

    def __post_init__(self) -> None:
        if not self.host:
            host = "127.0.0.1" if self.env == "development" else "0.0.0.0"  # noqa: S104
            msgspec.structs.force_setattr(self, "host", host)

    def __repr__(self) -> str:
        # A URL has its password in it.
        urls = (name for name in self.__struct_fields__ if name.endswith("_url"))
        shown = {name: "..." for name in urls if getattr(self, name)}
        fields = ((name, shown.get(name, getattr(self, name))) for name in self.__struct_fields__)
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in fields)})"

    def secret(self) -> bytes | None:
        """Give the HMAC key: as set, or in development one kept in `data_dir`, made at first use.

        None where tokens are verified with a public key alone.

        Raises:
            SettingsError: the kept secret cannot be read, or is too short.
        """
        from nexus_gateway.server.keys import development_secret

        if self.jwt_secret is not None:
            return self.jwt_secret.reveal().encode()
        if self.jwt_public_key_file is not None:
            return None
        return development_secret(self.data_dir)

    def makes_secret(self) -> Path | None:
        """Tell where `secret` would make a new HMAC key, because none is set or stored."""
        path = (self.data_dir / "jwt-secret").absolute()
        is_set = self.jwt_secret is not None or self.jwt_public_key_file is not None
        return None if is_set or path.exists() else path

    def hmac_algorithm(self) -> plan.Algorithm:
        """Give the algorithm that the HMAC key is bound to."""
        chosen = self.jwt_algorithm
        return chosen if chosen is not None and chosen.startswith("HS") else "HS256"

    def sealing_keys(self) -> list[bytes]:
        """Give the keys of secrets at rest, the one that seals first.

        In development without one, it is kept in `data_dir`, made at first use.

        Raises:
            SettingsError: production has none, or the kept one cannot be read.
        """
        from nexus_gateway.server.keys import development_secret, sealing_key

        if self.secrets_key is not None:
            keys = [sealing_key(self.secrets_key.reveal())]
        elif self.env == "production":
            raise SettingsError("secrets need a key: set NEXUS_SECRETS_KEY (openssl rand -hex 32)")
        else:
            kept = development_secret(self.data_dir, "secrets-key")
            keys = [sealing_key(kept.decode("ascii", errors="replace"))]
        if self.secrets_old_key is not None:
            keys.append(sealing_key(self.secrets_old_key.reveal()))
        return keys

    def limit(self) -> plan.AddressLimit | None:
        """Give the limit of each client address."""
        if not self.address_limit:
            return None
        chosen = rate.parse(self.address_limit)
        return plan.AddressLimit(
            requests=chosen.requests, period_ms=chosen.period_ms, burst=chosen.burst
        )

    def bounds(self) -> plan.Bounds:
        """Give what a request may be at most."""
        return plan.Bounds(
            body_bytes=self.body_bytes,
            timeout_ms=max(1, round(self.timeout * 1000)),
            write_timeout_ms=max(1, round(self.write_timeout * 1000)),
        )


class Loaded(msgspec.Struct, frozen=True):
    """Settings with where each of them comes from.

    Attributes:
        settings: what was read.
        origins: of each setting that is not at its default: `NEXUS_PORT in the environment` or
            `port in nexus.toml:3`.
        warnings: variables that look like settings and are none.
    """

    settings: Settings
    origins: Mapping[str, str]
    warnings: tuple[str, ...] = ()

    def is_set(self, *names: str) -> bool:
        """Say whether one of the settings was set by the environment or the file."""
        return any(name in self.origins for name in names)


def load(config: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from a file, given or named by `NEXUS_CONFIG`, and from the environment.

    Raises:
        SettingsError: the file cannot be read, or keys or values are wrong; all are listed.
    """
    return load_with_origins(config, environ).settings


def load_with_origins(
    config: Path | None = None, environ: Mapping[str, str] | None = None
) -> Loaded:
    """Read the settings as `load` does, with the origin of each and what looks like a mistake.

    Raises:
        SettingsError: the file cannot be read, or keys or values are wrong; all are listed.
    """
    variables = os.environ if environ is None else environ
    named = config or _path(variables.get(f"{PREFIX}CONFIG"))
    given: dict[str, object] = {}
    origins: dict[str, str] = {}
    problems: list[str] = []
    of_file = () if named is None else _of_file(named)
    for key, value, source in (*of_file, *_of_environment(variables)):
        try:
            given[key] = _convert(key, value)
            _check_value(key, given[key])
        except (LookupError, ValueError) as problem:
            problems.append(f"{source}: {problem}")
        origins[key] = source
    if problems:
        raise SettingsError("\n".join(problems))
    settings = Settings(**given)  # type: ignore[arg-type]  # each was converted to its field's type
    problems = list(_contradictions(settings))
    if problems:
        raise SettingsError("\n".join(problems))
    return Loaded(settings, origins, tuple(_suspicious(variables)))


# --- reading ---

_FIELDS = {field.name: field for field in msgspec.structs.fields(Settings)}


def _of_file(path: Path) -> Iterator[tuple[str, object, str]]:
    text = _read_file(path)
    try:
        written = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from error
    for key, value in written.items():
        yield key, value, f"{key} in {path}{_line_of(key, text)}"


def _read_file(path: Path) -> str:
    try:
        # Editors of Windows write a byte order mark.
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{path}: not TOML: expected UTF-8, found another byte at {error.start}"
        ) from error
    except ValueError as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from error


def _line_of(key: str, text: str) -> str:
    begin = re.compile(rf"""\s*\[?\s*["']?{re.escape(key)}["']?\s*[=.\]]""")
    for number, line in enumerate(text.splitlines(), 1):
        if begin.match(line):
            return f":{number}"
    return ""


def _of_environment(variables: Mapping[str, str]) -> Iterator[tuple[str, object, str]]:
    for name, text in sorted(variables.items()):
        key = _key_of(name)
        # A variable that is set to nothing, as compose files do, says nothing.
        if key in _FIELDS and (text.strip() or key in _EMPTY_IS_NONE):
            yield key, text if text.strip() else "", f"{name} in the environment"


def _suspicious(variables: Mapping[str, str]) -> Iterator[str]:
    """Find variables that are nearly settings: the environment is not ours alone."""
    for name in sorted(variables):
        key = _key_of(name)
        if key and key != "config" and key not in _FIELDS:
            near = _similar(key, (*_FIELDS, "config"), cutoff=0.7)
            if near is not None:
                meant = f"{PREFIX}{near.upper()}"
                yield f"{name} in the environment is no setting; did you mean {meant}"


def _similar(key: str, names: Iterable[str], cutoff: float) -> str | None:
    """Find the setting that was meant: by its former name, else by its spelling."""
    if key in RENAMED:
        return RENAMED[key]
    near = difflib.get_close_matches(key, list(names), n=1, cutoff=cutoff)
    return near[0] if near else None


def _key_of(name: str) -> str:
    return name.removeprefix(PREFIX).lower() if name.startswith(PREFIX) else ""


def _convert(key: str, value: object) -> object:
    field = _FIELDS.get(key)
    if field is None:
        near = _similar(key, _FIELDS, cutoff=0.6)
        hint = f"did you mean {near}" if near is not None else f"the keys are {', '.join(_FIELDS)}"
        raise LookupError(f"there is no setting {key!r}; {hint}")
    if isinstance(value, str) and not value.isprintable() and _has_surrogates(value):
        raise ValueError("expected UTF-8, found bytes that are not")
    if get_origin(field.type) is tuple and isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    # A URL may have a password in it.
    secret = field.type == Secret | None or key.endswith("_url")
    try:
        return msgspec.convert(value, field.type, strict=False, dec_hook=_wrap)
    except msgspec.ValidationError as error:
        found = "another value" if secret else repr(value)
        expected = _expected(field.type) or str(error).partition(", got")[0]
        raise ValueError(f"{within_sentence(expected)}, found {found}") from None


def _expected(kind: object) -> str:
    return f"expected one of {', '.join(get_args(kind))}" if get_origin(kind) is Literal else ""


def _wrap(kind: type, value: object) -> object:
    if not isinstance(value, str):
        raise ValueError("Expected `str`")  # noqa: TRY004  # what msgspec takes for a wrong value
    if kind is not Path:
        return Secret(value)
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise ValueError("Expected a path below the home of a user that exists") from None


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


# --- what must hold beyond the types ---


def _check_value(key: str, value: object) -> None:
    match key, value:
        case _, float(number) if not math.isfinite(number):
            raise ValueError(f"expected a finite number, found {number}")
        case "rate_limit" | "address_limit", str(text) if text:
            rate.parse(text)
        case "neo4j_url", str(text) if not text.startswith(("bolt", "neo4j")):
            raise ValueError(f"expected bolt://host:port or neo4j://..., found {_scheme(text)}")
        case "redis_url", str(text) if not text.startswith(("redis://", "rediss://")):
            raise ValueError(f"expected redis://host:port or rediss://..., found {_scheme(text)}")
        case "embeddings_url", str(text) if not text.startswith(("http://", "https://")):
            raise ValueError(f"expected http://host/v1 or https://..., found {_scheme(text)}")
        case "embeddings_key", Secret():
            check_key(value.reveal())
        case "cors_origins", _:
            check_origins(_texts(value))
        case "cors_headers", _:
            check_headers(_texts(value))
        case "secrets_key" | "secrets_old_key", Secret():
            from nexus_gateway.server.keys import sealing_key

            sealing_key(value.reveal())
        case _:
            pass


def _scheme(url: str) -> str:
    """Name a URL's scheme; the rest of it may have a password."""
    scheme, mark, _ = url.partition("://")
    return f"the scheme {scheme!r}" if mark and "@" not in scheme else "no scheme"


def _texts(values: object) -> list[str]:
    return msgspec.convert(values, list[str])


def _contradictions(settings: Settings) -> Iterator[str]:
    if (settings.tls_cert is None) != (settings.tls_key is None):
        yield "tls_cert and tls_key go together: one is set, the other is not"
    if (settings.neo4j_url is None) != (settings.neo4j_password is None):
        yield "neo4j_url and neo4j_password go together: one is set, the other is not"
    if settings.secrets_old_key is not None and settings.secrets_key is None:
        yield "secrets_old_key stands beside secrets_key, which is not set"
    yield from _contradictions_of_keys(settings)
    own = settings.jwt_secret or settings.jwt_public_key_file
    if settings.env == "production" and own is None:
        yield (
            "production needs a key of its own: set NEXUS_JWT_SECRET (openssl rand -hex 32) "
            "or NEXUS_JWT_PUBLIC_KEY_FILE"
        )


def _contradictions_of_keys(settings: Settings) -> Iterator[str]:
    algorithm = settings.hmac_algorithm()
    least = HMAC_BYTES_MIN[algorithm]
    if settings.jwt_secret is not None:
        size = len(settings.jwt_secret.reveal().encode())
        if size < least:
            yield (
                f"jwt_secret (NEXUS_JWT_SECRET): {algorithm} needs at least {least} "
                f"bytes (RFC 7518, section 3.2), "
                f"found {size}; make one with: openssl rand -hex {least}"
            )
    chosen = settings.jwt_algorithm
    if chosen is None:
        return
    if chosen.startswith("HS"):
        if settings.jwt_secret is None and settings.jwt_public_key_file is not None:
            yield f"jwt_algorithm: {chosen} needs jwt_secret, which is not set"
    elif settings.jwt_public_key_file is None:
        yield f"jwt_algorithm: {chosen} needs jwt_public_key_file, which is not set"
