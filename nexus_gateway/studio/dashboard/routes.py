"""`/dashboard`: the built page, served by the core from memory.

The page itself is open to everybody, for it holds no figures: it asks for a token, and each figure
comes by `/api/metrics` and the hub, which check it. Nothing is loaded from anywhere else, and no
script or style may stand in the page: its content security policy needs no exception.
"""

from __future__ import annotations

from pathlib import Path

from nexus_gateway import Routes, get, path, public, tail

DIST = Path(__file__).parent / "dist"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
)
HEADERS = (("content-security-policy", POLICY), ("referrer-policy", "no-referrer"))
MISSING = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Dashboard</title>
<h1>The dashboard is not built</h1>
<p>Install Node 20 or newer with npm, run <code>make setup</code>, and start the gateway again.
<p>The figures are at <a href="/metrics">/metrics</a> all the same.
"""


def routes(dist: Path = DIST) -> Routes:
    """List the routes of the page; where it is not built, one that says how to build it."""
    page = path("dashboard") & get() & public()
    if not (dist / "index.html").is_file():
        return Routes(
            page.answer(
                MISSING,
                status=503,
                content_type="text/html; charset=utf-8",
                headers=(*HEADERS, ("x-content-type-options", "nosniff")),
                name="dashboard",
            )
        )
    files = path("dashboard") / tail("file") & get() & public()
    return page.files(dist, headers=HEADERS, name="dashboard") | files.files(
        dist, immutable=("assets/",), headers=HEADERS, name="dashboard_file"
    )
