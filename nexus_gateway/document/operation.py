"""Routes as documents see them: what a request must and may bring, and what is answered."""

from __future__ import annotations

import types
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Union, cast, get_args, get_origin

import msgspec

from nexus_gateway import plan
from nexus_gateway.compile.lower import Lowered
from nexus_gateway.describe.handler import returns_of
from nexus_gateway.describe.node import (
    Awaited,
    Both,
    Either,
    Mapped,
    Maybe,
    Media,
    Native,
    Node,
    RateLimit,
    Record,
    Spread,
)
from nexus_gateway.describe.reject import BY_CODE
from nexus_gateway.describe.reply import Response
from nexus_gateway.describe.route import Route
from nexus_gateway.realtime.terminal import ANSWERS, EVENTS, PARAMETERS
from nexus_gateway.values.schema import without_none

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Asked(msgspec.Struct, frozen=True):
    """A leaf of a chain, and whether a request may do without what it asks for."""

    leaf: Native | RateLimit
    optional: bool


class Operation(msgspec.Struct, frozen=True):
    """A route as the document sees it."""

    route: Route
    chain: Lowered
    asked: tuple[Asked, ...]
    answers: tuple[tuple[int, Media | None], ...]


def is_described(route: Route) -> bool:
    """Say whether a route is part of the API: pages, in HTML or as files, are not."""
    match route.terminal:
        case plan.Answer(content_type=content_type):
            return not content_type.startswith("text/html")
        case plan.Files():
            return False
        case _:
            return True


def read(route: Route, chain: Lowered) -> Operation:
    """Read a route whose chain was lowered."""
    return Operation(route, chain, tuple(_asked(route.node)), tuple(_answers(route)))


def _asked(node: Node, *, optional: bool = False) -> Iterator[Asked]:
    match node:
        case Native() | RateLimit():
            yield Asked(node, optional)
        case Both():
            yield from _asked(node.left, optional=optional)
            yield from _asked(node.right, optional=optional)
        case Either():
            yield from _asked(node.left, optional=optional or not _is_body(node.left))
            yield from _asked(node.right, optional=optional or not _is_body(node.right))
        case Maybe():
            yield from _asked(node.inner, optional=True)
        case Mapped() | Awaited() | Spread():
            yield from _asked(node.inner, optional=optional)
        case _:
            pass


def _is_body(node: Node) -> bool:
    return isinstance(node, Native) and isinstance(node.step, plan.Body)


def _answers(route: Route) -> Iterator[tuple[int, Media | None]]:
    """List what a route answers when nothing goes wrong: the status, and what its content is."""
    match route.terminal:
        case plan.Answer(status=status, content_type=content_type, body=body):
            yield status, Media(content_type.partition(";")[0], object) if body else None
        case plan.Metrics(format="prometheus"):
            yield 200, Media("text/plain", str)
        case plan.Metrics():
            yield 200, Media("application/json", object)
        case plan.Echo() | plan.HubTerminal(operation="socket"):
            yield 101, None
        case plan.HubTerminal(operation="events"):
            yield 200, Media("text/event-stream", None, EVENTS)
        case plan.HubTerminal(operation=operation):
            yield 200, Media("application/json", ANSWERS[operation])
        case _ if route.stream is not None:
            yield 200, Media(route.stream.partition(";")[0], str)
        case _ if route.handler is not None:
            answers = list(_returned(returns_of(route.handler), route.status, route.streams))
            yield from answers
            yield from ((route.status or 200, streamed) for streamed in route.streams)
            yield from ((also, _form(also, answers)) for also in route.also)
        case _:
            pass


def _form(status: int, answers: Sequence[tuple[int, Media | None]]) -> Media | None:
    """Tell the content of a further status: that of the first, unless it has none by definition."""
    if status in {204, 205, 304} or not answers:
        return None
    return answers[0][1]


def _returned(
    returned: object, status: int | None, streams: Sequence[Media] = ()
) -> Iterator[tuple[int, Media | None]]:
    if returned in (None, types.NoneType):
        yield status or 204, None
        return
    kind, empty = without_none(returned)
    if empty:
        yield 204, None
    kind = _at_once(kind, streams)
    if get_origin(kind) is Response:
        yield from _returned(get_args(kind)[0], status, streams)
    elif get_origin(kind) is AsyncGenerator:
        return  # the route's `streams` say what it is
    elif kind is str:
        yield status or 200, Media("text/plain", str)
    elif kind is bytes:
        yield status or 200, Media("application/octet-stream", bytes)
    else:
        yield status or 200, Media("application/json", kind)


def _at_once(kind: object, streams: Sequence[Media]) -> object:
    """Strip from a union what `streams` describes: generators, and texts of types that it lists."""
    if get_origin(kind) not in (Union, types.UnionType):
        return kind
    both = cast("tuple[object, ...]", (str, bytes))
    texts = both if any(media.type in both for media in streams) else ()
    members = [
        one for one in get_args(kind) if get_origin(one) is not AsyncGenerator and one not in texts
    ]
    if not members:
        return kind
    rest: object = members[0]
    for member in members[1:]:
        rest = Union[rest, member]  # noqa: UP007  # of values, not of types that are written here
    return rest


def kinds(operation: Operation) -> Iterator[object]:
    """List the types that an operation's schemas are made of."""
    for asked in operation.asked:
        if isinstance(asked.leaf, Native):
            if isinstance(asked.leaf.conversion, Record):
                infos = msgspec.structs.fields(asked.leaf.conversion.kind)
                yield from (without_none(info.type)[0] for info in infos)
            else:
                yield without_none(asked.leaf.type)[0]
            for media in asked.leaf.media:
                yield from _kinds_of(media)
    for _, answer in operation.answers:
        if answer is not None:
            yield from _kinds_of(answer)
    terminal = operation.route.terminal
    if isinstance(terminal, plan.HubTerminal):
        yield from PARAMETERS.get(terminal.operation, {}).values()


def _kinds_of(media: Media) -> Iterator[object]:
    yield media.type
    yield from (kind for _, kind in media.events)


def tag(path: str) -> str:
    """Name the room that a path belongs to: `entities` of `/api/entities/{id}`."""
    parts = [part for part in path.split("/") if part and not part.startswith("{")]
    if parts[:1] == ["api"] and len(parts) > 1:
        return parts[1]
    return parts[0] if parts else "gateway"


def refusals(operation: Operation, *, limited: bool) -> list[int]:
    """List the statuses that a request to a route may be refused with."""
    steps = list(flat(operation.chain.steps))
    found = {400, 414, 431, 500}
    auths = [step for step in steps if isinstance(step, plan.Auth)]
    bodies = [step for step in steps if isinstance(step, plan.Body)]
    found |= {401} if auths else set()
    found |= {403} if any(step.scopes for step in auths) else set()
    found |= {408, 413} if bodies else set()
    typed = any(step.content != "bytes" or step.content_types for step in bodies)
    found |= {415} if typed else set()
    found |= {422} if any(step.content == "json" for step in bodies) else set()
    found |= {429} if limited else set()
    if operation.route.handler is not None:
        found |= {503, 504}
        found |= {404} if any(isinstance(step, plan.Param) for step in steps) else set()
    found |= {BY_CODE[code].status for code in operation.route.raises}
    return sorted(found | _of_terminal(operation.route.terminal))


def _of_terminal(terminal: plan.Terminal | None) -> set[int]:
    match terminal:
        case plan.Echo():
            return {426}
        case plan.HubTerminal(operation="socket"):
            return {403, 404, 426, 429, 503}
        case plan.HubTerminal(operation="events"):
            return {403, 404, 429, 503}
        case plan.HubTerminal(operation="publish"):
            return {403, 404, 413, 429, 503, 504}
        case plan.HubTerminal(operation="presence" | "history"):
            return {403, 404, 503, 504}
        case _:
            return set()


def flat(steps: Sequence[plan.Step]) -> Iterator[plan.Step]:
    """List steps with those inside `optional` and `or`."""
    for step in steps:
        match step:
            case plan.Optional():
                yield from flat(step.steps)
            case plan.Or():
                for inner in step.alternatives:
                    yield from flat(inner)
            case _:
                yield step
