"""Filters: each asks one thing of a request; the core executes them."""

from nexus_gateway.filters.auth import Claims, auth, public, require
from nexus_gateway.filters.body import body, body_bytes, body_text
from nexus_gateway.filters.header import header
from nexus_gateway.filters.limit import rate_limit
from nexus_gateway.filters.method import (
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
from nexus_gateway.filters.path import param, path, tail
from nexus_gateway.filters.query import query
from nexus_gateway.filters.trace import Trace, trace
from nexus_gateway.filters.use import state, use

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
