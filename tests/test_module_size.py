"""The native module stays small: it is most of what a gateway alone installs."""

from __future__ import annotations

from pathlib import Path

import pytest

from nexus_gateway import _core

MODULE_BYTES_MAX = 9_000_000


def test_the_native_module_is_at_most_nine_megabytes() -> None:
    module = Path(_core.__file__).read_bytes()
    if b".symtab\0" in module:
        pytest.skip("not a release build: it has symbols")

    assert len(module) <= MODULE_BYTES_MAX
