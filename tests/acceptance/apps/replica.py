"""One of several replicas that share their channels through the Redis of `REDIS_URL`."""

from __future__ import annotations

import os

from nexus_gateway.realtime.hub import Hub, Limits, allow, namespace
from tests.acceptance.apps.realtime import EVERYONE, application

gateway = application(
    Hub(
        namespace(
            "room:*",
            subscribe=EVERYONE,
            publish=EVERYONE,
            history=5000,
            history_seconds=300,
            presence=True,
        ),
        namespace(
            "work:*", subscribe=EVERYONE, publish=EVERYONE, history=5000, delivery="at_least_once"
        ),
        # The faults are tried with as little per message as there can be.
        namespace("feed", subscribe=allow(), publish=allow(), history=5000, history_seconds=300),
        limits=Limits(sockets=5000),
        redis_url=os.environ["REDIS_URL"],
    )
)
