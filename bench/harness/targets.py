"""What the gateway has set itself to reach, each a figure of the results with its bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from harness.results import MOST_OTHER
from harness.search import OTHERS
from harness.sizes import CONNECTIONS, GROWTH_REQUESTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.load import Measurement
    from harness.results import Results


MINUTE = 60


class Target(NamedTuple):
    """One bound.

    Args:
        figure: what was measured; `None` where it was not.
        at_least: the direction of the bound.
        clean: whether the machine was the bench's own; a figure of another one proves nothing.
    """

    sentence: str
    bound: float
    unit: str
    figure: float | None
    at_least: bool = False
    clean: bool = True

    @property
    def met(self) -> bool | None:
        """Whether the figure keeps the bound; `None` where that is not known."""
        if self.figure is None or not self.clean:
            return None
        return self.figure >= self.bound if self.at_least else self.figure <= self.bound


def targets(results: Results) -> list[Target]:
    """Compare the results with every bound."""
    return [
        *_ratios(results),
        *_entities(results),
        *_latencies(results),
        *_sizes(results),
        *_routes(results),
        *_search(results),
    ]


def _ratios(results: Results) -> list[Target]:
    def faster(server: str, peer: str, bound: float) -> Target:
        name = f"report, `{server}`: requests per second to {peer}"
        ratio = _ratio(results, server, peer, _per_second)
        clean = results.clean("report", 64, server, peer)
        return Target(name, bound, "x", ratio, at_least=True, clean=clean)

    return [
        faster("gateway-native", "warp", 1.35),
        Target(
            "report, `gateway-native`: CPU per request to nginx",
            1.1,
            "x",
            _ratio(results, "gateway-native", "nginx", _cpu),
            clean=results.clean("report", 64, "gateway-native", "nginx"),
        ),
        *(
            faster("gateway-python", peer, bound)
            for peer, bound in (
                ("warp", 1.25),
                ("rsgi-granian", 8),
                ("django-bolt-native", 3.5),
                ("fastapi-uvicorn", 20),
            )
        ),
    ]


def _entities(results: Results) -> list[Target]:
    """Compare the studio over PostgreSQL with the same back end in FastAPI and SQLAlchemy."""
    own, peer = "studio-postgres", "fastapi-sqlalchemy"
    found: list[Target] = []
    for verb in ("get", "create"):
        scenario = f"postgres-{verb}"
        clean = results.clean(scenario, 64, own, peer)
        for name, figure, mine, other in (
            ("requests per second", _per_second, own, peer),
            ("CPU per request, the peer's to ours", _cpu, peer, own),
        ):
            above = results.median(scenario, mine, 64, figure)
            below = results.median(scenario, other, 64, figure)
            ratio = above / below if above is not None and below else None
            sentence = f"entity {verb} on PostgreSQL to `{peer}`: {name}"
            found.append(Target(sentence, 5, "x", ratio, at_least=True, clean=clean))
    return found


def _latencies(results: Results) -> list[Target]:
    servers = {"gateway-native": 15.0, "gateway-python": 20.0}
    found = [
        Target(
            f"report, `{server}`: p99 at 512 connections",
            bound,
            "ms",
            results.median("report", server, 512, lambda m: m.p99_ms),
            clean=results.clean("report", 512, server),
        )
        for server, bound in servers.items()
    ]
    for server in servers:
        errors = [m.errors for m in results.of("many", server, 1000) if m.seconds >= MINUTE]
        name = f"report, `{server}`: errors at 1,000 connections for a minute"
        found.append(Target(name, 0, "", sum(errors) if errors else None))
    return found


def _sizes(results: Results) -> list[Target]:
    bounds = {
        "basic: resident at rest": 36.0,
        f"basic: resident at {CONNECTIONS} connections": 60.0,
        "native module, stripped": 9.0,
        "basic: second start": 1.0,
        "studio: second start": 1.0,
        # the allocator's noise; a leak of one byte a request would be 2 MB
        "basic: growth over them": 1.0,
    }
    found: list[Target] = []
    sent = results.sizes.get("basic: requests of the growth test")
    for name, bound in bounds.items():
        size = results.sizes.get(name)
        if "growth" in name and (sent is None or sent.value < GROWTH_REQUESTS):
            size = None  # fewer requests say nothing of so many
        sentence = name.replace("over them", "over two million requests")
        unit = size.unit if size else ""
        found.append(Target(sentence, bound, unit, size.value if size else None))
    return found


def _search(results: Results) -> list[Target]:
    """Compare imports and searches with what 100,000 entities may take."""
    return [
        _of_size(results, f"search: {name}", bound, at_least=at_least)
        for name, bound, at_least in (
            ("hybrid search over 100,000 entities, p95", 50, False),
            ("import of 100,000 entities", 20_000, True),
            (
                "import of 100,000 entities, the last piece's CPU for each to the first's",
                1.25,
                False,
            ),
        )
    ]


def _of_size(results: Results, name: str, bound: float, *, at_least: bool) -> Target:
    size, others = results.sizes.get(name), results.sizes.get(OTHERS)
    value, unit = (size.value, size.unit) if size else (None, "")
    sentence = name.removeprefix("search: ")
    clean = others is None or others.value <= MOST_OTHER
    return Target(sentence, bound, unit, value, at_least=at_least, clean=clean)


def _routes(results: Results) -> list[Target]:
    few = results.median("routes", "gateway-routes-10", 64, _cpu)
    many = results.median("routes", "gateway-routes-1000", 64, _cpu)
    ratio = many / few if few and many else None
    clean = results.clean("routes", 64, "gateway-routes-10", "gateway-routes-1000")
    name = "CPU per request with 1,000 routes to that with 10"
    return [Target(name, 1.1, "x", ratio, clean=clean)]


def _ratio(
    results: Results, server: str, peer: str, figure: Callable[[Measurement], float]
) -> float | None:
    own = results.median("report", server, 64, figure)
    other = results.median("report", peer, 64, figure)
    return own / other if own is not None and other else None


def _per_second(measured: Measurement) -> float:
    return measured.per_second


def _cpu(measured: Measurement) -> float:
    return measured.cpu_us
