"""Metrics: the core's counters, as Prometheus and as JSON."""
