"""Settings of an application of one's own: what its hub leaves at its default is filled."""

from __future__ import annotations

from nexus_gateway import Routes, get, path
from nexus_gateway.realtime.hub import Hub, Limits
from nexus_gateway.server import Application
from nexus_gateway.server.precedence import with_settings
from nexus_gateway.server.settings import load_with_origins

URL = "redis://127.0.0.1:6379/3"


def filled(hub: Hub, **environment: str) -> dict[str, object]:
    """Fill an application with a hub; what its code decides."""
    application = Application(Routes((path("x") & get()).answer("x")), hub=hub)
    effective = with_settings(application, load_with_origins(None, environment))
    assert effective.application.hub is hub  # handlers hold it
    return effective.of_code


def test_a_hub_takes_sockets_and_redis_from_the_environment() -> None:
    hub = Hub(redis_prefix="mine")

    decided = filled(hub, NEXUS_REALTIME_SOCKETS="7", NEXUS_REDIS_URL=URL)

    assert hub.plan.sockets == 7
    assert hub.plan.redis is not None
    assert hub.plan.redis.prefix == "mine"
    assert dict(hub.secrets) == {hub.plan.redis.secret: URL.encode()}
    assert not {"realtime_sockets", "redis_url"} & decided.keys()


def test_the_prefix_in_redis_is_filled_with_its_address() -> None:
    hub = Hub()

    filled(hub, NEXUS_REDIS_URL=URL, NEXUS_REDIS_PREFIX="theirs")

    assert hub.plan.redis is not None
    assert hub.plan.redis.prefix == "theirs"


def test_what_the_code_of_a_hub_says_wins() -> None:
    hub = Hub(limits=Limits(sockets=3), redis_url="redis://127.0.0.1:1/0")

    decided = filled(hub, NEXUS_REALTIME_SOCKETS="7", NEXUS_REDIS_URL=URL)

    assert hub.plan.sockets == 3
    assert list(hub.secrets.values()) == [b"redis://127.0.0.1:1/0"]
    assert decided["realtime_sockets"] == 3
    assert "redis_url" in decided


def test_settings_at_their_own_default_change_nothing() -> None:
    hub = Hub()
    before = hub.plan

    filled(hub)

    assert hub.plan == before
    assert not hub.secrets
