"""`metrics`: the core's counters, which it writes without Python."""

from __future__ import annotations

from nexus_gateway import plan


def metrics(written: plan.MetricsFormat) -> plan.Metrics:
    """Write the counters as `prometheus` text, or as JSON: a `summary`, or each of `routes`."""
    return plan.Metrics(format=written)
