"""From routes to the plan and its endpoints: what is done once, at start.

Every route is read, checked against its handler and looked at by the lints; all that is wrong is
reported at once. The plan's routes are sorted, so that the order of the source changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from nexus_gateway import plan
from nexus_gateway.compile.endpoint import EndpointSpec, endpoint
from nexus_gateway.compile.lint import DescriptionError, Lint, check, error
from nexus_gateway.describe.route import Layer, Route, Routes, Timeout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nexus_gateway.compile.lower import Lowered


class Compiled(msgspec.Struct, frozen=True):
    """What the core is given; `routes` in the plan's order, `endpoints` by a handler's index."""

    plan: plan.Plan
    endpoints: tuple[EndpointSpec, ...]
    routes: tuple[Route, ...]
    lints: tuple[Lint, ...]


def compile_routes(
    routes: Route | Routes,
    *,
    layers: plan.Layers | None = None,
    tokens: plan.Tokens | None = None,
    bounds: plan.Bounds | None = None,
    hub: plan.Hub | None = None,
    state: Mapping[object, object] | None = None,
    strict: bool = False,
) -> Compiled:
    """Compile routes for the core.

    Args:
        routes: what the gateway is made of.
        layers: wrapped around every route, beside those of `routes`.
        tokens: how bearer tokens are verified; needed where a chain has `auth`.
        bounds: what a request may be at most.
        hub: the channels; needed where a chain ends in `hub`.
        state: the object for each type that a chain names by `state(type)`.
        strict: take warnings for errors.

    Raises:
        DescriptionError: a `TypeError` that lists everything that is wrong with the routes.
    """
    checked = check(routes)
    checked.refuse(strict=strict)
    ordered = sorted(checked.routes, key=lambda pair: (pair[1].path, pair[1].methods))
    endpoints: list[EndpointSpec] = []
    written = tuple(_route(route, chain, state or {}, endpoints) for route, chain in ordered)
    whole = plan.Plan(
        version=plan.PLAN_VERSION,
        routes=written,
        layers=join_layers(routes.layers if isinstance(routes, Routes) else (), layers),
        tokens=tokens,
        bounds=bounds or plan.Bounds(),
        hub=hub,
    )
    return Compiled(whole, tuple(endpoints), tuple(route for route, _ in ordered), checked.lints)


def join_layers(own: Sequence[Layer], given: plan.Layers | None) -> plan.Layers:
    """Join the layers that routes were wrapped in with further ones.

    Raises:
        TypeError: two layers of one kind differ.
    """
    joined = given or plan.Layers()
    for layer in own:
        match layer:
            case plan.Log():
                joined = msgspec.structs.replace(joined, log=_one("log", layer, joined.log))
            case plan.Cors():
                joined = msgspec.structs.replace(joined, cors=_one("cors", layer, joined.cors))
            case plan.Compress():
                chosen = _one("compress", layer, joined.compress)
                joined = msgspec.structs.replace(joined, compress=chosen)
            case plan.AddressLimit():
                joined = msgspec.structs.replace(joined, limit=_one("limit", layer, joined.limit))
            case Timeout():
                pass
    return joined


def _one(name: str, new: Layer, old: Layer | None) -> Layer:
    if old is not None and old != new:
        raise TypeError(f"the gateway has two different layers {name!r}: {old} and {new}")
    return new


def _route(
    route: Route,
    chain: Lowered,
    state: Mapping[object, object],
    endpoints: list[EndpointSpec],
) -> plan.Route:
    terminal = route.terminal
    if terminal is None:
        try:
            endpoints.append(endpoint(route, chain.readings, state))
        except TypeError as problem:
            raise DescriptionError([error(route, str(problem))]) from problem
        terminal = plan.Python(handler=len(endpoints) - 1, stream=route.stream is not None)
    return plan.Route(
        name=route.title,
        path=chain.path,
        terminal=terminal,
        methods=chain.methods,
        steps=chain.steps,
        timeout_ms=None if route.timeout is None else max(1, round(route.timeout * 1000)),
    )
