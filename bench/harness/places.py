"""Where things are: the folders of the bench, its interpreter, and the processors it uses."""

from __future__ import annotations

import os
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
REPOSITORY = BENCH.parent
RUN = BENCH / "run"
RESULTS = BENCH / "results"
README = BENCH / "README.md"
PROJECT_PYTHON = REPOSITORY / ".venv" / "bin" / "python"
"""The project's own environment, which may be on the oldest Python."""
PYTHON = BENCH / "venvs" / "gateway" / "bin" / "python"
"""The gateway on the newest Python of this machine, as the peers are."""

SERVER_CPU = 0
LOAD_CPU = (os.cpu_count() or 2) - 1
