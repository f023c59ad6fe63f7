"""The channel of a live query: the newest answer, kept by the hub, which replicas may share."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.realtime.hub import HubError
from nexus_gateway.studio.knowledge_graph.live_queries.models import Place
from nexus_gateway.studio.storage.errors import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import Generator

    from nexus_gateway.realtime.hub import Hub

_encode = msgspec.json.Encoder().encode


class TooLarge(Exception):  # noqa: N818 - what is said, not what failed
    """Say that something does not fit a message."""


class HubChannels:
    """Channels of a hub, by their names."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def last(self, channel: str) -> tuple[Place, bytes | None]:
        """Tell where a channel stands, and what was told last if it is still kept, as JSON.

        Raises:
            StorageUnavailable: the hub does not answer.
        """
        with _translated():
            history = await self._hub.history(channel)
        newest = history.items[-1] if history.items else None
        return (
            Place(history.epoch, history.offset),
            None if newest is None else _encode(newest.data),
        )

    async def tell(self, channel: str, data: bytes) -> Place:
        """Publish JSON, and say where it stands.

        Raises:
            StorageUnavailable: the hub does not take it now.
            TooLarge: it never will.
        """
        with _translated():
            place = await self._hub.publish(channel, msgspec.Raw(data))
        return Place(place.epoch, place.offset)


@contextmanager
def _translated() -> Generator[None]:
    try:
        yield
    except HubError as error:
        if error.code in {"payload_too_large", "validation_error"}:
            raise TooLarge(str(error)) from error
        raise StorageUnavailable(f"the hub does not answer: {error}") from error
    except RuntimeError as error:
        # Before the server listens, and after it has stopped.
        raise StorageUnavailable("the hub is not open") from error
