"""Filters: each asks one thing of a request; the core executes them."""

from nexus_gateway.describe.filters.auth import Claims, auth, public, require
from nexus_gateway.describe.filters.body import body, body_bytes, body_text
from nexus_gateway.describe.filters.header import header
from nexus_gateway.describe.filters.limit import rate_limit
from nexus_gateway.describe.filters.method import (
    delete,
    get,
    head,
    method,
    options,
    patch,
    post,
    put,
    query_method,
)
from nexus_gateway.describe.filters.path import param, path, tail
from nexus_gateway.describe.filters.query import query
from nexus_gateway.describe.filters.trace import Trace, trace
from nexus_gateway.describe.filters.use import state, use

__all__ = [
    "Claims",
    "Trace",
    "auth",
    "body",
    "body_bytes",
    "body_text",
    "delete",
    "get",
    "head",
    "header",
    "method",
    "options",
    "param",
    "patch",
    "path",
    "post",
    "public",
    "put",
    "query",
    "query_method",
    "rate_limit",
    "require",
    "state",
    "tail",
    "trace",
    "use",
]
