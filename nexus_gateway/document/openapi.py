"""OpenAPI 3.1 and 3.2 from the chains: parameters with their limits, bodies, answers, refusals.

What a chain asks for decides what it may be refused with, so the errors are not written by hand:
`auth` brings 401, a scope 403, a limit 429 with its headers, a body 408, 413, 415 and 422. What a
handler raises beside that is named by `raises=`.

Most tools read 3.1 only, so that is the usual form. What it has no word for stands in extensions
there and in its own place in 3.2: the method QUERY (`x-query`), other methods
(`x-additionalOperations`) and what the lines and events of a stream are (`x-itemSchema`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from nexus_gateway import plan
from nexus_gateway.compile.lint import asks_for_token, check
from nexus_gateway.describe.handler import summary_of
from nexus_gateway.describe.node import Default, Media, Native, Record
from nexus_gateway.describe.reject import Code, Detail
from nexus_gateway.describe.route import Route, Routes
from nexus_gateway.document.components import components, phrase
from nexus_gateway.document.operation import (
    Asked,
    Operation,
    flat,
    is_described,
    kinds,
    read,
    refusals,
    tag,
)
from nexus_gateway.realtime.terminal import PARAMETERS
from nexus_gateway.values.schema import Schema, Schemas, default_of, without_none

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Specification: TypeAlias = Literal["3.1", "3.2"]
"""Versions of OpenAPI that a document can be written in."""
_VERSIONS = {"3.1": "3.1.1", "3.2": "3.2.0"}
_FIXED = frozenset({"GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"})
# Parameters of these names are ignored by tools: they follow from content types and security.
_IGNORED = frozenset({"accept", "content-type", "authorization"})
_EVENTS = "text/event-stream"
_IS_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json")
_IS_TEXT = re.compile(r"text/.*|.*\+xml|application/(?:xml|x-ndjson|jsonl)")


def openapi(
    routes: Route | Routes,
    *,
    title: str,
    version: str,
    description: str = "",
    layers: plan.Layers | None = None,
    specification: Specification = "3.1",
) -> Schema:
    """Describe routes as an OpenAPI document; pages in HTML are left out.

    Args:
        routes: what is described.
        title: the name of the API.
        version: of the API.
        description: Markdown.
        layers: those that `routes` was not wrapped in; a limit among them can refuse every request.
        specification: the version of OpenAPI.

    Raises:
        DescriptionError: the routes cannot be served.
    """
    checked = check(routes)
    checked.refuse(strict=False)
    operations = sorted(
        (read(route, chain) for route, chain in checked.routes if is_described(route)),
        key=lambda operation: (operation.chain.path, operation.chain.methods),
    )
    own = routes.layers if isinstance(routes, Routes) else ()
    limited = any(isinstance(layer, plan.AddressLimit) for layer in own)
    named = [kind for operation in operations for kind in kinds(operation)]
    schemas = Schemas([*named, list[Detail], Code], taken=["Error"])
    writer = _Writer(
        schemas,
        limited=limited or (layers is not None and layers.limit is not None),
        specification=specification,
    )
    statuses = sorted({status for each in operations for status in refusals(each, limited=True)})
    info: Schema = {"title": title, "version": version}
    return {
        "openapi": _VERSIONS[specification],
        "info": info | ({"description": description} if description else {}),
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in sorted({tag(each.chain.path) for each in operations})],
        "paths": writer.paths(operations),
        "components": components(schemas, statuses),
    }


class _Writer:
    def __init__(self, schemas: Schemas, *, limited: bool, specification: Specification) -> None:
        self.schemas = schemas
        self.limited = limited
        self.specification = specification
        self.names: set[str] = set()

    def paths(self, operations: Sequence[Operation]) -> Schema:
        paths: dict[str, Schema] = {}
        # Templates that differ in the names of their parameters only are one path.
        templates: dict[str, str] = {}
        for operation in operations:
            path = _template(operation.chain.path)
            shape = re.sub(r"\{\w+\}", "{}", path)
            item = paths.setdefault(templates.setdefault(shape, path), {})
            methods = operation.chain.methods or ("GET",)
            if any(self.has(item, method) for method in methods):
                # The rest of a path (`tail`) beside one segment: the shape tells no difference.
                path = re.sub(r"\{(\w+)\}$", r"{\1_rest}", path)
                item = paths.setdefault(path, {})
            names = _renamed(operation.chain.path, next(key for key in paths if paths[key] is item))
            for method in methods:
                self.put(item, method, self.operation(operation, method, names))
        return dict(paths)

    def has(self, item: Schema, method: str) -> bool:
        place, key = self.place(method)
        inner = item if place is None else item.get(place, {})
        return isinstance(inner, dict) and key in inner

    def put(self, item: Schema, method: str, written: Schema) -> None:
        place, key = self.place(method)
        inner = item if place is None else item.setdefault(place, {})
        if isinstance(inner, dict):
            inner[key] = written

    def place(self, method: str) -> tuple[str | None, str]:
        """Tell where in a path item a method stands: its own key, or that of other methods."""
        new = self.specification == "3.2"
        if method in _FIXED:
            return None, method.lower()
        if method == "QUERY":
            return None, "query" if new else "x-query"
        return "additionalOperations" if new else "x-additionalOperations", method

    def operation(self, operation: Operation, method: str, names: dict[str, str]) -> Schema:
        route = operation.route
        summary, description = ("", "") if route.handler is None else summary_of(route.handler)
        written: Schema = {
            "operationId": self.identifier(route.title, method),
            "tags": [tag(operation.chain.path)],
            "summary": summary or route.title,
            "description": description,
            "parameters": list(self.parameters(operation, names)),
            "requestBody": self.body(operation),
            "security": _security(operation),
            "responses": self.responses(operation),
        }
        return {key: value for key, value in written.items() if value or key == "responses"}

    def identifier(self, title: str, method: str) -> str:
        """Name an operation by ASCII letters, digits and `_`, which every language can write."""
        stem = re.sub(r"[^A-Za-z0-9]+", "_", title).strip("_").lower() or "operation"
        if stem[0].isdigit():
            stem = f"operation_{stem}"
        candidates = [stem, f"{stem}_{method.lower()}"]
        candidates += [
            f"{stem}_{method.lower()}_{number}" for number in range(2, len(self.names) + 3)
        ]
        chosen = next(name for name in candidates if name not in self.names)
        self.names.add(chosen)
        return chosen

    def parameters(self, operation: Operation, names: dict[str, str]) -> Iterator[Schema]:
        seen: set[tuple[str, str]] = set()
        for asked in operation.asked:
            for parameter in self.parameters_of(asked):
                if parameter["in"] == "path":
                    parameter["name"] = names.get(str(parameter["name"]), parameter["name"])
                key = (str(parameter["in"]), str(parameter["name"]))
                if key not in seen:
                    seen.add(key)
                    yield parameter
        terminal = operation.route.terminal
        if isinstance(terminal, plan.HubTerminal):
            for name, kind in PARAMETERS.get(terminal.operation, {}).items():
                yield self.parameter("query", name, kind, required=False)

    def parameters_of(self, asked: Asked) -> Iterator[Schema]:
        leaf = asked.leaf
        if not isinstance(leaf, Native):
            return
        match leaf.step:
            case plan.Param(name=name):
                yield self.parameter("path", name, leaf.type, required=True)
            case plan.Header(name=name) if name not in _IGNORED:
                yield self.parameter("header", name, leaf.type, required=not asked.optional)
            case plan.QueryValue(field=field):
                required = field.required and not asked.optional
                default = leaf.conversion.value if isinstance(leaf.conversion, Default) else None
                yield self.parameter("query", field.name, leaf.type, default, required=required)
            case plan.Query() if isinstance(leaf.conversion, Record):
                for info in msgspec.structs.fields(leaf.conversion.kind):
                    required = info.required and not asked.optional
                    name = info.encode_name
                    yield self.parameter("query", name, info.type, info.default, required=required)
            case _:
                pass

    def parameter(
        self, place: str, name: str, kind: object, default: object = None, *, required: bool
    ) -> Schema:
        schema = self.schemas.of(without_none(kind)[0])
        schema |= {} if default is None else default_of(default)
        written: Schema = {"name": name, "in": place, "required": required, "schema": schema}
        description = schema.pop("description", None)
        return written | ({"description": description} if description else {})

    def body(self, operation: Operation) -> Schema:
        bodies = [
            (asked, asked.leaf, asked.leaf.step)
            for asked in operation.asked
            if isinstance(asked.leaf, Native) and isinstance(asked.leaf.step, plan.Body)
        ]
        if not bodies:
            return {}
        content: dict[str, list[Schema]] = {}
        for _, leaf, step in bodies:
            for media in leaf.media or _media(step, leaf.type):
                content.setdefault(media.name, []).append(self.media(media))
        written = {name: _either(found) for name, found in content.items()}
        return {"required": not any(asked.optional for asked, _, _ in bodies), "content": written}

    def media(self, media: Media) -> Schema:
        """Write what a content type holds: JSON, text, bytes, or one item after the other."""
        essence = media.name.partition(";")[0].strip().lower()
        if essence == _EVENTS:
            event = self.event(media)
            # Before 3.2, tools take the schema of a stream of events for that of each event.
            return {"itemSchema" if self.specification == "3.2" else "schema": event}
        if _IS_JSON.fullmatch(essence):
            return {"schema": self.schemas.of(media.type)}
        if _IS_TEXT.fullmatch(essence):
            text: Schema = {"schema": {"type": "string"}}
            if media.type in (None, str, object):
                return text
            item = self.schemas.of(media.type)
            if self.specification == "3.2":
                return {"itemSchema": item}
            return text | {"x-itemSchema": item}
        return {"schema": {"type": "string", "format": "binary", "contentMediaType": essence}}

    def event(self, media: Media) -> Schema:
        """Write a server-sent event: its `data` is text, which may be JSON."""
        if not media.events:
            return self.event_of(None, media.type)
        found = [self.event_of(name or None, kind) for name, kind in media.events]
        return found[0] if len(found) == 1 else {"oneOf": found}

    def event_of(self, name: str | None, kind: object) -> Schema:
        data: Schema = {"type": "string"}
        if kind not in (None, str, bytes, object):
            data |= {"contentMediaType": "application/json", "contentSchema": self.schemas.of(kind)}
        event: Schema = {"type": "string"} if name is None else {"type": "string", "const": name}
        return {
            "type": "object",
            "properties": {
                "event": event,
                "data": data,
                "id": {"type": "string"},
                "retry": {"type": "integer", "minimum": 0},
            },
            "required": ["data"] if name is None else ["event", "data"],
        }

    def responses(self, operation: Operation) -> Schema:
        limited = any(isinstance(step, plan.Limit) for step in flat(operation.chain.steps))
        headers: Schema = {"x-request-id": {"$ref": "#/components/headers/RequestId"}}
        if limited:
            headers["ratelimit"] = {"$ref": "#/components/headers/RateLimit"}
            headers["ratelimit-policy"] = {"$ref": "#/components/headers/RateLimitPolicy"}
        responses: Schema = {}
        content: dict[int, Schema] = {}
        for status, media in operation.answers:
            answer: Schema = {"description": phrase(status), "headers": headers}
            if media is not None:
                content.setdefault(status, {})[media.name] = self.media(media)
                answer["content"] = content[status]
            responses[str(status)] = answer
        for status in refusals(operation, limited=limited or self.limited):
            responses[str(status)] = {"$ref": f"#/components/responses/Refused{status}"}
        return dict(sorted(responses.items()))


def _security(operation: Operation) -> list[Schema]:
    auths = [step for step in flat(operation.chain.steps) if isinstance(step, plan.Auth)]
    if not auths:
        return []
    scopes = sorted({scope for step in auths for scope in step.scopes})
    needed: Schema = {"bearer": scopes}
    return [needed] if asks_for_token(operation.chain.steps) else [needed, {}]


def _media(step: plan.Body, kind: object) -> tuple[Media, ...]:
    if step.content == "json":
        return (Media("application/json", kind),)
    if step.content == "text":
        return (Media("text/plain", str),)
    return (Media("application/octet-stream", bytes),)


def _either(found: Sequence[Schema]) -> Schema:
    """Join what several bodies of one content type hold."""
    if len(found) == 1:
        return found[0]
    return {"schema": {"anyOf": [one.get("schema", {}) for one in found]}}


def _template(path: str) -> str:
    return path.replace("{*", "{")


def _renamed(path: str, chosen: str) -> dict[str, str]:
    """Pair the names of a path's parameters with those that it has in the document."""
    pattern = re.compile(r"\{(\w+)\}")
    return dict(zip(pattern.findall(_template(path)), pattern.findall(chosen), strict=True))
