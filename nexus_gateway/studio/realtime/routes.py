"""`/ws/realtime` and `/api/realtime`: chains that the core answers from the hub, without Python.

A token opens a socket or asks about a channel; whether it may hear this channel is decided by the
channel's own rules (`channels.py`), as for a frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

from msgspec import Meta

from nexus_gateway import get, param, path, post, require
from nexus_gateway.studio.realtime.channels import OPERATOR

if TYPE_CHECKING:
    from nexus_gateway import Filter, Routes

# At most 256 bytes of UTF-8: of letters beyond ASCII, as many as fit surely.
_CHANNEL = r"^(?:[ -~]{1,256}|[^\x00-\x1f\x7f-\x9f]{1,64})$"
Channel: TypeAlias = Annotated[
    str, Meta(description="A channel's name.", extra_json_schema={"pattern": _CHANNEL})
]
CHANNEL = param("channel", Channel)
sockets = path("ws") / "realtime"
room = path("api") / "realtime"
channels = room / "channels"


def routes(limited: Filter[()]) -> Routes:
    """List the routes of the hub; `limited` is asked of every caller once it is known."""
    anyone = require() & limited
    operator = require(scope=OPERATOR) & limited
    return (
        (sockets & get() & require()).hub("socket", name="realtime")
        | (sockets / CHANNEL & get() & require()).hub("socket", name="realtime_channel")
        | (channels & get() & operator).hub("channels", name="realtime_channels")
        | (channels / CHANNEL / "events" & get() & anyone).hub("events", name="realtime_events")
        | (channels / CHANNEL / "history" & get() & anyone).hub("history", name="realtime_history")
        | (channels / CHANNEL / "presence" & get() & anyone).hub(
            "presence", name="realtime_presence"
        )
        | (channels / CHANNEL / "publish" & post() & anyone).hub("publish", name="realtime_publish")
        | (room / "connections:disconnect" & post() & operator).hub(
            "disconnect", name="realtime_disconnect"
        )
    )
