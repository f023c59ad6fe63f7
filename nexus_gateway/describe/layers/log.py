"""`log`: the access log, one JSON line per request, written by the core."""

from __future__ import annotations

from nexus_gateway import plan


def log(level: plan.Level = "info") -> plan.Log:
    """Log answers from `level` on: below 400 they are `info`, below 500 `warning`, else `error`.

    Without this layer only errors are written.
    """
    return plan.Log(level=level)
