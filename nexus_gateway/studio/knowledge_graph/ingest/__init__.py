"""Loads that are accepted at once, kept durably, and brought into the graph afterwards."""
