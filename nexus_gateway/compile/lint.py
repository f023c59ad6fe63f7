"""Lints: what is wrong, or looks wrong, with a set of routes before any request has come.

An error keeps the gateway from starting. A warning says what to look at; `strict` refuses it too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import msgspec

from nexus_gateway import plan
from nexus_gateway.compile.lower import Lowered, lower
from nexus_gateway.describe.call_kind import check_awaited, check_mapped
from nexus_gateway.describe.handler import check as check_parameters
from nexus_gateway.describe.node import Awaited, Mapped, python_steps
from nexus_gateway.describe.route import Route, Routes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


MUTATING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_PARAMETER = re.compile(r"\{(\*?)[^}]*\}")


class Lint(msgspec.Struct, frozen=True):
    """One thing about one route; `message` names the file and the handler."""

    level: Literal["error", "warning"]
    route: str
    message: str

    def __str__(self) -> str:
        return f"{self.level}: {self.message}"


class DescriptionError(TypeError):
    """The routes cannot be served; the message lists everything that is wrong with them."""

    def __init__(self, lints: Sequence[Lint]) -> None:
        super().__init__("\n".join(lint.message for lint in lints))
        self.lints = tuple(lints)


def error(route: Route, problem: str) -> Lint:
    """Say what keeps a route from being served."""
    return Lint("error", route.title, f"{where(route)}: {problem}")


def where(route: Route) -> str:
    """Say which route: `file:line: handler()`."""
    if route.handler is None:
        return route.title
    return f"{route.place}: {route.title}()"


class Checked(msgspec.Struct, frozen=True):
    """Routes that can be read, each with what was read, and all that was found about the routes."""

    routes: tuple[tuple[Route, Lowered], ...]
    lints: tuple[Lint, ...]

    def refuse(self, *, strict: bool) -> None:
        """Raise `DescriptionError` for errors, and in `strict` for warnings too."""
        fatal = [finding for finding in self.lints if strict or finding.level == "error"]
        if fatal:
            raise DescriptionError(fatal)


def lint(routes: Route | Routes) -> list[Lint]:
    """List what is wrong, or looks wrong: errors first."""
    return sorted(check(routes).lints, key=lambda finding: finding.level)


def check(routes: Route | Routes) -> Checked:
    """Read every route, compare it with its handler, and look at all of them together."""
    good: list[tuple[Route, Lowered]] = []
    lints: list[Lint] = []
    for route in routes.routes if isinstance(routes, Routes) else (routes,):
        try:
            good.append((route, lower(route.node)))
        except TypeError as problem:
            lints.append(error(route, str(problem)))
        lints.extend(
            Lint("error", route.title, problem)
            for problem in (_problem(route.check), *map(_step_problem, python_steps(route.node)))
            if problem is not None
        )
    found = [finding for route, chain in good for finding in _each(route, chain)]
    return Checked(tuple(good), (*lints, *_twice(good), *found))


def _step_problem(step: Mapped | Awaited) -> str | None:
    def verify() -> None:
        if isinstance(step, Awaited):
            check_awaited(step.function, "and_then")
        else:
            check_mapped(step.function)
        check_parameters(step.function, step.slots, by_name=False)

    return _problem(verify)


def _problem(verify: Callable[[], None]) -> str | None:
    try:
        verify()
    except TypeError as problem:
        return str(problem)
    return None


def _each(route: Route, chain: Lowered) -> Iterator[Lint]:
    if not chain.methods:
        yield _warning(route, f"{chain.path} answers every method: say which, such as get()")
    mutating = sorted(MUTATING.intersection(chain.methods))
    if mutating and not chain.public and not asks_for_token(chain.steps):
        yield _warning(
            route,
            f"{', '.join(mutating)} {chain.path} asks for no token: add auth(scope=...),"
            " or public() where everyone may call it",
        )
    if _limits_unknown(chain.steps):
        yield error(
            route, "a limit by subject stands before auth(): the subject is not known there"
        )
    for number in _unreachable(chain.steps):
        yield error(route, f"alternative {number} of a '|' is never tried: the one before fits")


def _twice(routes: Sequence[tuple[Route, Lowered]]) -> Iterator[Lint]:
    seen: dict[tuple[str, str], Route] = {}
    for route, chain in routes:
        shape = _PARAMETER.sub(r"{\1}", chain.path)
        for method in chain.methods or ("every method",):
            first = seen.get((method, shape))
            seen[method, shape] = route
            if first is not None:
                yield error(route, f"{method} {chain.path} is answered already by {where(first)}")


def _warning(route: Route, problem: str) -> Lint:
    return Lint("warning", route.title, f"{where(route)}: {problem}")


def asks_for_token(steps: Sequence[plan.Step]) -> bool:
    """Say whether no request passes the steps without a token."""
    return any(
        isinstance(step, plan.Auth)
        or (isinstance(step, plan.Or) and all(map(asks_for_token, step.alternatives)))
        for step in steps
    )


def _limits_unknown(steps: Sequence[plan.Step], *, known: bool = False) -> bool:
    for step in steps:
        match step:
            case plan.Limit(by="subject") if not known:
                return True
            case plan.Auth():
                known = True
            case plan.Optional() if _limits_unknown(step.steps, known=known):
                return True
            case plan.Or():
                if any(_limits_unknown(steps, known=known) for steps in step.alternatives):
                    return True
                known = known or all(map(asks_for_token, step.alternatives))
            case _:
                pass
    return False


def _unreachable(steps: Sequence[plan.Step]) -> Iterator[int]:
    """Number the alternatives, from 1, that stand after one that can never refuse."""
    for step in steps:
        if isinstance(step, plan.Optional):
            yield from _unreachable(step.steps)
        if isinstance(step, plan.Or):
            for number, inner in enumerate(step.alternatives, 1):
                yield from _unreachable(inner)
                if number > 1 and not _refuses(step.alternatives[number - 2]):
                    yield number


def _refuses(steps: Sequence[plan.Step]) -> bool:
    return any(map(_may_refuse, steps))


def _may_refuse(step: plan.Step) -> bool:
    match step:
        case plan.Trace() | plan.Body(content="bytes", max_bytes=None):
            return False
        case plan.Optional():
            return any(_may_refuse(inner) for inner in step.steps if not _any_header(inner))
        case plan.Or():
            return all(map(_refuses, step.alternatives))
        case _:
            return True


def _any_header(step: plan.Step) -> bool:
    return isinstance(step, plan.Header) and step.kind == plan.Str()
