"""The contract as routes: the documents of OpenAPI and AsyncAPI, `/docs` and `/errors/{code}`.

The core answers them. The pages need nothing from anywhere else and work offline. Their content
security policy allows the one script and the one style that they are shipped with, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from importlib import resources
from string import Template
from typing import TYPE_CHECKING

import msgspec

from nexus_gateway.describe.filters.method import get
from nexus_gateway.describe.filters.path import path
from nexus_gateway.describe.reject import KINDS, Kind
from nexus_gateway.describe.route import Route, Routes
from nexus_gateway.document.asyncapi import asyncapi
from nexus_gateway.document.openapi import Specification, openapi

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexus_gateway import plan
    from nexus_gateway.values.schema import Schema

_HTML = "text/html; charset=utf-8"
_DOCUMENTS: Mapping[str, Specification] = {"openapi": "3.1", "openapi-3.2": "3.2"}
_RETRY = {
    "no": "No: the same request is refused again.",
    "changed": "Not as it is: change the request, then send it again.",
    "later": "Yes, after a pause, if the request may be repeated safely.",
}


def contract_routes(
    routes: Route | Routes,
    *,
    title: str,
    version: str,
    description: str = "",
    layers: plan.Layers | None = None,
    hub: plan.Hub | None = None,
) -> Routes:
    """Describe routes to their callers: `/openapi.json`, `/docs`, `/errors` and each code's page.

    `/openapi.json` is of version 3.1, which most tools read; `/openapi-3.2.json` has what only 3.2
    can say: the method QUERY and other methods, and what the lines and events of streams are.
    Where there is a hub, `/asyncapi.json` describes its sockets.

    Args:
        routes: what is described; join them: `routes | contract_routes(routes, ...)`.
        title: the name of the API.
        version: of the API.
        description: Markdown, above the routes.
        layers: those that `routes` was not wrapped in.
        hub: the channels that `routes` is about.

    Raises:
        DescriptionError: the routes cannot be served.
    """
    described = [
        _document(
            name,
            openapi(
                routes,
                title=title,
                version=version,
                description=description,
                layers=layers,
                specification=specification,
            ),
        )
        for name, specification in _DOCUMENTS.items()
    ]
    if hub is not None:
        sockets = asyncapi(routes, hub, title=title, version=version, description=description)
        described.append(_document("asyncapi", sockets))
    return Routes(*described, _page("docs", _read("docs.html")), *error_pages())


def error_pages() -> tuple[Route, ...]:
    """Make `/errors`, the list of codes, and a page for each of them."""
    pages = [_page(f"errors/{kind.code}", _error_page(kind)) for kind in KINDS]
    return (_page("errors", _error_list()), *pages)


def _document(name: str, document: Schema) -> Route:
    written = msgspec.json.encode(document).decode()
    chain = path(f"{name}.json") & get()
    return chain.answer(written, content_type="application/json", name=name)


def _page(where: str, content: str) -> Route:
    headers = (
        ("content-security-policy", _policy(content)),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
    )
    chain = path(where) & get()
    return chain.answer(content, content_type=_HTML, headers=headers, name=where)


def _policy(content: str) -> str:
    script, style = _hashes("script", content), _hashes("style", content)
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _hashes(tag: str, content: str) -> str:
    blocks: list[str] = re.findall(rf"<{tag}>(.*?)</{tag}>", content, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(block.encode()).digest()) for block in blocks]
    return " ".join(f"'sha256-{digest.decode()}'" for digest in digests) or "'none'"


def _read(name: str) -> str:
    pages = resources.files("nexus_gateway").joinpath("document", "pages")
    return pages.joinpath(name).read_text(encoding="utf-8")


def _breakable(code: str) -> str:
    """Let a narrow page break a code after its underscores."""
    return code.replace("_", "_<wbr>")


def _error_list() -> str:
    rows = "\n".join(
        f'<tr><td><a href="/errors/{kind.code}"><code>{_breakable(kind.code)}</code></a></td>'
        f"<td>{kind.status}</td><td>{html.escape(kind.sentence)}</td></tr>"
        for kind in KINDS
    )
    shape = html.escape('{"error": ..., "code": ..., "timestamp": ..., "request_id": ...}')
    content = (
        "<h1>Error codes</h1>\n"
        f"<p>Every refusal is <code>{shape}</code>, with <code>details</code> where several things"
        " are wrong. Codes are stable: branch on them, and show people the sentence.</p>\n"
        f"<table><tr><th>code</th><th>status</th><th>meaning</th></tr>\n{rows}\n</table>"
    )
    return Template(_read("errors.html")).substitute(title="Error codes", content=content)


def _error_page(kind: Kind) -> str:
    content = (
        f"<h1><code>{_breakable(kind.code)}</code></h1>\n"
        f'<p class="faint">Status {kind.status}: {html.escape(kind.sentence)}</p>\n'
        f"<p>{html.escape(kind.advice)}</p>\n"
        f"<h2>Retry?</h2>\n<p>{html.escape(_RETRY[kind.retry])}</p>\n"
        '<p><a href="/errors">All codes</a></p>'
    )
    return Template(_read("errors.html")).substitute(title=kind.code, content=content)
