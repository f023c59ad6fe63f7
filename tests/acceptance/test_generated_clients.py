"""Clients that generators make of the studio's document: they compile, and have every operation."""

from __future__ import annotations

import py_compile
import subprocess
import sys
from pathlib import Path
from shutil import which

import msgspec
import pytest

from tests.harness.gateway_process import ROOT, Gateway

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
PYTHON_GENERATOR = Path(sys.executable).with_name("openapi-python-client")
# Sends NDJSON as it is; the generator knows the type by no name.
CONFIGURATION = "content_type_overrides:\n  application/x-ndjson: application/octet-stream\n"


class Operation(msgspec.Struct):
    """What is read of an operation."""

    id: str = msgspec.field(default="", name="operationId")


class Document(msgspec.Struct):
    """What is read of `/openapi.json`."""

    paths: dict[str, dict[str, Operation]]


@pytest.fixture
def document(studio: Gateway, tmp_path: Path) -> Path:
    """The document as a file."""
    file = tmp_path / "openapi.json"
    with studio.client() as client:
        file.write_bytes(client.get("/openapi.json").content)
    return file


def operations(document: Path) -> set[str]:
    paths = msgspec.json.decode(document.read_bytes(), type=Document).paths
    return {
        operation.id for item in paths.values() for key, operation in item.items() if key in METHODS
    }


def run(*command: object, cwd: Path) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_python_client_has_every_operation(document: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIGURATION)

    run(
        PYTHON_GENERATOR, "generate", "--path", document, "--config", "config.yaml",
        "--meta", "none", "--output-path", "made",
        cwd=tmp_path,
    )  # fmt: skip

    files = list((tmp_path / "made").rglob("*.py"))
    for file in files:
        py_compile.compile(str(file), doraise=True)
    made = {file.stem for file in files if file.parent.parent.name == "api"} - {"__init__"}
    assert len(operations(document)) > 70
    assert operations(document) <= made


def test_typescript_types_have_every_operation(document: Path, tmp_path: Path) -> None:
    node = which("node")
    if node is None:
        pytest.skip("no node here")
    modules = ROOT / "node_modules"

    generator = modules / "openapi-typescript" / "bin" / "cli.js"
    run(node, generator, document, "-o", "api.ts", cwd=tmp_path)
    compiler = modules / "typescript" / "bin" / "tsc"
    run(node, compiler, "--strict", "--noEmit", "--skipLibCheck", "api.ts", cwd=tmp_path)

    text = (tmp_path / "api.ts").read_text()
    assert [name for name in operations(document) if f"    {name}: {{" not in text] == []
