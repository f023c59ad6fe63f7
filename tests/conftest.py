"""What every test may ask for: the real servers. And reports that can leave a process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

pytest_plugins = ["tests.harness.servers"]


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Escape lone surrogates: a test may log them, and a process cannot send them as UTF-8."""
    return _escaped((yield))


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value)
        return {key: _escaped(inner) for key, inner in entries.items()}
    if isinstance(value, list | tuple):
        parts = [_escaped(inner) for inner in cast("Iterable[Any]", value)]
        # Where and why a test was skipped: pytest expects a tuple.
        return tuple(parts) if isinstance(value, tuple) else parts
    return value
