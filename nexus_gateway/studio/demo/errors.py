"""What can go wrong with a demonstration."""

from __future__ import annotations


class DemoError(Exception):
    """Say why the data could not be read or loaded, and what to do about it."""
