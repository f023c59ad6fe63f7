"""The hub: channels that sockets subscribe to and that a program publishes to.

    hub = Hub(namespace("graph:{tenant}:*", subscribe=allow("graph:read"), history=100))
    routes = (path("ws/realtime") & get() & auth()).hub("socket")
    application = Application(routes, hub=hub, ...)
    await hub.publish("graph:acme:changes", {"nodes": 1})    # once the server is open

A `Hub` is given to rooms when they are built, before there is a server; its methods work from when
the server is open until it is closed. What is published goes out in the core, without Python.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import msgspec

from nexus_gateway import _core, plan
from nexus_gateway.realtime.frames import Revocation
from nexus_gateway.realtime.terminal import (
    Channels,
    Disconnected,
    Disconnection,
    History,
    Position,
    Presence,
    RevocationRequest,
    Revocations,
    allow,
    hub_rate,
    namespace,
)
from nexus_gateway.values.rate import parse
from nexus_gateway.values.segment import segment
from nexus_gateway.values.strict_json import encode

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

__all__ = ["Hub", "HubError", "Limits", "allow", "namespace", "segment"]

_logger = logging.getLogger(__name__)
T = TypeVar("T")
_REDIS_SECRET = "hub-redis-url"  # noqa: S105  # the name of a secret
_REDIS_PREFIX = "nexus"
_KIB = 1 << 10


class HubError(Exception):
    """The hub did not do what it was asked for; `code` is one of `/errors/{code}`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Limits(msgspec.Struct, frozen=True):
    """How much of a hub there may be.

    Attributes:
        sockets: of one subject, or of one address without a token: 429 beyond.
        subscriptions: of one socket.
        channels: in use at once.
        max_bytes: of a client's frame, inflated.
        history_bytes: of all histories together.
        messages: frames of one subject, `100/s burst 200`.
        messages_name: of that limit; filters `rate_limit` of the same rate and name count together
            with it.
        tenant_messages: frames of all sockets of a tenant.
        kibibytes: of the frames of one subject, `256/s burst 1024`.
        tenant_kibibytes: of those of a tenant.
    """

    sockets: int = 100
    subscriptions: int = 256
    channels: int = 100_000
    max_bytes: int = 64 << 10
    history_bytes: int = 64 << 20
    messages: str | None = None
    messages_name: str = "messages"
    tenant_messages: str | None = None
    kibibytes: str | None = None
    tenant_kibibytes: str | None = None


class Hub:
    """Channels, and the way to them from Python."""

    def __init__(
        self,
        *namespaces: plan.Namespace,
        limits: Limits | None = None,
        heartbeat: float = 25.0,
        metrics: float = 0.5,
        operator: str = "realtime:admin",
        global_operator: str = "admin:global",
        redis_url: str | None = None,
        redis_prefix: str = _REDIS_PREFIX,
    ) -> None:
        """Describe the hub; nothing is opened.

        Args:
            namespaces: the rules of channels (`terminals.namespace`); a channel that none matches
                does not exist for clients.
            limits: how much of it there may be.
            heartbeat: seconds between two signs of life that a socket is asked for.
            metrics: seconds between two publications of the counters on the channel `metrics`, and
                of the log's new lines on the channel `log` where a namespace has that very name,
                while somebody is subscribed; 0 never publishes them.
            operator: the scope whose bearer may subscribe to, publish to and look at any channel
                of its tenant, or of all where the token has none; `metrics` and `log` stay the
                gateway's own to publish to.
            global_operator: the scope to act beyond the token's own tenant; `*` has it only in
                tokens without a tenant.
            redis_url: what replicas share channels through; None is one replica alone.
            redis_prefix: what its keys begin with.

        Raises:
            ValueError: a rate cannot be read or a number is out of range.
        """
        most = limits or Limits()
        counts = (most.sockets, most.subscriptions, most.channels, most.max_bytes)
        if heartbeat <= 0 or metrics < 0 or min(counts) < 1:
            raise ValueError("the hub needs a heartbeat, sockets, subscriptions and channels")
        self.namespaces = namespaces
        self._redis_prefix = redis_prefix
        redis = plan.HubRedis(secret=_REDIS_SECRET, prefix=redis_prefix)
        self.plan = plan.Hub(
            namespaces=namespaces,
            heartbeat_ms=round(heartbeat * 1000),
            sockets=most.sockets,
            subscriptions=most.subscriptions,
            channels=most.channels,
            max_bytes=most.max_bytes,
            history_bytes=most.history_bytes,
            metrics_ms=round(metrics * 1000),
            operator=operator,
            global_operator=global_operator,
            messages=_limit(most.messages_name, most.messages) if most.messages else None,
            tenant_messages=_rate(most.tenant_messages),
            bytes=_rate(most.kibibytes, _KIB),
            tenant_bytes=_rate(most.tenant_kibibytes, _KIB),
            redis=None if redis_url is None else redis,
        )
        self.secrets: Mapping[str, bytes] = (
            {} if redis_url is None else {_REDIS_SECRET: redis_url.encode()}
        )
        self._core: _core.Core | None = None
        self._restored: list[Revocation] = []

    def fill(
        self,
        *,
        sockets: int | None = None,
        redis_url: str | None = None,
        redis_prefix: str = _REDIS_PREFIX,
    ) -> None:
        """Take from the settings what the code left at its default, before the hub is opened."""
        if sockets is not None and self.plan.sockets == Limits().sockets:
            self.plan = msgspec.structs.replace(self.plan, sockets=sockets)
        if redis_url is not None and self.plan.redis is None:
            own = self._redis_prefix
            prefix = redis_prefix if own == _REDIS_PREFIX else own
            redis = plan.HubRedis(secret=_REDIS_SECRET, prefix=prefix)
            self.plan = msgspec.structs.replace(self.plan, redis=redis)
            self.secrets = {_REDIS_SECRET: redis_url.encode()}

    def prime(self, core: _core.Core) -> None:
        """Give a core that is about to be started what was restored; a server does so."""
        restored, self._restored = self._restored, []
        if restored:
            _restore(core, restored)

    def attach(self, core: _core.Core | None) -> None:
        """Give the hub the core that executes it, or take it away; a server does so."""
        self._core = core

    async def publish(
        self,
        channel: str,
        value: object,
        *,
        key: str | None = None,
        traceparent: str | None = None,
    ) -> Position:
        """Publish a value, as msgspec writes it in JSON, to whoever is subscribed.

        Args:
            channel: of any namespace; the gateway itself needs no right to publish.
            value: `msgspec.Raw` is taken for JSON as it is.
            key: what a conflating channel keeps the newest of.
            traceparent: of the trace that it belongs to.

        Raises:
            HubError: it was not published, or nobody knows whether it was (`deadline_exceeded`).
            RuntimeError: the server is not open.
        """
        try:
            data = encode(value)
        except (ValueError, RecursionError) as error:
            raise HubError("validation_error", f"the data is not JSON: {error}") from error
        with _translated():
            epoch, offset = await self._opened().publish(channel, data, key, traceparent)
        return Position(epoch, offset)

    async def channels(
        self, *, prefix: str = "", cursor: str | None = None, limit: int = 100
    ) -> Channels:
        """List channels in use, by name."""
        asked = {"prefix": prefix, "cursor": cursor, "limit": limit}
        return await self._control("channels", asked, Channels)

    async def presence(self, channel: str) -> Presence:
        """Tell who is in a channel, in all replicas."""
        return await self._control("presence", {"channel": channel}, Presence)

    async def history(
        self, channel: str, *, after: Position | None = None, limit: int = 100
    ) -> History:
        """Read what a channel has kept, oldest first, after a position or from the beginning."""
        asked: dict[str, object] = {"channel": channel, "limit": limit}
        if after is not None:
            asked |= {"epoch": after.epoch, "offset": after.offset}
        return await self._control("history", asked, History)

    async def disconnect(self, target: Disconnection) -> Disconnected:
        """Close sockets with 4009, in all replicas."""
        return await self._control("disconnect", msgspec.to_builtins(target), Disconnected)

    async def revoke(
        self,
        *,
        jti: str | None = None,
        sub: str | None = None,
        before: int | None = None,
        expires: int | None = None,
        tenant: str | None = None,
    ) -> Revocation:
        """Make tokens worthless at once: requests are refused, their sockets closed with 4002.

        Those of every tenant, or of one; of tokens without a tenant, where `tenant` is empty.
        """
        asked = RevocationRequest(jti, sub, before, expires, tenant)
        return await self._control("revoke", msgspec.to_builtins(asked), Revocation)

    def restore(self, revocations: Sequence[Revocation]) -> None:
        """Put revocations in force here that the program has stored; replicas restore their own.

        A lifespan that does so has them in force before the server listens.
        """
        if self._core is None:
            self._restored.extend(revocations)
        else:
            _restore(self._core, revocations)

    async def revocations(self) -> Revocations:
        """List what is revoked."""
        return await self._control("revocations", {}, Revocations)

    async def _control(self, operation: plan.HubOperation, asked: object, kind: type[T]) -> T:
        with _translated():
            answer = await self._opened().control(operation, msgspec.json.encode(asked))
        return msgspec.json.decode(answer, type=kind)

    def _opened(self) -> _core.Core:
        if self._core is None:
            raise RuntimeError("the hub has no open server")
        return self._core


def _restore(core: _core.Core, revocations: Sequence[Revocation]) -> None:
    left = core.restore_revocations(msgspec.json.encode(revocations))
    if left:
        _logger.error("%d revocations are not in force: there are too many", left)


def _limit(name: str, text: str) -> plan.Limit:
    read = parse(text)
    return plan.Limit(
        name=name,
        requests=read.requests,
        period_ms=read.period_ms,
        burst=read.burst,
        by="subject",
        shared=True,
    )


@contextmanager
def _translated() -> Generator[None]:
    """Raise what the core refuses, at once or later, as ours."""
    try:
        yield
    except _core.HubError as refused:
        code, message = refused.args
        raise HubError(code, message) from None


def _rate(text: str | None, unit: int = 1) -> plan.Rate | None:
    return hub_rate(text, unit=unit) if text else None
