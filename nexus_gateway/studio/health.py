"""`/health`: whether the gateway lives, and whether what it needs answers.

Only `/health/ready` asks anything, and so enters Python; the others are the core's, and stay fast
while handlers hang. Startup is over before the gateway listens, so that answer is constant.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import msgspec

from nexus_gateway import Response, get, path, public
from nexus_gateway.studio.storage.errors import StorageUnavailable
from nexus_gateway.studio.storage.relay import OutboxBehind

if TYPE_CHECKING:
    from nexus_gateway import Routes

Ask: TypeAlias = Callable[[], Awaitable[object]]

PATIENCE = 2.0
"""Seconds that a dependency may take to answer."""


class Dependency(msgspec.Struct, frozen=True):
    """Something that the gateway needs: how to ask it, and whether nothing works without it.

    ask: raises where it does not work; a mapping that it gives becomes the check's `detail`.
    """

    ask: Ask
    required: bool = True


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one dependency said; `detail` is of its own."""

    status: Literal["ok", "failed"]
    latency_ms: float
    reason: str | None = None
    detail: Mapping[str, object] | None = None


class Readiness(msgspec.Struct, frozen=True):
    """What all of them said."""

    status: Literal["ok", "degraded"]
    checks: dict[str, Check]


def routes(version: str, dependencies: Mapping[str, Dependency]) -> Routes:
    """List the routes of health."""
    health = path("health")
    alive = {"status": "ok", "service": "nexus-gateway", "version": version}

    async def ready() -> Response[Readiness]:
        """Ask every dependency whether it answers."""
        checks = await asyncio.gather(*(_check(one) for one in dependencies.values()))
        named = dict(zip(dependencies, checks, strict=True))
        failed = {name for name, check in named.items() if check.status == "failed"}
        missing = any(dependencies[name].required for name in failed)
        answer = Readiness("degraded" if failed else "ok", named)
        return Response(answer, 503 if missing else 200, (("cache-control", "no-store"),))

    return (
        (health & get() & public()).answer(alive, name="health")
        | (health / "live" & get() & public()).answer({"status": "ok"}, name="health_live")
        | (health / "startup" & get() & public()).answer({"status": "ok"}, name="health_startup")
        | (health / "ready" & get() & public()).then(ready, name="health_ready")
    )


async def _check(dependency: Dependency) -> Check:
    started = time.perf_counter()
    reason = None
    said: object = None
    try:
        async with asyncio.timeout(PATIENCE):
            said = await dependency.ask()
    except TimeoutError:
        reason = f"no answer within {PATIENCE:g} s"
    except Exception as error:  # noqa: BLE001 - whatever it raises, it is not ready
        reason = reason_of(error)
        said = error.detail if isinstance(error, OutboxBehind) else None
    latency = round((time.perf_counter() - started) * 1000, 3)
    detail = cast("Mapping[str, object]", said) if isinstance(said, Mapping) else None
    return Check("ok" if reason is None else "failed", latency, reason, detail)


def reason_of(error: BaseException) -> str:
    """Say why something does not answer, in words that name no host, no file and no user."""
    if isinstance(error, StorageUnavailable) and error.reason is not None:
        return error.reason
    # A timeout is told as one; its cause is the cancellation that made it.
    if isinstance(error, OutboxBehind):
        return error.reason
    while not isinstance(error, TimeoutError):
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None:
            break
        error = cause
    match error:
        case TimeoutError():
            return "no answer in time"
        case OSError(errno=int(number)):
            return os.strerror(number).lower()
        case _:
            # SQLite tells what is wrong by a name, PostgreSQL's errors and others by their class.
            return getattr(error, "sqlite_errorname", None) or type(error).__name__
