"""OpenAPI 3.1 from the chains: parameters with their limits, bodies, answers, and every refusal.

What a chain asks for decides what it may be refused with, so the errors are not written by hand:
`auth` brings 401, a scope 403, a limit 429 with its headers, a body 408, 413, 415 and 422. What a
handler raises beside that is named by `raises=`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from nexus_gateway import plan
from nexus_gateway.components import components, phrase
from nexus_gateway.handler import summary_of
from nexus_gateway.lint import asks_for_token, check
from nexus_gateway.node import Default, Native, Record
from nexus_gateway.operation import Asked, Operation, flat, is_described, kinds, read, refusals, tag
from nexus_gateway.route import Route, Routes
from nexus_gateway.schema import Schema, Schemas, without_none
from nexus_gateway.terminals.hub import PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def openapi(
    routes: Route | Routes,
    *,
    title: str,
    version: str,
    description: str = "",
    layers: plan.Layers | None = None,
) -> Schema:
    """Describe routes as an OpenAPI 3.1 document; pages in HTML are left out.

    Args:
        routes: what is described.
        title: the name of the API.
        version: of the API.
        description: Markdown.
        layers: those that `routes` was not wrapped in; a limit among them can refuse every request.

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
    schemas = Schemas([kind for operation in operations for kind in kinds(operation)])
    writer = _Writer(schemas, limited=limited or (layers is not None and layers.limit is not None))
    statuses = sorted({status for each in operations for status in refusals(each, limited=True)})
    info: Schema = {"title": title, "version": version}
    return {
        "openapi": "3.1.0",
        "info": info | ({"description": description} if description else {}),
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in sorted({tag(each.chain.path) for each in operations})],
        "paths": writer.paths(operations),
        "components": components(schemas, statuses),
    }


class _Writer:
    def __init__(self, schemas: Schemas, *, limited: bool) -> None:
        self.schemas = schemas
        self.limited = limited
        self.names: set[str] = set()

    def paths(self, operations: Sequence[Operation]) -> Schema:
        paths: dict[str, Schema] = {}
        for operation in operations:
            path = re.sub(r"\{\*", "{", operation.chain.path)
            item = paths.setdefault(path, {})
            for method in operation.chain.methods or ("GET",):
                # 3.1 has no QUERY; 3.2 will take it under this name without the prefix.
                key = "x-query" if method == "QUERY" else method.lower()
                item[key] = self.operation(operation, method)
        return dict(paths)

    def operation(self, operation: Operation, method: str) -> Schema:
        route = operation.route
        summary, description = ("", "") if route.handler is None else summary_of(route.handler)
        written: Schema = {
            "operationId": self.identifier(route.title, method),
            "tags": [tag(operation.chain.path)],
            "summary": summary or route.title,
            "description": description,
            "parameters": list(self.parameters(operation)),
            "requestBody": self.body(operation),
            "security": _security(operation),
            "responses": self.responses(operation),
        }
        return {key: value for key, value in written.items() if value or key == "responses"}

    def identifier(self, title: str, method: str) -> str:
        stem = re.sub(r"\W+", "_", title).strip("_").lower()
        candidates = [stem, f"{stem}_{method.lower()}"]
        candidates += [
            f"{stem}_{method.lower()}_{number}" for number in range(2, len(self.names) + 3)
        ]
        chosen = next(name for name in candidates if name not in self.names)
        self.names.add(chosen)
        return chosen

    def parameters(self, operation: Operation) -> Iterator[Schema]:
        seen: set[tuple[str, str]] = set()
        for asked in operation.asked:
            for parameter in self.parameters_of(asked):
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
            case plan.Header(name=name):
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
        schema = _with_default(self.schemas.of(without_none(kind)[0]), default)
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
        names = {
            "json": "application/json",
            "bytes": "application/octet-stream",
            "text": "text/plain",
        }
        content: dict[str, list[Schema]] = {}
        for _, leaf, step in bodies:
            text: Schema = {"type": "string"}
            schema = self.schemas.of(leaf.type) if step.content == "json" else text
            content.setdefault(names[step.content], []).append(schema)
        media = {name: {"schema": _any_of(schemas)} for name, schemas in content.items()}
        return {"required": not any(asked.optional for asked, _, _ in bodies), "content": media}

    def responses(self, operation: Operation) -> Schema:
        limited = any(isinstance(step, plan.Limit) for step in flat(operation.chain.steps))
        headers: Schema = {"x-request-id": {"$ref": "#/components/headers/RequestId"}}
        if limited:
            headers["ratelimit"] = {"$ref": "#/components/headers/RateLimit"}
            headers["ratelimit-policy"] = {"$ref": "#/components/headers/RateLimitPolicy"}
        responses: Schema = {}
        content: dict[int, Schema] = {}
        for status, content_type, kind in operation.answers:
            answer: Schema = {"description": phrase(status), "headers": headers}
            if content_type:
                text: Schema = {"type": "string"}
                schema = self.schemas.of(kind) if content_type == "application/json" else text
                content.setdefault(status, {})[content_type] = {"schema": schema}
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


def _with_default(schema: Schema, default: object) -> Schema:
    if default is None or default is msgspec.NODEFAULT:
        return schema
    return schema | {"default": msgspec.to_builtins(default)}


def _any_of(schemas: Sequence[Schema]) -> Schema:
    return schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}
