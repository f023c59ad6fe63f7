"""Chains in one line, as `nexus-gateway routes` prints them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_gateway import plan
from nexus_gateway.values.rate import Rate

if TYPE_CHECKING:
    from collections.abc import Sequence


def describe(route: plan.Route) -> str:
    """Write a route's filters and what answers: `auth(a:read) · query(limit) → Service.list`."""
    return " ".join(filter(None, (" · ".join(_steps(route.steps)), "→", _terminal(route))))


def describe_step(step: plan.Step) -> str:  # noqa: C901, PLR0911  # one for each kind
    """Write one step; empty for a path parameter, which the path shows."""
    match step:
        case plan.Param():
            return ""
        case plan.Header():
            return f"header({step.name})"
        case plan.Query():
            return f"query({', '.join(field.name for field in step.fields)})"
        case plan.QueryValue():
            return f"query({step.field.name})"
        case plan.Auth():
            return f"auth({' '.join(step.scopes)})"
        case plan.Limit():
            return f"limit({Rate(step.requests, step.period_ms, step.burst)} by {step.by})"
        case plan.Body():
            most = "" if step.max_bytes is None else f" at most {step.max_bytes} B"
            return f"body({step.content}{most})"
        case plan.Trace():
            return "trace()"
        case plan.Optional():
            return f"optional({' · '.join(_steps(step.steps))})"
        case plan.Or():
            return " | ".join(f"({' · '.join(_steps(steps))})" for steps in step.alternatives)


def _steps(steps: Sequence[plan.Step]) -> list[str]:
    return [text for text in map(describe_step, steps) if text]


def _terminal(route: plan.Route) -> str:
    match route.terminal:
        case plan.Answer(status=status, content_type=content_type):
            return f"answer({status} {content_type.partition(';')[0]})"
        case plan.Files(folder=folder):
            return f"files({folder})"
        case plan.Metrics(format=written):
            return f"metrics({written})"
        case plan.Echo(max_bytes=most):
            return f"echo({most} bytes)"
        case plan.HubTerminal(operation=operation):
            return f"hub({operation})"
        case plan.Python(stream=stream):
            return f"stream {route.name}" if stream else route.name
