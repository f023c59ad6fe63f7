"""What the types promise, in both checkers: in `bad/` exactly the marked lines fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "tests" / "typing"
OK = sorted((FOLDER / "ok").glob("*.py"))
BAD = sorted((FOLDER / "bad").glob("*.py"))


Lines = set[tuple[str, int]]


def run(*command: str) -> str:
    done = subprocess.run(
        command, capture_output=True, check=False, cwd=ROOT, text=True, timeout=300
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def mypy() -> Lines:
    """Lines that mypy calls an error, as file and number."""
    cache = ROOT / ".mypy_cache" / "typing"
    options = ["--strict", "--config-file=", "--explicit-package-bases", f"--cache-dir={cache}"]
    files = [name(file) for file in (*OK, *BAD)]
    text = run(sys.executable, "-m", "mypy", *options, "--python-version=3.11", *files)
    assert "errors prevented further checking" not in text, text
    found: list[tuple[str, str]] = re.findall(r"^(\S+?\.py):(\d+): error:", text, re.MULTILINE)
    return {(file, int(line)) for file, line in found}


@pytest.fixture(scope="module")
def pyright() -> Lines:
    """Lines that pyright calls an error, as file and number."""
    options = ["-p", "tests/typing", "--pythonpath", sys.executable]
    text = run(sys.executable, "-m", "pyright", *options)
    assert "0 warnings" in text, text
    found: list[tuple[str, str]] = re.findall(
        r"^\s+(\S+?\.py):(\d+):\d+ - error", text, re.MULTILINE
    )
    return {(name(Path(file)), int(line)) for file, line in found}


def name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def marked(file: Path) -> set[int]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# E")}


def in_file(found: Lines, file: Path) -> set[int]:
    return {line for known, line in found if known == name(file)}


@pytest.mark.parametrize("file", OK, ids=name)
def test_what_is_right_passes_in_both_checkers(file: Path, mypy: Lines, pyright: Lines) -> None:
    assert in_file(mypy, file) == set()
    assert in_file(pyright, file) == set()


@pytest.mark.parametrize("file", BAD, ids=name)
def test_what_is_wrong_fails_on_exactly_the_marked_lines(
    file: Path, mypy: Lines, pyright: Lines
) -> None:
    assert marked(file)
    assert in_file(mypy, file) == marked(file)
    assert in_file(pyright, file) == marked(file)


@pytest.mark.parametrize("file", OK, ids=name)
def test_what_is_right_can_be_described_at_run_time_too(file: Path) -> None:
    done = subprocess.run(
        [sys.executable, file],
        capture_output=True,
        check=False,
        cwd=ROOT,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    assert (done.returncode, done.stderr) == (0, "")
