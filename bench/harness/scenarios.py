"""What is measured: which servers get which traffic, and what they are compared to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

NATIVE = ("gateway-native", "gateway-native-uncached")
PYTHON = ("gateway-python", "gateway-python-311", "gateway-python-plain", "gateway-python-uncached")
RUST = ("warp", "actix", "axum")
BARE = ("gateway-bare", "gateway-bare-311", "cello", "robyn")
BOLT_NATIVE = "django-bolt-native"
IN_PYTHON = ("rsgi-granian", "django-bolt", "fastapi-uvicorn")
LAYERS = ("layers-native", "layers-constant", "layers-values", "studio")


class Scenario(NamedTuple):
    """One table of the report.

    Args:
        traffic: a kind of `traffic.request`, or one for each server.
        seconds: of each load; 0 takes the run's.
        rounds: at most so many; 0 takes the run's.
        references: the servers that the others are compared to.
    """

    name: str
    title: str
    servers: tuple[str, ...]
    traffic: tuple[str, ...]
    connections: tuple[int, ...]
    references: tuple[str, ...] = ("warp", "nginx")
    seconds: float = 0
    rounds: int = 0

    def kind(self, server: str) -> str:
        """Name the traffic that a server of this scenario gets."""
        return self.traffic[self.servers.index(server) % len(self.traffic)]


SCENARIOS = (
    Scenario(
        "health",
        "Health: a constant answer, no filters",
        ("gateway-native", *RUST, "nginx", *IN_PYTHON),
        ("health",),
        (64,),
    ),
    Scenario(
        "bare",
        "Bare: a handler in Python with one path parameter, no token and no limits",
        (*BARE, *IN_PYTHON),
        ("bare",),
        (64,),
        references=("gateway-bare",),
    ),
    Scenario(
        "report",
        "Report: the full pipeline, about 250 B of JSON",
        (
            *NATIVE,
            *PYTHON,
            "warp",
            "warp-constant",
            "actix",
            "axum",
            "nginx",
            *IN_PYTHON,
            BOLT_NATIVE,
        ),
        ("report",),
        (64, 512),
    ),
    Scenario(
        "create",
        "Create: the full pipeline and a body that is decoded and checked",
        (*PYTHON, *RUST, *IN_PYTHON),
        ("create",),
        (64, 512),
        references=("warp",),
    ),
    Scenario(
        "many",
        "A thousand connections for a minute",
        ("gateway-native", "gateway-python"),
        ("report",),
        (1000,),
        references=(),
        seconds=60,
        rounds=1,
    ),
    Scenario(
        "routes",
        "Report requests spread over 10, 100 and 1,000 routes",
        ("gateway-routes-10", "gateway-routes-100", "gateway-routes-1000"),
        ("routes-10", "routes-100", "routes-1000"),
        (64,),
        references=("gateway-routes-10",),
    ),
    Scenario(
        "entity-get",
        "Reading an entity, by layer",
        LAYERS,
        ("studio-get",),
        (64,),
        references=("layers-native",),
    ),
    Scenario(
        "entity-create",
        "Creating an entity, by layer",
        LAYERS,
        ("studio-create",),
        (64,),
        references=("layers-native",),
    ),
    Scenario(
        "postgres-get",
        "Reading an entity out of PostgreSQL",
        ("studio-postgres", "fastapi-sqlalchemy"),
        ("studio-get",),
        (64,),
        references=("fastapi-sqlalchemy",),
    ),
    Scenario(
        "postgres-create",
        "Creating an entity in PostgreSQL",
        ("studio-postgres", "fastapi-sqlalchemy"),
        ("studio-create",),
        (64,),
        references=("fastapi-sqlalchemy",),
    ),
)


class Visited(Protocol):
    """Anything that names the servers that it is measured with."""

    @property
    def servers(self) -> tuple[str, ...]:
        """Names of `servers.toml`."""
        ...


def servers_of(scenarios: Iterable[Visited]) -> list[str]:
    """List the servers of scenarios once, in their order."""
    return list(dict.fromkeys(name for scenario in scenarios for name in scenario.servers))
