"""An API gateway described in Python with typed, composable filters, and executed by a native core.

from nexus_gateway import get, param, path

async def hello(name: str) -> dict[str, str]:
    return {"hello": name}

routes = (path("hello") / param("name", str) & get()).then(hello)
"""

from nexus_gateway.describe.filter import Filter, Param, Path
from nexus_gateway.describe.filters import (
    Claims,
    Trace,
    auth,
    body,
    body_bytes,
    body_text,
    delete,
    get,
    head,
    header,
    method,
    options,
    param,
    patch,
    path,
    post,
    public,
    put,
    query,
    query_method,
    rate_limit,
    require,
    state,
    tail,
    trace,
    use,
)
from nexus_gateway.describe.layers import compress, cors, limit, log, timeout
from nexus_gateway.describe.reject import Code, Detail, Kind, Reject
from nexus_gateway.describe.reply import (
    Chunks,
    Reply,
    Response,
    accepted,
    created,
    html,
    no_content,
    see_other,
)
from nexus_gateway.describe.route import Layer, Route, Routes, blocking, route

__all__ = [
    "Chunks",
    "Claims",
    "Code",
    "Detail",
    "Filter",
    "Kind",
    "Layer",
    "Param",
    "Path",
    "Reject",
    "Reply",
    "Response",
    "Route",
    "Routes",
    "Trace",
    "accepted",
    "auth",
    "blocking",
    "body",
    "body_bytes",
    "body_text",
    "compress",
    "cors",
    "created",
    "delete",
    "get",
    "head",
    "header",
    "html",
    "limit",
    "log",
    "method",
    "no_content",
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
    "route",
    "see_other",
    "state",
    "tail",
    "timeout",
    "trace",
    "use",
]
