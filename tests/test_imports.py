"""What importing the kernel costs: no back end, no command line, no heavy library.

A basic server stays near the memory of the interpreter only as long as this holds. Each test asks a
fresh interpreter, since this one has imported everything already.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = ("asyncio", "pydantic", "rich", "sqlalchemy", "sqlite3", "ssl", "typer")


def modules_after(statement: str) -> set[str]:
    """List the modules that a fresh interpreter has imported after a statement."""
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    # What measures coverage imports much itself, so it is kept out of that interpreter.
    environment = {name: text for name, text in os.environ.items() if "COVERAGE" not in name}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        env=environment,
        text=True,
        timeout=30,
    )
    return set(done.stdout.split())


def test_importing_the_kernel_imports_neither_the_studio_nor_a_heavy_library() -> None:
    modules = modules_after("import nexus_gateway")

    assert modules.isdisjoint(HEAVY)
    assert not [name for name in modules if name.startswith("nexus_gateway.studio")]
    assert "nexus_gateway.cli" not in modules
    assert "nexus_gateway._core" not in modules


def test_importing_the_client_imports_nothing_of_a_server() -> None:
    modules = modules_after("import nexus_gateway.client")

    assert not [name for name in modules if name.startswith("nexus_gateway.studio")]
    assert modules.isdisjoint({"nexus_gateway._core", "nexus_gateway.server"})


@pytest.mark.parametrize("module", ["server", "server.settings", "testing", "server.tokens"])
def test_serving_imports_neither_the_studio_nor_a_database(module: str) -> None:
    modules = modules_after(f"import nexus_gateway.{module}")

    assert modules.isdisjoint({"pydantic", "rich", "sqlalchemy", "sqlite3", "typer"})
    assert not [name for name in modules if name.startswith("nexus_gateway.studio")]
