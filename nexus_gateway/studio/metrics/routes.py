"""`/metrics` and `/api/metrics`: counters that the core writes, without Python.

Scrapers seldom have a token, so `/metrics` is open, as everywhere; it names routes, never callers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexus_gateway import get, path, public, require

if TYPE_CHECKING:
    from nexus_gateway import Routes

room = path("api") / "metrics"


def routes() -> Routes:
    """List the routes of metrics."""
    read = require(scope="metrics:read")
    return (
        (path("metrics") & get() & public()).metrics("prometheus", name="prometheus")
        | (room & get() & read).metrics("summary", name="metrics_summary")
        | (room / "routes" & get() & read).metrics("routes", name="metrics_by_route")
        | (room / "subjects" & get() & read).metrics("subjects", name="metrics_by_subject")
        | (room / "timeseries" & get() & read).metrics("timeseries", name="metrics_over_time")
    )
