"""What an OpenAPI document says of every route alike: the errors, their headers, the token."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from nexus_gateway.describe.reject import BY_CODE, KINDS, Code, Detail

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nexus_gateway.values.schema import Schema, Schemas


def components(schemas: Schemas, statuses: Sequence[int]) -> Schema:
    """Write the schemas of the routes, and an answer for each status of a refusal.

    `schemas` has those of `list[Detail]` and `Code` too.
    """
    return {
        "schemas": schemas.components | {"Error": _error(schemas)},
        "responses": {f"Refused{status}": _refused(status) for status in statuses},
        "headers": _HEADERS,
        "securitySchemes": {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "`nexus-gateway token --sub alice --scope ...` prints one.",
            }
        },
    }


def _error(schemas: Schemas) -> Schema:
    return {
        "title": "Error",
        "description": "Why a request was refused. The codes are explained at /errors.",
        "type": "object",
        "required": ["error", "code", "timestamp", "request_id"],
        "properties": {
            "error": {"type": "string", "description": "A sentence."},
            "code": schemas.of(Code) | {"description": "Stable: branch on it."},
            "timestamp": {"type": "string", "format": "date-time"},
            "request_id": {"type": "string"},
            "details": schemas.of(list[Detail]),
        },
    }


def _refused(status: int) -> Schema:
    codes = [kind for kind in KINDS if kind.status == status]
    # The core answers a wrong value outside the body with 400.
    codes += [BY_CODE["validation_error"]] if status == 400 else []
    lines = [f"- [`{kind.code}`](/errors/{kind.code}): {kind.sentence}" for kind in codes]
    schema: Mapping[str, object] = {"$ref": "#/components/schemas/Error"}
    return {
        "description": "\n".join([phrase(status), "", *lines]),
        "headers": _refusal_headers(status),
        "content": {
            "application/json": {"schema": schema},
            "application/problem+json": {"schema": {"type": "object"}},
        },
    }


def _refusal_headers(status: int) -> Schema:
    names = {"x-request-id": "RequestId"}
    if status in {401, 403}:
        names["www-authenticate"] = "WWWAuthenticate"
    if status in {429, 503}:
        names["retry-after"] = "RetryAfter"
    if status == 429:
        names |= {"ratelimit": "RateLimit", "ratelimit-policy": "RateLimitPolicy"}
    return {name: {"$ref": f"#/components/headers/{header}"} for name, header in names.items()}


def _header(description: str, kind: str = "string") -> Schema:
    return {"description": description, "schema": {"type": kind}}


_HEADERS: Schema = {
    "RequestId": _header("The id of the request in the gateway's log."),
    "RateLimit": _header("What is left of each policy: `name;r=requests;t=seconds`."),
    "RateLimitPolicy": _header("Each policy: `name;q=requests;w=seconds`."),
    "RetryAfter": _header("Seconds to wait.", "integer"),
    "WWWAuthenticate": _header("The scheme, and what the token lacks (RFC 6750)."),
}


def phrase(status: int) -> str:
    """Give the reason phrase of a status."""
    return HTTPStatus(status).phrase
