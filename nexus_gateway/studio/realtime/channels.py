"""The channels of the studio: who may listen and publish, what is kept, what becomes of the slow.

    metrics              the counters of the replica that a socket is at, twice a second
    log                  what the replica writes into its log   heard with `logs:read`
    graph:{tenant}:*     changes of a tenant's graph            told by the knowledge graph
    entities:{tenant}:*  changes of a tenant's entities
    workflow:{tenant}:*  what becomes of a tenant's runs
    room:{tenant}:*      a tenant's own, for its programs       anyone of the tenant with the scope
    user:{sub}           what concerns one subject              heard by that subject only
    public:*             open to every token                    anyone with a token

What the rooms of the studio tell is published by the gateway itself, and by operators
(`realtime:admin`) who repair something; nobody else may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_gateway.realtime.hub import Hub, Limits, allow, namespace

if TYPE_CHECKING:
    from nexus_gateway import plan
    from nexus_gateway.server.settings import Settings

OPERATOR = "realtime:admin"
_HOUR = 3600.0


def namespaces() -> tuple[plan.Namespace, ...]:
    """List the rules of all channels."""
    return (
        # Each replica tells its own, the newest is all that counts, and a page that has just been
        # opened draws the last minute at once.
        namespace(
            "metrics",
            subscribe=allow("metrics:read"),
            history=120,
            history_seconds=60,
            overflow="conflate",
            queue=4,
            shared=False,
        ),
        # A page that has just been opened shows what others were told before.
        namespace(
            "log",
            subscribe=allow("logs:read"),
            history=40,
            history_seconds=600,
            max_bytes=256 << 10,
            queue=16,
            shared=False,
        ),
        namespace(
            "graph:{tenant}:*",
            subscribe=allow("knowledge-graph:read"),
            history=1000,
            history_seconds=_HOUR,
        ),
        # A node's change is told to all its neighbours: little is kept of each.
        namespace(
            "graph:{tenant}:near:*",
            subscribe=allow("knowledge-graph:read"),
            history=50,
            history_seconds=60,
        ),
        # The newest answer is all that counts, also to who comes later.
        namespace(
            "graph:{tenant}:query:*",
            subscribe=allow("knowledge-graph:read"),
            history=1,
            history_seconds=24 * _HOUR,
            overflow="conflate",
            queue=4,
            max_bytes=256 << 10,
        ),
        namespace(
            "entities:{tenant}:*",
            subscribe=allow("intelligence:read"),
            history=1000,
            history_seconds=_HOUR,
        ),
        # A client that has lost a step of a run is better told at once than left with a hole.
        namespace(
            "workflow:{tenant}:*",
            subscribe=allow("orchestration:read"),
            history=1000,
            history_seconds=_HOUR,
            overflow="disconnect",
        ),
        namespace(
            "room:{tenant}:*",
            subscribe=allow("realtime:read"),
            publish=allow("realtime:write"),
            history=1000,
            history_seconds=_HOUR,
            presence=True,
        ),
        namespace("user:{sub}", subscribe=allow(), history=200, history_seconds=24 * _HOUR),
        namespace(
            "public:*",
            subscribe=allow(),
            publish=allow(),
            history=200,
            history_seconds=_HOUR,
            presence=True,
            max_bytes=16 << 10,
            rate="20/s burst 100",
        ),
    )


def hub_of(settings: Settings) -> Hub:
    """Describe the hub as the settings say; frames count in the limit that requests count in."""
    return Hub(
        *namespaces(),
        limits=Limits(
            sockets=settings.realtime_sockets,
            messages=settings.rate_limit or None,
            messages_name="subject",
        ),
        operator=OPERATOR,
        redis_url=settings.redis_url,
        redis_prefix=settings.redis_prefix,
    )
