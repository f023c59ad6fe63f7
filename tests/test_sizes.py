"""Files and functions stay small; `checks/sizes.py` finds those that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from checks import sizes

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_no_file_and_no_function_is_too_large(capsys: pytest.CaptureFixture[str]) -> None:
    assert sizes.main() == 0, capsys.readouterr().out


def test_a_large_file_is_found_without_the_unit_tests_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sizes, "ROOT", tmp_path)
    (tmp_path / "core").mkdir()
    (tmp_path / "core/large.rs").write_text("\n" * 601)
    (tmp_path / "core/tested.rs").write_text("\n" * 500 + "#[cfg(test)]\nmod tests {" + "\n" * 500)

    assert sizes.main() == 1
    assert capsys.readouterr().out == "core/large.rs: 601 lines, at most 600\n"
