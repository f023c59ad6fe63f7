"""Plans that show each kind of step, scalar, terminal and layer.

`python tests/harness/plan_examples.py` writes them to `tests/plans/*.json`, which the tests of both
languages read. Each file is a whole plan.
"""

from __future__ import annotations

from pathlib import Path

from nexus_gateway import plan

FOLDER = Path(__file__).parents[1] / "plans"
_PYTHON = plan.Python(handler=0)
_TOKENS = plan.Tokens(keys=(plan.Key(secret="jwt-secret", algorithms=("HS256",)),), cache=1000)


def _route(*steps: plan.Step, path: str = "/x", terminal: plan.Terminal = _PYTHON) -> plan.Route:
    return plan.Route(name="show", path=path, terminal=terminal, methods=("GET",), steps=steps)


def _plan(
    route: plan.Route,
    *,
    layers: plan.Layers | None = None,
    tokens: plan.Tokens | None = None,
    bounds: plan.Bounds | None = None,
    hub: plan.Hub | None = None,
) -> plan.Plan:
    return plan.Plan(
        version=plan.PLAN_VERSION,
        routes=(route,),
        layers=layers or plan.Layers(),
        tokens=tokens,
        bounds=bounds or plan.Bounds(),
        hub=hub,
    )


def _header(name: str, kind: plan.Scalar) -> plan.Plan:
    return _plan(_route(plan.Header(name=name, kind=kind)))


_RATE = plan.Rate(amount=1000, period_ms=1000, burst=2000)
_HUB = plan.Hub(
    namespaces=(
        plan.Namespace(
            name="graph:{tenant}:*",
            history=100,
            history_ms=60_000,
            max_bytes=65_536,
            overflow="drop_oldest",
            queue=256,
            queue_bytes=1 << 20,
            subscribe=plan.Access(scopes=("graph:read",)),
            publish=plan.Access(),
            presence=True,
            rate=plan.Rate(amount=10, period_ms=1000, burst=20),
        ),
        plan.Namespace(
            name="metrics",
            history=1,
            history_ms=60_000,
            max_bytes=1 << 20,
            overflow="conflate",
            queue=16,
            queue_bytes=1 << 20,
            subscribe=plan.Access(anonymous=True),
            shared=False,
        ),
    ),
    heartbeat_ms=25_000,
    sockets=100,
    subscriptions=256,
    channels=10_000,
    max_bytes=65_536,
    history_bytes=64 << 20,
    metrics_ms=500,
    operator="realtime:admin",
    messages=plan.Limit(
        name="subject", requests=100, period_ms=1000, burst=200, by="subject", shared=True
    ),
    tenant_messages=_RATE,
    bytes=plan.Rate(amount=1 << 20, period_ms=1000, burst=4 << 20),
    tenant_bytes=plan.Rate(amount=8 << 20, period_ms=1000, burst=16 << 20),
)
_HEADERS = (
    plan.Header(name="x-a", kind=plan.Str()),
    plan.Header(name="x-b", kind=plan.Str()),
)
STEPS: dict[str, plan.Plan] = {
    "param": _plan(_route(plan.Param(name="id", kind=plan.Int(ge=1)), path="/x/{id}")),
    "header": _header("x-depth", plan.Int()),
    "query": _plan(
        _route(
            plan.Query(
                fields=(
                    plan.Field(name="limit", kind=plan.Int(ge=1, le=100), required=False),
                    plan.Field(name="text", kind=plan.Str(min_length=1), required=True),
                    plan.Field(name="tag", kind=plan.Str(), required=False, many=True),
                )
            )
        )
    ),
    "query_value": _plan(
        _route(plan.QueryValue(field=plan.Field(name="limit", kind=plan.Int(), required=False)))
    ),
    "auth": _plan(_route(plan.Auth(scopes=("entities:read",), extract=True)), tokens=_TOKENS),
    "limit": _plan(
        _route(
            plan.Auth(scopes=(), extract=False),
            plan.Limit(
                name="subject",
                requests=100,
                period_ms=60_000,
                burst=20,
                by="subject",
                legacy_headers=True,
            ),
            plan.Limit(name="api", requests=1000, period_ms=1000, burst=1000, by="api"),
            plan.Limit(name="address", requests=10, period_ms=1000, burst=10, by="address"),
        ),
        tokens=_TOKENS,
    ),
    "body": _plan(_route(plan.Body(content="json", max_bytes=65_536))),
    "trace": _plan(_route(plan.Trace())),
    "optional": _plan(_route(plan.Optional(steps=_HEADERS[:1]))),
    "or": _plan(
        _route(
            plan.Or(alternatives=(_HEADERS[:1], _HEADERS[1:]), tagged=False),
            plan.Or(alternatives=(_HEADERS, _HEADERS[:1]), tagged=True),
        )
    ),
}
SCALARS: dict[str, plan.Plan] = {
    "int": _header("x-value", plan.Int(ge=-5, le=2**63 - 1)),
    "float": _header("x-value", plan.Float(ge=0.5, lt=1e6)),
    "bool": _header("x-value", plan.Bool()),
    "str": _header("x-value", plan.Str(min_length=1, max_length=64, pattern="^[a-z]+$")),
    "choice": _header("x-value", plan.Choice(values=("up", "down"))),
    "uuid": _header("x-value", plan.Uuid()),
    "datetime": _header("x-value", plan.Datetime()),
    "date": _header("x-value", plan.Date()),
}
TERMINALS: dict[str, plan.Plan] = {
    "python": _plan(_route(terminal=plan.Python(handler=0, stream=True))),
    "answer": _plan(
        _route(
            terminal=plan.Answer(
                status=200,
                content_type="application/json",
                body='{"status":"ok"}',
                headers=(("cache-control", "no-store"),),
            )
        )
    ),
    "metrics": _plan(_route(terminal=plan.Metrics(format="prometheus"))),
    "files": _plan(
        _route(
            plan.Param(name="file", kind=plan.Str()),
            path="/plans/{*file}",
            # These plans: a folder that is there, seen from the root of the repository.
            terminal=plan.Files(
                folder="tests/plans",
                index="terminal-files.json",
                fallback=True,
                immutable=("scalar-",),
                headers=(("referrer-policy", "no-referrer"),),
                types=(("json", "application/vnd.example+json"),),
            ),
        )
    ),
    "echo": _plan(_route(terminal=plan.Echo(max_bytes=65_536))),
    "hub": _plan(
        _route(
            plan.Auth(scopes=("realtime:read",), extract=False),
            plan.Param(name="channel", kind=plan.Str()),
            path="/ws/{channel}",
            terminal=plan.HubTerminal(operation="socket"),
        ),
        tokens=_TOKENS,
        hub=_HUB,
    ),
}
LAYERS: dict[str, plan.Plan] = {
    "log": _plan(_route(), layers=plan.Layers(log=plan.Log(level="warning"))),
    "cors": _plan(
        _route(),
        layers=plan.Layers(
            cors=plan.Cors(
                origins=("https://app.example.com",),
                max_age=600,
                headers=("content-type",),
                expose=("x-request-id",),
                credentials=True,
                private_network=True,
            )
        ),
    ),
    "compress": _plan(
        _route(),
        layers=plan.Layers(
            compress=plan.Compress(
                min_bytes=1024, encodings=("br", "gzip"), types=("text/*", "application/json")
            )
        ),
    ),
    "limit": _plan(
        _route(),
        layers=plan.Layers(limit=plan.AddressLimit(requests=100, period_ms=1000, burst=200)),
    ),
}
WHOLES: dict[str, plan.Plan] = {
    "tokens": _plan(
        _route(),
        tokens=plan.Tokens(
            keys=(plan.Key(secret="public", algorithms=("ES256",), kid="2026-01"),),
            cache=0,
            issuer="https://issuer.example.com",
            audience="gateway",
            leeway=5,
        ),
    ),
    "bounds": _plan(_route(), bounds=plan.Bounds(body_bytes=1024, timeout_ms=500)),
    "route": _plan(
        plan.Route(
            name="show",
            path="/files/{*rest}",
            terminal=_PYTHON,
            steps=(plan.Param(name="rest", kind=plan.Str()),),
            timeout_ms=1500,
        )
    ),
}
EXAMPLES: dict[str, plan.Plan] = {
    f"{group}-{name}": example
    for group, examples in (
        ("step", STEPS),
        ("scalar", SCALARS),
        ("terminal", TERMINALS),
        ("layer", LAYERS),
        ("plan", WHOLES),
    )
    for name, example in examples.items()
}


def write() -> None:
    """Write every example to its file."""
    for name, example in EXAMPLES.items():
        (FOLDER / f"{name}.json").write_bytes(example.to_json() + b"\n")


if __name__ == "__main__":
    write()
