"""A client of the realtime hub, for asyncio; needs `websockets` (`nexus-warp-gateway[client]`).

async with Realtime("http://localhost:8000/ws/realtime", token=token) as hub:
    async for event in hub.subscribe("public:lobby"):
        match event:
            case Message():
                print(event.data)
            case Gap():
                print("lost", event.count)
"""

from nexus_gateway.client.backoff import Backoff
from nexus_gateway.client.codec import JSON, MSGPACK, Codec
from nexus_gateway.client.errors import RealtimeError
from nexus_gateway.client.options import Options, Status
from nexus_gateway.client.realtime import Realtime
from nexus_gateway.client.subscription import Event, Gap, Subscription
from nexus_gateway.realtime.frames import Ack, History, Join, Kept, Leave, Member, Message, Position
from nexus_gateway.values.segment import segment

__all__ = [
    "JSON",
    "MSGPACK",
    "Ack",
    "Backoff",
    "Codec",
    "Event",
    "Gap",
    "History",
    "Join",
    "Kept",
    "Leave",
    "Member",
    "Message",
    "Options",
    "Position",
    "Realtime",
    "RealtimeError",
    "Status",
    "Subscription",
    "segment",
]
