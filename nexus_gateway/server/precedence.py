"""Settings of an application: code, then environment, then file, then default.

What the code says wins. What it leaves at its default is filled, field by field, by the settings
that the environment or the file sets; a setting at its own default changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from nexus_gateway import plan
from nexus_gateway.compile.compiler import join_layers
from nexus_gateway.compile.lint import asks_for_token
from nexus_gateway.compile.lower import lower
from nexus_gateway.describe.layers import cors, log
from nexus_gateway.describe.node import Both, RateLimit
from nexus_gateway.describe.route import Route, Routes
from nexus_gateway.realtime.hub import Limits
from nexus_gateway.server.keys import key_ring
from nexus_gateway.values import rate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nexus_gateway.server import Application
    from nexus_gateway.server.settings import Loaded

_TOKENS = (("cache", "token_cache"), ("issuer", "jwt_issuer"), ("audience", "jwt_audience"))


class Effective(NamedTuple):
    """An application with its settings, and the settings that its code decides."""

    application: Application
    of_code: dict[str, object]


def with_settings(application: Application, loaded: Loaded) -> Effective:
    """Fill what an application's code leaves at its default.

    Raises:
        SettingsError: a key of tokens cannot be read.
        TypeError: the routes carry two different layers of one kind.
    """
    of_code: dict[str, object] = {}
    bounds = _bounds(application.bounds, loaded, of_code)
    layers = _layers(application, loaded, of_code)
    routes = _limited(application.routes, loaded)
    filled = msgspec.structs.replace(application, bounds=bounds, layers=layers, routes=routes)
    _hub(filled, loaded, of_code)
    return Effective(_with_tokens(filled, loaded, of_code), of_code)


def _hub(application: Application, loaded: Loaded, of_code: dict[str, object]) -> None:
    """Fill the hub in place: handlers hold it, to publish through it."""
    hub, settings = application.hub, loaded.settings
    if hub is None:
        return
    if hub.plan.sockets != Limits().sockets:
        of_code["realtime_sockets"] = hub.plan.sockets
    elif loaded.is_set("realtime_sockets"):
        hub.fill(sockets=settings.realtime_sockets)
    if hub.plan.redis is not None:
        of_code["redis_url"] = "the Redis of Hub(redis_url=...)"
    elif settings.redis_url is not None:
        hub.fill(redis_url=settings.redis_url, redis_prefix=settings.redis_prefix)


def _bounds(bounds: plan.Bounds, loaded: Loaded, of_code: dict[str, object]) -> plan.Bounds:
    configured, default = loaded.settings.bounds(), plan.Bounds()
    fields = {"body_bytes": 1, "timeout": 1000, "write_timeout": 1000}
    for setting, unit in fields.items():
        name = setting if unit == 1 else f"{setting}_ms"
        value: int = getattr(bounds, name)
        if value != getattr(default, name):
            of_code[setting] = value if unit == 1 else value / unit
        elif loaded.is_set(setting):
            bounds = msgspec.structs.replace(bounds, **{name: getattr(configured, name)})
    return bounds


def _layers(application: Application, loaded: Loaded, of_code: dict[str, object]) -> plan.Layers:
    layers, settings = application.layers, loaded.settings
    written = join_layers(application.routes.layers, layers)
    if written.log is not None:
        of_code["log_level"] = written.log.level
    elif loaded.is_set("log_level"):
        layers = msgspec.structs.replace(layers, log=log(settings.log_level))
    if written.cors is not None:
        of_code["cors_origins"] = written.cors.origins
        of_code["cors_headers"] = written.cors.headers
    elif settings.cors_origins:
        made = cors(settings.cors_origins, headers=settings.cors_headers)
        layers = msgspec.structs.replace(layers, cors=made)
    if written.limit is not None:
        limit = written.limit
        of_code["address_limit"] = str(rate.Rate(limit.requests, limit.period_ms, limit.burst))
    elif settings.address_limit:
        layers = msgspec.structs.replace(layers, limit=settings.limit())
    return layers


def _limited(routes: Routes, loaded: Loaded) -> Routes:
    """Limit each subject on the routes that ask for a token and have no such limit of their own."""
    text = loaded.settings.rate_limit
    if not loaded.is_set("rate_limit") or not text:
        return routes
    chosen = rate.parse(text)
    limit = RateLimit(
        chosen.requests, chosen.period_ms, chosen.burst, "subject", "subject", legacy_headers=False
    )
    return Routes(*(_limited_route(one, limit) for one in routes.routes), layers=routes.layers)


def _limited_route(route: Route, limit: RateLimit) -> Route:
    try:
        steps = lower(route.node).steps
    except TypeError:
        # The check of the routes reports it.
        return route
    if not asks_for_token(steps) or any(_of_subject(steps)):
        return route
    return msgspec.structs.replace(route, node=Both(route.node, limit))


def _of_subject(steps: Sequence[plan.Step]) -> Iterator[bool]:
    for step in steps:
        match step:
            case plan.Limit():
                yield step.by == "subject" or step.name == "subject"
            case plan.Optional():
                yield from _of_subject(step.steps)
            case plan.Or():
                for inner in step.alternatives:
                    yield from _of_subject(inner)
            case _:
                pass


def _with_tokens(
    application: Application, loaded: Loaded, of_code: dict[str, object]
) -> Application:
    tokens, settings = application.tokens, loaded.settings
    if tokens is None:
        if not loaded.is_set("jwt_secret", "jwt_public_key_file"):
            return application
        ring = key_ring(settings)
        secrets = {**ring.secrets, **application.secrets}
        return msgspec.structs.replace(application, tokens=ring.tokens, secrets=secrets)
    for name in ("jwt_secret", "jwt_public_key_file", "jwt_algorithm"):
        of_code[name] = "the keys of Application(tokens=...)"
    for name, setting in (*_TOKENS, ("leeway", "jwt_leeway")):
        value: object = getattr(tokens, name)
        if value not in (None, 0) and not (name == "cache" and value == _CACHE_DEFAULT):
            of_code[setting] = value
        elif loaded.is_set(setting):
            tokens = msgspec.structs.replace(tokens, **{name: getattr(settings, setting)})
    return msgspec.structs.replace(application, tokens=tokens)


_CACHE_DEFAULT = 10_000
